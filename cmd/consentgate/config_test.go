package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/access/oidc"
	"consentgate/proxy"
	"consentgate/proxy/locate"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/phone"
)

const exampleFile = "../../config.example.yaml"

// minimal is the least that a configuration can say: what the example marks as
// "yours", and nothing else.
const minimal = `
controller: {name: Example Ltd, contact: privacy@example.com}
trunks:
  - name: main
    pbx: {listen: ["udp://127.0.0.1:5060"], peers: ["sip:127.0.0.1:5062"]}
    carrier: {listen: ["udp://127.0.0.1:5070"], peers: ["sip:127.0.0.1:5072"]}
purposes:
  training:
    text:
      en: "staff training"
      de: "die Schulung unserer Mitarbeiter"
      fr: "la formation de notre personnel"
      es: "la formación de nuestro personal"
      it: "la formazione del nostro personale"
      nl: "de training van onze medewerkers"
      pl: "szkolenia naszych pracowników"
      pt: "a formação dos nossos colaboradores"
    retention: 90d
policies:
  - {name: emergency, numbers: ["112", "999", "911", "urn:service:sos*"], action: bypass}
  - {name: default, purpose: training}
`

func parsedOK(t *testing.T, text string) *Config {
	t.Helper()
	c, problems := ParseConfig("test.yaml", []byte(text))
	if !problems.Sound() {
		t.Fatalf("%s", problems)
	}
	c.Hash, c.tree = [32]byte{}, nil
	return c
}

// TestTheExampleIsTheDefaults: the example says nothing but what applies anyway.
func TestTheExampleIsTheDefaults(t *testing.T) {
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	example, least := parsedOK(t, string(raw)), parsedOK(t, minimal)
	if !reflect.DeepEqual(example, least) {
		t.Errorf("the example\n%+v\nthe defaults\n%+v", example, least)
	}
}

// TestTheExampleHasEveryKey: whoever reads it has seen all there is.
func TestTheExampleHasEveryKey(t *testing.T) {
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, file := range []string{"parse.go", "disk.go", "erasure.go", "peers.go", "policies.go", "audit.go", "root.go", "retention.go", "alarms.go", "record.go", "consoleconfig.go", "archive.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"([a-z][a-z_0-9]*)":\s+(?:parsed|p\.|func\(n|oneOf)`).FindAllStringSubmatch(string(src), -1) {
			known = append(known, m[1])
		}
	}
	if len(known) < 40 {
		t.Fatalf("only %d keys were found in the source", len(known))
	}
	for _, k := range known {
		if !regexp.MustCompile(`(?m)(^|[\s{#])` + k + `:`).Match(raw) {
			t.Errorf("%s isn't in the example", k)
		}
	}
}

// TestErasuresAreFinalEveryHourOrAsConfigured.
func TestErasuresAreFinalEveryHourOrAsConfigured(t *testing.T) {
	for text, want := range map[string]store.Rotation{
		"":                        {Every: time.Hour},
		"erasure: {every: 10m}\n": {Every: 10 * time.Minute},
		"erasure: {every: 0s, require_backup: true}\n":             {AtOnce: true, RequireBackup: true},
		"erasure: {require_backup: true, backups: [safe, bank]}\n": {Every: time.Hour, RequireBackup: true, Backups: []string{"safe", "bank"}},
	} {
		if got := parsedOK(t, text+minimal).Erasure; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestEachMistakeIsNamedWithItsLine: one mistake a row, made in the minimal
// configuration by replacing the first text by the second; the third must be in
// the message.
func TestEachMistakeIsNamedWithItsLine(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"controller:", "controler:", `test.yaml:2: controler: unknown key (did you mean "controller"?)`},
		{"retention: 90d", "retention: 90", `test.yaml:18: purposes.training.retention: "90": a duration is a number and a unit`},
		{"policies:", "trace: {calls: -1}\npolicies:", `trace.calls: "-1": allowed: 0 to 10000`},
		{"policies:", "retention: {brake: 10}\npolicies:", `retention.brake: "10": a share of 0% to 100%`},
		{"policies:", "retention: {brake: 101%}\npolicies:", "a share of 0% to 100%"},
		{"policies:", "retention: {least: -1}\npolicies:", "a number of recordings"},
		{"policies:", "retention: {requests: 3y}\npolicies:", "a duration is a number and a unit"},
		{"policies:", "trace: {calls: all}\npolicies:", `trace.calls: "all": allowed: 0 to 10000`},
		{"policies:", "hep: {server: homer}\npolicies:", `hep.server: "homer": an address and a port`},
		{"policies:", "hep: {server: \"192.0.2.1:0\"}\npolicies:", "hep.server: \"192.0.2.1:0\": an address and a port"},
		{"trunks:", "disk: {low: 51%}\ntrunks:", `disk.low: "51%": a share from 0% to 50%`},
		{"trunks:", "erasure: {every: 8d}\ntrunks:", `erasure.every: "8d": allowed: 1m to 7d, or 0s for at once`},
		{"trunks:", "erasure: {every: 5s}\ntrunks:", `erasure.every: "5s": allowed: 1m to 7d`},
		{"trunks:", "erasure: {backups: [safe]}\ntrunks:", "erasure.backups: nothing waits for them"},
		{"trunks:", "erasure: {require_backup: true, backups: [safe, safe]}\ntrunks:", `erasure.backups[1]: "safe" is there twice`},
		{"trunks:", "erasure: {require_backup: true, backups: [Dana Whitlock]}\ntrunks:", "a name of letters"},
		{"trunks:", "erasure: {require_backup: perhaps}\ntrunks:", `erasure.require_backup: "perhaps": allowed: true, false`},
		{"trunks:", "disk: {stop: 2GB}\ntrunks:", `disk.stop: "2GB": a share of the disk, for instance 5%, or a size, for instance 2GiB`},
		{"trunks:", "disk: {low: 1%}\ntrunks:", "disk.low: is less than disk.stop"},
		{"trunks:", "disk: {low: 1GiB, stop: 2GiB}\ntrunks:", "disk.low: is less than disk.stop"},
		{"  - name: main\n", "  - name: main\n    quota: 10\n", `trunks[0].quota: "10": a size is a whole number and a unit`},
		{"  - name: main\n", "  - name: main\n    quota: 9000000000TiB\n", "0 is no limit"},
		{"policies:", "audit: {every: 0s}\npolicies:", `audit.every: "0s": allowed: 1s to 24h0m0s`},
		{"policies:", "audit: {witness: [{}]}\npolicies:", "audit.witness[0]: one of file and url is needed"},
		{"policies:", "audit: {retention: 20d}\npolicies:", `audit.retention: "20d": 30d to 36500d, or 0s`},
		{"policies:", "audit: {witness: [{file: w.log, url: https://w.example}]}\npolicies:", "one of file and url is needed"},
		{"policies:", "audit: {witness: [{file: w.log, token_file: config_test.go}]}\npolicies:", "vkey and token_file belong to a url"},
		{"policies:", "audit: {witness: [{file: w.log}, {file: w.log}]}\npolicies:", "audit.witness[1]: file:w.log is there twice"},
		{"policies:", "audit: {witness: [{url: http://w.example/}]}\npolicies:", `audit.witness[0].url: "http://w.example/": https:// is required`},
		{"policies:", "audit: {witness: [{url: https://u:p@w.example/}]}\npolicies:", "a secret goes into token_file"},
		{"policies:", "audit: {witness: [{url: https://w.example, token_file: none}]}\npolicies:", "the token can't be read: none: no such file"},
		{"policies:", "audit: {witness: [{url: https://w.example, vkey: w+00000000+AAAA}]}\npolicies:", "a witness's verifier key is NAME+HASH+KEY"},
		{"policies:", "hep: {id: -1}\npolicies:", `hep.id: "-1": a whole number`},
		{"retention: 90d", "retain: 90d", "purposes.training.retain: unknown key"},
		{"    retention: 90d\n", "", "purposes.training.retention: is missing"},
		{"purpose: training}", "purpose: marketing}", `"marketing" isn't defined under purposes; defined: training`},
		{"{name: default, purpose: training}", "{name: default}", "policies[1].purpose: is missing"},
		{"purpose: training}", "purpose: training, accept: \"12\"}", `policies[1].accept: "12": one key`},
		{"purpose: training}", "purpose: training, accept: \"2\"}", `"2" is the accept key, too`},
		{"purpose: training}", "purpose: training, attempts: 0}", "attempts: \"0\": allowed: 1 to 10"},
		{"purpose: training}", "purpose: training, timeout: 1h}", "allowed: 100ms to 5m0s"},
		{"purpose: training}", "purpose: training, language: zz}", `purpose "training" has no text in "zz"`},
		{"purpose: training}", "purpose: training, parties: [caller]}", `"caller": allowed: remote, local`},
		{"purpose: training}", "purpose: training, parties: []}", "somebody must say yes"},
		{"purpose: training}", "purpose: training, when: ring, parties: [remote, local]}", "the caller alone can be asked"},
		{"purpose: training}", "purpose: training, when: later}", "allowed: answer, ring"},
		{"purpose: training}", "purpose: training, on_refusal: scream}", "allowed: connect, hangup"},
		{"purpose: training}", "purpose: training, withdraw: \"*7\"}", "would press it, too"},
		{"purpose: training}", "purpose: training, withdraw: \"9\", pause: \"*9\"}", "would press it, too"},
		{"purpose: training}", "purpose: training, withdraw: star}", "up to six keys"},
		{"purpose: training}", "purpose: training, barge_in: maybe}", "allowed: true, false"},
		{"purpose: training}", "purpose: training, direction: up}", "allowed: any, inbound, outbound"},
		{"purpose: training}", "purpose: training, numbers: [\"1*2\"]}", "the beginning of one and * at the end"},
		{"purpose: training}", "purpose: training, prompt: missing.wav}", "missing.wav: no such file"},
		{"purpose: training}", "purpose: training, prompt: \"hello {{.Nobody}}\"}", "known: .Controller"},
		{"purpose: training}\n", "purpose: training}\n  - {name: more, purpose: training}\n", `policy "default" before it rules them all`},
		{"{name: default,", "{name: emergency,", `"emergency" is another policy's name, too`},
		{"{name: Example Ltd,", "{", "who asks must be said (GDPR recital 42)"},
		{"udp://127.0.0.1:5060", "sctp://127.0.0.1:5060", "udp://ADDRESS:PORT, tcp://"},
		{"udp://127.0.0.1:5060", "tcp://127.0.0.1:5060", "needs a udp:// address of its family in listen"},
		{"udp://127.0.0.1:5060", "tls://127.0.0.1:5060", "trunks[0].pbx.tls: is missing"},
		{"pbx: {", "pbx: {tls: {cert: none.pem, key: none.key}, ", "none.pem: no such file"},
		{"pbx: {", "pbx: {tls: {cert: none.pem}, ", "cert and key are both needed"},
		{"  - name: main\n", "  - name: main\n    max_calls: -1\n", "0 is no limit"},
		{"  - name: main\n", "  - name: main\n    max_calls_per_second: fast\n", "0 is no limit"},
		{"trunks:", "region: UK\ntrunks:", `test.yaml:3: region: "UK": the United Kingdom's code is GB`},
		{"trunks:", "region: Germany\ntrunks:", `region: "Germany": the code of a country with two capital letters (ISO 3166-1), for instance GB`},
		{"  - name: main\n", "  - name: main\n    region: de\n", `test.yaml:5: trunks[0].region: "de": a country's code is written in capitals: DE`},
		{"  - name: main\n", "  - name: main\n    bare_numbers: guess\n", `trunks[0].bare_numbers: "guess": allowed: as_is, international`},
		{"udp://127.0.0.1:5060", "udp://0.0.0.0:5060", "name the address itself"},
		{"udp://127.0.0.1:5060", "udp://[::1]:5060", "needs a udp:// address of its family in listen"},
		{"udp://127.0.0.1:5060", "udp://[fe80::1%lo]:5060", "link-local"},
		{"udp://127.0.0.1:5060", "udp://127.0.0.1:5070", "is listened on at"},
		{"udp://127.0.0.1:5060", "127.0.0.1:5060", "udp://ADDRESS:PORT"},
		{"sip:127.0.0.1:5062", "127.0.0.1:5062", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:127.0.0.1:99999", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:127.0.0.256", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:::1", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:[pbx.example]", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:pbx..example", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:pbx.example;transport=sctp", "sip:HOST[:PORT]"},
		{"sip:127.0.0.1:5062", "sip:pbx.example;transport=tcp", "needs a tcp:// address in listen"},
		{"udp://127.0.0.1:5060\"], peers: [\"sip:127.0.0.1:5062", "tcp://127.0.0.1:5060\"], peers: [\"sip:pbx.example:5062", "needs a udp:// address in listen"},
		{"trunks:", "dns: {servers: [ns.example]}\ntrunks:", "an address, or an address and a port"},
		{"trunks:", "dns: {server: [192.0.2.53]}\ntrunks:", `dns.server: unknown key (did you mean "servers"?)`},
		{"peers: [\"sip:127.0.0.1:5062\"]", "peers: []", "trunks[0].pbx.peers: is missing"},
		{"pbx: {", "pbx: {accept_from: [x], ", "an address or a network"},
		{"pbx: {", "pbx: {srtp: always, ", "allowed: off, optional, required"},
		{"pbx: {", "pbx: {media_address: host, ", "an IP address"},
		{"pbx: {", "pbx: {advertise: \"a b\", ", "HOST or HOST:PORT"},
		{"  - name: main\n", "  - nme: main\n", "trunks[0].name: is missing"},
		{"trunks:", "root: {driver: hsm}\ntrunks:", `root.driver: "hsm": allowed: file, pkcs11, tpm, vault`},
		{"trunks:", "root: {driver: pkcs11}\ntrunks:", "test.yaml:3: root.pkcs11.module: is missing: the token's library"},
		{"trunks:", "root: {driver: pkcs11, pkcs11: {module: m.so, token: gate}}\ntrunks:", "root.pkcs11.pin_file: is missing"},
		{"trunks:", "root:\n  driver: pkcs11\n  pkcs11: {pin: 1234}\ntrunks:", `test.yaml:5: root.pkcs11.pin: unknown key`},
		{"trunks:", "root: {driver: tpm}\ntrunks:", "root.tpm.password_file: is missing"},
		{"trunks:", "root: {tpm: {index: 0x01C00000}}\ntrunks:", "0x1800000 to 0x1bffffc"},
		{"trunks:", "root: {driver: vault, vault: {token_file: t}}\ntrunks:", `root.vault.address: "": a server's URL`},
		{"trunks:", "root: {driver: vault, vault: {token_file: t, address: \"http://192.0.2.1:8200\"}}\ntrunks:", "https:// is needed"},
		{"trunks:", "root: {vault: {mount: /v1/transit/}}\ntrunks:", "without /v1"},
		{"trunks:", "root: {name: A_B}\ntrunks:", "small letters, digits and hyphens"},
		{"trunks:", "root: {replicas: [{driver: file}]}\ntrunks:", "root.replicas[0].path: is missing"},
		{"trunks:", "root: {replicas: [{path: a, replicas: []}]}\ntrunks:", "root.replicas[0].replicas: unknown key"},
		{"trunks:", "archive: {bucket: recordings}\ntrunks:", "test.yaml:3: archive.endpoint: is missing: the object store's URL"},
		{"trunks:", "archive: {endpoint: \"https://s3.test\"}\ntrunks:", "archive.bucket: is missing"},
		{"trunks:", "archive: {endpoint: \"https://s3.test\", bucket: abc}\ntrunks:", "archive.secret_key_file: is missing: a file"},
		{"trunks:", "archive: {endpoint: \"http://s3.test\"}\ntrunks:", "https:// is required, but on a loopback address"},
		{"trunks:", "archive: {endpoint: \"https://s3.test/recordings\"}\ntrunks:", "archive.endpoint: \"https://s3.test/recordings\": endpoint: a server's URL"},
		{"trunks:", "archive: {bucket: A}\ntrunks:", "3 to 63 small letters"},
		{"trunks:", "archive: {prefix: gate}\ntrunks:", "each with / behind it"},
		{"trunks:", "archive: {secret_key: swordfish}\ntrunks:", "archive.secret_key: unknown key"},
		{"trunks:", "media: {ports: 100-200}\ntrunks:", "a range of at least 8 ports above 1023"},
		{"trunks:", "media: {codecs: some}\ntrunks:", "allowed: playable, any"},
		{"trunks:", "log: {level: loud}\ntrunks:", "allowed: debug, info, warn, error"},
		{"trunks:", "ops: {listen: here}\ntrunks:", "an address and a port"},
		{"trunks:", "shutdown_grace: soon\ntrunks:", "a duration is a number and a unit"},
		{"trunks:", "record: {transfers: [{to: \"A Ltd, US\"}]}\ntrunks:", "record.transfers[0]: to and safeguard are both needed"},
		{"trunks:", "record: {recipients: [\"\"]}\ntrunks:", "record.recipients[0]: \"\": must not be empty"},
		{"trunks:", "alarms: {plays: {most: -1}}\ntrunks:", `alarms.plays.most: "-1": a whole number`},
		{"trunks:", "alarms: {plays: {within: 31d}}\ntrunks:", `alarms.plays.within: "31d": allowed`},
		{"trunks:", "alarms: {hours: {days: [monday]}}\ntrunks:", `alarms.hours.days[0]: "monday": allowed: sun, mon`},
		{"trunks:", "alarms: {hours: {from: 7}}\ntrunks:", `alarms.hours.from: "7": a time of the day in quotes`},
		{"trunks:", "alarms: {hours: {from: \"20:00\"}}\ntrunks:", "alarms.hours: from isn't before until"},
		{"trunks:", "alarms: {hours: {zone: CEST}}\ntrunks:", `alarms.hours.zone: "CEST": a time zone's name`},
		{"trunks:", "alarms: {honey: [x]}\ntrunks:", `alarms.honey[0]: "x"`},
		{"trunks:", "alarms: {webhook: {url: \"http://192.0.2.1/\"}}\ntrunks:", "https:// is required"},
		{"trunks:", "alarms: {webhook: {token_file: config_test.go}}\ntrunks:", "token_file belongs to a url"},
		{"trunks:", "console: {listen: \"192.0.2.1:80\"}\ntrunks:", "is required when listen isn't a loopback address"},
		{"trunks:", "console: {users: [{name: a, role: boss, password: x}]}\ntrunks:", "allowed: operator, agent-lead, officer, auditor"},
		{"trunks:", "console: {users: [{name: a, role: officer, password: secret}]}\ntrunks:", "never the password itself"},
		{"trunks:", "console: {users: [{name: a, role: officer}]}\ntrunks:", "needs password or token_sha256"},
		{"trunks:", "console: {users: [{name: a, role: officer, password: \"$argon2id$v=19$m=4194304,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA\"}]}\ntrunks:", "which a login may cost"},
		{"trunks:", "console: {users: [{name: \"a\\tb\", role: officer}]}\ntrunks:", "1 to 128 characters"},
		{"trunks:", "console: {session: {idle: 10s}}\ntrunks:", `console.session.idle: "10s": allowed: 1m0s to 168h0m0s`},
		{"trunks:", "console: {session: {idle: 2h, longest: 1h}}\ntrunks:", "console.session.idle: is more than session.longest"},
		{"trunks:", "console: {session: {max: 1h}}\ntrunks:", "console.session.max: unknown key"},
		{"trunks:", "console: {oidc: {issuer: \"http://id.example\"}}\ntrunks:", `console.oidc.issuer: "http://id.example": https:// is required`},
		{"trunks:", "console: {url: \"http://gate.example\"}\ntrunks:", "console.url: "},
		{"trunks:", "console: {url: \"https://gate.example/path\"}\ntrunks:", "https://HOST[:PORT] and nothing behind it"},
		{"trunks:", "console: {url: \"https://dana@gate.example\"}\ntrunks:", "https://HOST[:PORT] and nothing behind it"},
		{"trunks:", "console: {url: \"https://:8443\"}\ntrunks:", "https://HOST[:PORT] and nothing behind it"},
		{"trunks:", "console: {oidc: {issuer: \"https://id.example\", roles: {a: officer}}}\ntrunks:", "console.oidc.redirect_url: is missing"},
		{"trunks:", "console: {oidc: {issuer: \"https://id.example\", redirect_url: \"https://gate.example/\"}}\ntrunks:", "its path is /login/oidc/callback"},
		{"trunks:", "console: {oidc: {issuer: \"https://id.example\", redirect_url: \"https://gate.example/login/oidc/callback\"}}\ntrunks:", "console.oidc.roles: is missing"},
		{"trunks:", "console: {oidc: {roles: {a: officer}}}\ntrunks:", "console.oidc.issuer: is missing"},
		{"trunks:", "console: {oidc: {roles: {a: boss}}}\ntrunks:", "console.oidc.roles.a: \"boss\": allowed: operator, agent-lead, officer, auditor"},
		{"trunks:", "console: {oidc: {roles: {a: officer, a: auditor}}}\ntrunks:", "console.oidc.roles.a: is there twice"},
		{"trunks:", "console: {oidc: {roles: [officer]}}\ntrunks:", "isn't a mapping of a claim's values to roles"},
		{"trunks:", "console: {oidc: {client_secret: x}}\ntrunks:", "console.oidc.client_secret: unknown key"},
		{"trunks:", "data_dir: \"\"\ntrunks:", "data_dir: \"\": must not be empty"},
		{"trunks:", "node: [a]\ntrunks:", "node: a list isn't a single value"},
		{"controller: {", "controller: {name: Twice, ", "controller.name: is there twice, first on line 2"},
		{"controller: {", "controller: {country: UK, ", `controller.country: "UK": the United Kingdom's code is GB`},
		{"controller: {", "controller: {country: Europe, ", `controller.country: "Europe": the code of a country`},
		{"controller: {", "controller: {adress: x, ", `controller.adress: unknown key (did you mean "address"?)`},
		{"policies:\n", "policies: x\nignored:\n", "policies: \"x\" isn't a list"},
		{minimal, "", "the file is empty"},
		{minimal, "a: [", "yaml:"},
		{minimal, "- a\n", "isn't a mapping of keys"},
	} {
		text := strings.Replace(minimal, c.old, c.new, 1)
		if text == minimal {
			t.Errorf("%q isn't in the minimal configuration", c.old)
			continue
		}
		_, problems := ParseConfig("test.yaml", []byte(text))
		if problems.Sound() || !strings.Contains(problems.String(), c.want) {
			t.Errorf("%q gives\n%s\nwant %q", c.new, problems, c.want)
		}
	}
}

// TestWhatAControllerStatesIsInReceiptsAndBundles: what the configuration says of
// it, of recipients and of transfers, and nothing that it doesn't say.
func TestWhatAControllerStatesIsInReceiptsAndBundles(t *testing.T) {
	c := parsedOK(t, strings.Replace(minimal, "controller: {", `controller: {address: "1 Example Street, London", country: GB, authority: "ICO, Wilmslow", `, 1)+
		"record:\n  recipients: [A Ltd]\n  transfers: [{to: \"B Inc., US\", safeguard: clauses}, {to: C, safeguard: D}]\n")
	if got, want := c.setting(), (evidence.Setting{Address: "1 Example Street, London", Country: "GB", Authority: "ICO, Wilmslow", Recipients: []string{"A Ltd"},
		Transfers: "B Inc., US: clauses; C: D"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := parsedOK(t, strings.Replace(minimal, "controller: {", "controller: {country: EU, ", 1)).setting(); !reflect.DeepEqual(got, evidence.Setting{Country: "EU"}) {
		t.Errorf("%+v", got)
	}
}

// TestAllMistakesAreNamedAtOnce, in the order of their lines.
func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	text := strings.NewReplacer("retention: 90d", "retention: x", "sip:127.0.0.1:5062", "x", "action: bypass", "action: x").Replace(minimal)
	_, problems := ParseConfig("test.yaml", []byte(text))
	last, errs := 0, 0
	for _, p := range problems {
		if p.Line < last {
			t.Errorf("line %d after line %d", p.Line, last)
		}
		last = p.Line
		if !p.Warning {
			errs++
		}
	}
	if errs < 3 {
		t.Errorf("only\n%s", problems)
	}
}

// TestAMistakeIsNamedOnce: what doesn't parse isn't said to be missing, too.
func TestAMistakeIsNamedOnce(t *testing.T) {
	users := "console: {users: [{name: dana, role: boss, token_sha256: \"" + strings.Repeat("0", 64) + "\"}]}\n"
	for mistake, text := range map[string]string{"90x": strings.Replace(minimal, "retention: 90d", "retention: 90x", 1), "boss": minimal + users} {
		_, problems := ParseConfig("test.yaml", []byte(text))
		errs := slices.DeleteFunc(problems, func(p Problem) bool { return p.Warning })
		if len(errs) != 1 || !strings.Contains(errs[0].Text, mistake) {
			t.Errorf("%s:\n%s", mistake, errs)
		}
	}
}

func TestARefusalThatHangsUpIsWarnedOf(t *testing.T) {
	_, problems := ParseConfig("test.yaml", []byte(strings.Replace(minimal, "purpose: training}", "purpose: training, on_refusal: hangup}", 1)))
	if !problems.Sound() || !strings.Contains(problems.String(), "warning: ") || !strings.Contains(problems.String(), "Art. 7(4)") {
		t.Errorf("%s", problems)
	}
}

// TestAWitnessBesideTheLogIsWarnedOf: it goes back with the data directory.
func TestAWitnessBesideTheLogIsWarnedOf(t *testing.T) {
	for file, warn := range map[string]bool{"data/witness.log": true, "./data/x/witness.log": true, "witness.log": false, "database/w.log": false} {
		c, problems := ParseConfig("test.yaml", []byte("audit: {witness: [{file: "+file+"}, {url: \"http://127.0.0.1:1/w\"}], every: 5s}\n"+minimal))
		if !problems.Sound() || strings.Contains(problems.String(), "lies in data_dir") != warn {
			t.Errorf("%s: %s", file, problems)
		}
		if c.Audit.Every != 5*time.Second || len(c.Audit.Witnesses) != 2 || c.Audit.Witnesses[1].URL == "" {
			t.Errorf("%+v", c.Audit)
		}
	}
}

// TestSecretsThatArentSecretAreWarnedOf, and missing ones; calls go on with both.
func TestSecretsThatArentSecretAreWarnedOf(t *testing.T) {
	pin := filepath.Join(t.TempDir(), "pin")
	text := strings.Replace(minimal, "trunks:", "root: {driver: pkcs11, pkcs11: {module: m.so, token: gate, pin_file: "+pin+"}}\ntrunks:", 1)
	for _, c := range []struct {
		mode os.FileMode // 0: it isn't there
		want string
	}{{0, "nothing is recorded until it is there"}, {0o644, "others may read or write"}, {0o640, ""}, {0o600, ""}} {
		if c.mode != 0 {
			if err := errors.Join(os.WriteFile(pin, []byte("271828"), 0o600), os.Chmod(pin, c.mode)); err != nil {
				t.Fatal(err)
			}
		}
		_, problems := ParseConfig("test.yaml", []byte(text))
		said := problems.String()
		if !problems.Sound() || (c.want == "") != (said == "") || !strings.Contains(said, c.want) || strings.Contains(said, "271828") {
			t.Errorf("%o: want %q, have %q", c.mode, c.want, said)
		}
	}
}

// TestKeysInTheClearAreWarnedOf: SRTP with SIP that isn't sealed.
func TestKeysInTheClearAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		mode string
		want proxy.SRTP
		warn bool
	}{{"off", proxy.SRTPOff, false}, {"optional", proxy.SRTPOptional, true}, {"required", proxy.SRTPRequired, true}} {
		config, problems := ParseConfig("test.yaml", []byte(strings.Replace(minimal, "pbx: {", "pbx: {srtp: "+c.mode+", ", 1)))
		if !problems.Sound() || config.Trunks[0].PBX.SRTP != c.want || config.Trunks[0].Carrier.SRTP != proxy.SRTPOff ||
			strings.Contains(problems.String(), "test.yaml:5: warning: trunks[0].pbx.srtp: keys are in session descriptions") != c.warn {
			t.Errorf("%s: %v\n%s", c.mode, config.Trunks[0].PBX.SRTP, problems)
		}
	}
}

// TestAChangedAcceptKeyNeedsAPromptThatSaysIt: without a program to render one
// it is an error, with one it is fine.
func TestAChangedAcceptKeyNeedsAPromptThatSaysIt(t *testing.T) {
	changed := strings.Replace(minimal, "purpose: training}", "purpose: training, accept: \"5\"}", 1)
	_, problems := ParseConfig("test.yaml", []byte("prompts: {tts: \"no-such-program {text}\"}\n"+changed))
	if problems.Sound() || !strings.Contains(problems.String(), "press five") {
		t.Errorf("%s", problems)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := ParseConfig("test.yaml", []byte("prompts: {tts: \""+sh+" {text}\"}\n"+changed)); !problems.Sound() {
		t.Errorf("%s", problems)
	}
}

func TestSizesAndSharesBecomeWhatTheyMean(t *testing.T) {
	c := parsedOK(t, "disk: {low: 2GiB, stop: 1.5%}\n"+strings.Replace(minimal, "  - name: main\n", "  - name: main\n    quota: 50GiB\n", 1))
	if c.Disk.Low != (store.Mark{Bytes: 2 << 30}) || c.Disk.Stop != (store.Mark{Share: 0.015}) || c.Trunks[0].Quota != 50<<30 {
		t.Errorf("%+v, %d", c.Disk, c.Trunks[0].Quota)
	}
	if c := parsedOK(t, "disk: {low: 0, stop: 500MiB}\n"+minimal); c.Disk.Low != (store.Mark{}) || c.Disk.Stop.Bytes != 500<<20 {
		t.Errorf("%+v", c.Disk)
	}
}

func TestValuesBecomeWhatTheyMean(t *testing.T) {
	c := parsedOK(t, strings.NewReplacer("pbx: {", "pbx: {accept_from: [192.0.2.0/24, 198.51.100.7], advertise: gate.example, media_address: 203.0.113.9, ",
		"purpose: training}", "purpose: training, parties: [remote, local], timeout: 12s, withdraw: \"\"}",
		"retention: 90d", "retention: 1d12h").Replace(minimal))
	pbx, pol := c.Trunks[0].PBX, c.Policies[1]
	if c.Trunks[0].Carrier.AcceptFrom != nil { // the peers' addresses, wherever these are
		t.Errorf("accept_from of the carrier is %v", c.Trunks[0].Carrier.AcceptFrom)
	}
	if pbx.AcceptFrom[0].String() != "192.0.2.0/24" || pbx.AcceptFrom[1].String() != "198.51.100.7/32" ||
		pbx.Advertise != "gate.example" || pbx.MediaAddress.String() != "203.0.113.9" {
		t.Errorf("%+v", c.Trunks[0])
	}
	if len(pol.Parties) != 2 || pol.Timeout != 12*time.Second || pol.Withdraw != "" || pol.Purpose.Retention != 36*time.Hour ||
		pol.Accept != '1' || pol.OnRefusal != consent.Connect {
		t.Errorf("%+v", pol)
	}
}

// TestATrunksNumbersAreOfItsRegion, else of the general one, wherever in the file
// that is.
func TestATrunksNumbersAreOfItsRegion(t *testing.T) {
	for _, c := range []struct {
		trunk, end string
		want       phone.Rules
	}{{"", "", phone.Rules{}}, {"", "region: GB\n", phone.Rules{Region: "GB"}},
		{"    region: DE\n", "region: GB\n", phone.Rules{Region: "DE"}}, {"    region: \"\"\n", "region: GB\n", phone.Rules{Region: "GB"}},
		{"    bare_numbers: international\n", "region: GB\n", phone.Rules{Region: "GB", BareInternational: true}}} {
		text := strings.Replace(minimal, "  - name: main\n", "  - name: main\n"+c.trunk, 1) + c.end
		if got := parsedOK(t, text).Trunks[0].Numbers; got != c.want {
			t.Errorf("%q: %+v, want %+v", c.trunk+c.end, got, c.want)
		}
	}
}

// TestPeersAreReadAndNotLookedFor: who reads a configuration asks no DNS.
func TestPeersAreReadAndNotLookedFor(t *testing.T) {
	for uri, want := range map[string]locate.Peer{
		"sip:192.0.2.1":                                 {Host: "192.0.2.1"},
		"sip:[2001:db8::1]:5070;transport=udp":          {Host: "2001:db8::1", Port: 5070, Transport: "udp"},
		"sip:[::ffff:192.0.2.1]":                        {Host: "192.0.2.1"},
		"sip:Carrier.example":                           {Host: "Carrier.example"},
		"sip:carrier.example.;transport=tls":            {Host: "carrier.example", Transport: "tls"},
		"sip:pbx:5062":                                  {Host: "pbx", Port: 5062},
		"sip:_x.3com.example:5061;transport=tcp":        {Host: "_x.3com.example", Port: 5061, Transport: "tcp"},
		"sip:xn--bcher-kva.example":                     {Host: "xn--bcher-kva.example"},
		"sip:a." + strings.Repeat("b", 63) + ".example": {Host: "a." + strings.Repeat("b", 63) + ".example"},
	} {
		if got, err := peerURI(uri); err != nil || got != want {
			t.Errorf("%s: %+v, %v", uri, got, err)
		}
	}
	c := parsedOK(t, "dns: {servers: [192.0.2.53, \"[2001:db8::53]:5353\", 2001:db8::54]}\n"+minimal)
	if fmt.Sprint(c.DNSServers) != "[192.0.2.53:53 [2001:db8::53]:5353 [2001:db8::54]:53]" {
		t.Errorf("%q", c.DNSServers)
	}
}

// TestCheckSaysWherePeersAre, and that one isn't to be found only as a warning:
// the gate starts without.
func TestCheckSaysWherePeersAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "dns: {servers: [\"127.0.0.1:1\"]}\n" + strings.NewReplacer("sip:127.0.0.1:5062", "sip:localhost:5062", "sip:127.0.0.1:5072", "sip:carrier.test").Replace(minimal)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"check", "--config", path}, &out, &errs); code != 0 || !strings.Contains(out.String(), "is sound") ||
		!strings.Contains(out.String(), "sip:localhost:5062 is at 127.0.0.1:5062 by udp") {
		t.Errorf("exit %d, %q", code, out.String())
	}
	if !strings.Contains(errs.String(), "config.yaml:7: warning: trunks[0].carrier.peers[0]: sip:carrier.test: asking DNS for") {
		t.Errorf("%q", errs.String())
	}
}

func TestCheckSaysWhatIsWrongAndHowItExits(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("nothing: here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"check", "--config", exampleFile}, 0, "is sound: 1 trunk, 2 policies"},
		{[]string{"check", "--config", bad}, 1, "bad.yaml:1: nothing: unknown key"},
		{[]string{"check", "--config", bad}, 1, "trunks: is missing"},
		{[]string{"check", "--config", "no-such-file"}, 1, "no such file"},
		{[]string{"check"}, 2, "--config FILE is missing"},
		{[]string{"check", "--confg", "x"}, 2, "flag provided but not defined"},
		{[]string{"check", "--config", exampleFile, "more"}, 2, `"more" isn't expected`},
		{[]string{"verify"}, 2, "one of --config and --export"},
		{[]string{"retention", "--config", exampleFile}, 2, "--dry-run, or --confirm REASON and --by NAME"},
		{[]string{"retention", "--config", exampleFile, "--confirm", "looked"}, 2, "and --by NAME"},
		{[]string{"retention", "--dry-run"}, 2, "--config FILE is missing"},
		{[]string{"dance"}, 2, `there is no command "dance"`},
		{nil, 2, "usage:"},
		{[]string{"version"}, 0, "consentgate "},
	} {
		var out strings.Builder
		if code := run(t.Context(), c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.out) {
			t.Errorf("%v: exit %d, %q; want %d, %q", c.args, code, out.String(), c.code, c.out)
		}
	}
}

// FuzzConfig: no file makes the loader panic.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a [*a, *a]\ntrunks: *a\n"))
	f.Add([]byte("policies: [{numbers: [1], parties: {}}]\nmedia: []\nconsole: {users: x, tls: 1}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n yaml.Node
		if yaml.Unmarshal(raw, &n) != nil {
			return
		}
		ParseConfig("fuzz.yaml", raw)
	})
}

// TestAProvidersRolesKeepTheirOrder: of several that somebody has the first counts.
func TestAProvidersRolesKeepTheirOrder(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := parsedOK(t, "console: {session: {idle: 10m}, oidc: {issuer: \"https://id.example/realms/a\", client_secret_file: "+secret+
		", redirect_url: \"https://gate.example:8443/login/oidc/callback\", roles_claim: realm_access.roles, roles: {z: auditor, a: officer, m: operator}}}\n"+minimal).Console
	want := oidc.Config{Issuer: "https://id.example/realms/a", ClientID: "consentgate", RedirectURL: "https://gate.example:8443/login/oidc/callback",
		NameClaim: "preferred_username", RolesClaim: "realm_access.roles", Roles: []oidc.Mapping{{Value: "z", Role: "auditor"}, {Value: "a", Role: "officer"}, {Value: "m", Role: "operator"}}}
	if text, err := secretIn(got.OIDCSecret); err != nil || text != "s3cret" {
		t.Errorf("%q, %v", text, err)
	}
	if !reflect.DeepEqual(got.OIDC, want) || got.Session != (access.SessionLimits{Idle: 10 * time.Minute, Longest: 12 * time.Hour}) {
		t.Errorf("%+v", got)
	}
}

// TestAProvidersSecretThatIsNotThereIsWarnedOf: it is no reason to take no calls.
func TestAProvidersSecretThatIsNotThereIsWarnedOf(t *testing.T) {
	_, problems := ParseConfig("test.yaml", []byte("console: {oidc: {issuer: \"https://id.example\", client_secret_file: none, "+
		"redirect_url: \"https://gate.example/login/oidc/callback\", roles: {a: officer}}}\n"+minimal))
	if said := problems.String(); !problems.Sound() || !strings.Contains(said, "warning: console.oidc.client_secret_file: the secret can't be read: none") {
		t.Error(said)
	}
}
