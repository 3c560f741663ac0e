# What there is to make; 'make help' lists it.
GO ?= go
export GOFLAGS ?= -mod=readonly

.PHONY: help build deb reproducible sbom image demo test check race e2e deploy-check asterisk dashboard interop peers talkoff mutate bench bench-media fuzz prompts clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## bin/consentgate, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/consentgate ./cmd/consentgate

# A package's version and date are its commit's.
VERSION = $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//;s/-/+/;s/-/./g' | grep . || \
  TZ=UTC0 git log -1 --format=0~%cd.%h --date=format-local:%Y%m%d%H%M%S)
export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
ARCH = $(shell dpkg --print-architecture)

deb: build ## bin/consentgate_VERSION_ARCH.deb
	deploy/debian/build.sh "$(VERSION)" "$(ARCH)" "bin/consentgate_$(VERSION)_$(ARCH).deb"

reproducible: ## builds this commit in two folders, one without any cache: the same bytes, or it fails; two minutes
	@dir=$$(mktemp -d) && trap 'chmod -R u+w "$$dir"; rm -rf "$$dir"' EXIT && git clone -q . "$$dir/a" && git clone -q . "$$dir/another" && \
	  $(MAKE) -s -C "$$dir/a" build && GOCACHE="$$dir/cache" $(MAKE) -s -C "$$dir/another" build && \
	  "$$dir/a/bin/consentgate" version && sha256sum "$$dir/a/bin/consentgate" "$$dir/another/bin/consentgate" && cmp "$$dir/a/bin/consentgate" "$$dir/another/bin/consentgate"

sbom: build ## bin/consentgate.cdx.json, CycloneDX: the modules of the program as it was built, with their licences
	GOFLAGS=-mod=mod $(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -licenses -std \
	  -version "$(VERSION)" -output bin/consentgate.cdx.json bin/consentgate

IMAGE_BUILDER = $(shell command -v docker || command -v podman || command -v buildah)
image: build ## a container image of the program alone, by docker, podman or buildah
	rm -rf bin/image
	install -D -m 755 bin/consentgate bin/image/usr/bin/consentgate
	install -D -m 644 /etc/ssl/certs/ca-certificates.crt bin/image/etc/ssl/certs/ca-certificates.crt
	install -d bin/image/usr/share && cp -rL /usr/share/zoneinfo bin/image/usr/share/zoneinfo
	$(IMAGE_BUILDER) build -t consentgate:$(subst ~,-,$(VERSION)) -f deploy/Dockerfile bin/image

pkcs11: ## bin/consentgate-pkcs11, for a root key in a PKCS#11 token; needs a C compiler
	CGO_ENABLED=1 $(GO) build -trimpath -o bin/consentgate-pkcs11 ./cmd/consentgate-pkcs11

demo: build ## three calls on this machine: yes, no, silence; with their evidence
	bin/consentgate demo

test: check race ## everything that must hold; installs the peers it tests with
	$(MAKE) -j2 --output-sync=target e2e mutate # calls mostly wait, so the one leaves the other half of a processor and more

check: ## formatting, vet, module files, the arrows between packages
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff

race: peers ## unit and property tests under the race detector
	$(GO) test -race -shuffle=on -timeout 30m $$($(GO) list ./... | grep -v -e /e2e -e /deploy)

e2e: peers ## the real program between sipp, baresip and scripted peers
	CI=$${CI:-} $(GO) test -count=1 -run '^(TestErasedIsGoneFrom(TheDisk|FilesAndBackups)|TestACompactedDatabaseHasNoRowThatWasErased)$$' ./store # raw bytes: too slow under the race detector
	CI=$${CI:-} $(GO) test -count=1 -timeout 20m -skip '^TestInterop' ./e2e

deploy-check: ## alerts and dashboard at a real Prometheus, the package on a machine of its own, Kamailio by the manual's settings
	@for p in prometheus promtool systemd-analyze espeak-ng kamailio; do command -v $$p >/dev/null || missing=1; done; \
	  [ -z "$$missing" ] || { apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends prometheus systemd espeak-ng kamailio; }
	CI=$${CI:-} $(GO) test -count=1 -timeout 5m ./deploy

ASTERISK_ROOT = $(CURDIR)/bin/asterisk
asterisk: ## calls to and from Asterisk, as Debian's unstable has it, by the manual's settings; two minutes
	@command -v mmdebstrap >/dev/null || { apt-get update -q && apt-get install -yq --no-install-recommends mmdebstrap; }
	@[ -d $(ASTERISK_ROOT) ] || mmdebstrap --mode=root --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
	  --aptopt='APT::Install-Recommends "false"' --include=asterisk sid $(ASTERISK_ROOT)
	ASTERISK_ROOT=$(ASTERISK_ROOT) $(GO) test -count=1 -run TestAsterisk ./deploy

dashboard: ## the dashboard as Grafana's own model of dashboards sees it; builds that first, a minute
	GRAFANA_SCHEMA=1 $(GO) test -count=1 -run TestGrafana ./deploy

interop: peers ## calls between makes of phones, and their RTP as a sniffer sees it; needs the right to capture
	CI=$${CI:-} $(GO) test -count=1 -timeout 10m -parallel 4 -run '^TestInterop' ./e2e

peers: ## installs what tests call and listen with, where it is missing
	@for p in sipp baresip kamailio espeak-ng sox ffmpeg sngrep age unzip python3 xxd opusenc; do command -v $$p >/dev/null || missing=1; done; \
	  [ -z "$$missing" ] || { apt-get update -q && apt-get install -yq sip-tester baresip kamailio espeak-ng sox ffmpeg sngrep age unzip python3 xxd opus-tools; }
	@for p in softhsm2-util swtpm; do command -v $$p >/dev/null || missing=1; done; [ -z "$$missing" ] || { apt-get update -q && \
	  apt-get install -yq --no-install-recommends softhsm2 swtpm; }
	@for p in zsh fish; do command -v $$p >/dev/null || missing=1; done; [ -z "$$missing" ] || { apt-get update -q && \
	  apt-get install -yq --no-install-recommends zsh fish; }
	@for p in tshark linphonec; do command -v $$p >/dev/null || missing=1; done; [ -z "$$missing" ] || { apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends tshark linphone-cli; } # recommended: mDNS, desktops

.PHONY: browser
browser: ## the console in Debian's Chromium, between real calls: every screen, each role, without a script; SCREENS=DIR keeps pictures
	@command -v chromium >/dev/null && command -v sipp >/dev/null && command -v age >/dev/null && command -v unzip >/dev/null && \
	  fc-list | grep -q Liberation || { apt-get update -q && \
	  apt-get install -yq --no-install-recommends chromium fonts-liberation fontconfig sip-tester age unzip; }
	cd e2e/browser && GOFLAGS=-mod=mod CI=$${CI:-} $(GO) test -count=1 -timeout 5m -parallel 4 .

.PHONY: pkcs11 cells
cells: peers bin/vaultserver bin/versitygw ## root keys in each kind of device: SoftHSM, a TPM in software, Vault; an archive at a real object store; and erasures there; builds servers first, 6 minutes
	CI=$${CI:-} VAULTSERVER=$(CURDIR)/bin/vaultserver $(GO) test -count=1 ./store/rootcell/...
	CI=$${CI:-} VAULTSERVER=$(CURDIR)/bin/vaultserver $(GO) test -count=1 -run TestErasedIsGoneFromRealDevices ./store
	VERSITYGW=$(CURDIR)/bin/versitygw $(GO) test -count=1 -run 'TestErasedIsGoneFromARealObjectStore|TestAPlaceAtAServer' ./store ./store/archive/s3

bin/versitygw:
	GOFLAGS=-mod=mod GOBIN=$(CURDIR)/bin $(GO) install github.com/versity/versitygw/cmd/versitygw@v1.8.0

bin/vaultserver: internal/vaultserver/main.go internal/vaultserver/go.mod
	cd internal/vaultserver && $(GO) build -trimpath -o $(CURDIR)/bin/vaultserver .

RECORDINGS = $(foreach l,en es fr it ru,asterisk-core-sounds-$(l)-wav)

talkoff: ## ten hours of speech, synthetic and of people, in which no key may be found; some minutes
	@{ command -v espeak-ng && command -v sox && ls /usr/share/asterisk/sounds/*/*.wav; } >/dev/null 2>&1 || \
	  { apt-get update -q && apt-get install -yq espeak-ng sox $(RECORDINGS); }
	TALKOFF=10h TALKOFF_SEED=1000000 $(GO) test -count=1 -run TestNobodyIsTakenForAKey -v -timeout 60m ./media/dtmf

mutate: ## breaks each invariant on purpose; the suite must notice
	nice $(GO) run ./internal/mutate

bench: ## costs beside the machine's floor, in one run
	$(GO) test -run xxx -bench . -benchtime 20000x ./media ./media/dtmf
	$(GO) test -run xxx -bench 'Append|Grant' -benchtime 2000x ./store
	$(GO) test -run xxx -bench Sealing -benchtime 20x ./store
	ERASE_ROWS=$${ERASE_ROWS:-1000000} $(GO) test -run xxx -bench Erase -benchtime 1x -timeout 20m ./store
	COMPACT_ROWS=$${COMPACT_ROWS:-1000000} $(GO) test -run xxx -bench Compact -benchtime 1x -timeout 20m ./store
	STORE_BENCH=1000000 $(GO) test -count=1 -run TestBenchSearch -v -timeout 15m ./store # two minutes, and 2 GB of disk
	E2E_BENCH=1 $(GO) test -count=1 -run TestBenchAMillionEntries -v -timeout 15m ./store
	E2E_BENCH=1 $(GO) test -count=1 -run TestBench -v -timeout 15m ./e2e

bench-media: ## RTP through the gate, rtpengine and a floor in C; QUICK=1 for two minutes' worth, ARGS for more
	@command -v gcc >/dev/null && command -v rtpengine >/dev/null || \
	  { apt-get update -q && apt-get install -yq --no-install-recommends gcc libc6-dev rtpengine-daemon; }
	$(GO) run ./internal/bench/media $(if $(QUICK),-quick) $(ARGS)

.PHONY: bench-sip chaos
bench-sip: peers ## set-up capacity beside a plain proxy: 20,000 calls at 200 a second, twice; 5 minutes
	E2E_BENCH=1 $(GO) test -count=1 -run 'TestBenchSip$$' -v -timeout 20m ./e2e

chaos: ## 10,000 calls that misbehave at random moments, under the race detector; 4 minutes
	E2E_RACE=1 E2E_CHAOS=$${E2E_CHAOS:-10000} $(GO) test -count=1 -run TestCallsOfChaos -v -timeout 30m ./e2e

.PHONY: kills
kills: ## 200 kills of a process that records, seals and erases, and what each start makes of it; 4 minutes
	CONSENTGATE_TEST_KILLS=$${KILLS:-200} $(GO) test -count=1 -run TestCrashesAtAnyPoint -v -timeout 60m ./store

fuzz: ## 30 s on each fuzz target
	@for file in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do for target in $$(grep -oE '^func Fuzz\w+' $$file | sed 's/func //'); do \
	  dir=$$(dirname $$file); echo "== $$dir $$target"; \
	  $(GO) test -run xxx -fuzz "^$$target$$" -fuzztime 30s -fuzzminimizetime 1x $$dir || exit 1; done; done

prompts: ## renders the built-in prompts again from their texts
	sh media/prompt/make-prompts.sh

clean: ## takes away what was built
	rm -rf bin
