package main

import (
	"os/exec"
	"strings"
	"testing"
)

// arrows are the packages that each package of ours may import. The law is the
// leaf: consent imports nothing of ours, and nothing that isn't the standard
// library's.
var arrows = map[string][]string{
	"consentgate/consent":             {},
	"consentgate/breach":              {},
	"consentgate/breach/pack":         {},
	"consentgate/processing":          {},
	"consentgate/breach/alarm":        {"breach", "internal/durable"},
	"consentgate/internal/completion": {},
	"consentgate/internal/durable":    {},
	"consentgate/internal/datagram":   {},
	"consentgate/internal/chaos":      {},
	"consentgate/internal/phone":      {},
	"consentgate/internal/faultdisk":  {},
	"consentgate/internal/mutate":     {},
	"consentgate/internal/sample":     {"consent", "store"},
	"consentgate/internal/scenario":   {"internal/phone"},
	"consentgate/internal/sipp":       {},
	"consentgate/media/codec":         {},
	"consentgate/media/dtmf":          {"consent"},
	"consentgate/media/quality":       {},
	"consentgate/media/sockets":       {},
	"consentgate/media":               {"consent", "media/codec", "media/dtmf", "media/quality", "media/sockets", "media/srtp"},
	"consentgate/media/srtp":          {},
	"consentgate/media/prompt":        {"consent", "media", "internal/durable"},
	"consentgate/media/prompt/render": {"consent", "media/prompt"},
	"consentgate/proxy/sdp":           {},
	"consentgate/proxy/locate":        {},
	"consentgate/proxy":               {"consent", "media", "media/srtp", "proxy/locate", "proxy/sdp"},
	"consentgate/store":               {"consent", "internal/datagram", "internal/durable", "media/codec", "store/archive", "store/catalog", "store/checkpoint", "store/evidence", "store/pcapng", "store/phone", "store/rights", "store/rootcell", "store/witness"},
	"consentgate/store/archive":       {},
	"consentgate/store/archive/s3":    {"store/archive"},

	"consentgate/store/archive/archivetest": {},

	"consentgate/store/catalog":      {},
	"consentgate/store/pcapng":       {},
	"consentgate/store/phone":        {},
	"consentgate/store/rights":       {},
	"consentgate/store/rootcell":     {"internal/durable"},
	"consentgate/store/evidence":     {"consent"},
	"consentgate/proxy/trace":        {"internal/datagram", "proxy/trace/redact"},
	"consentgate/proxy/trace/redact": {},
	"consentgate/store/checkpoint":   {},
	"consentgate/store/witness":      {"internal/durable", "store/checkpoint"},
	"consentgate/e2e":                {},
	"consentgate/console":            {"console/access", "console/access/attempts"},
	"consentgate/console/api":        {"consent", "console/access", "console/office", "store", "store/evidence", "store/rights"},
	"consentgate/console/access":     {"console/access/attempts", "console/access/oidc", "console/access/passwords"},
	"consentgate/console/client":     {"internal/durable"},
	"consentgate/console/office":     {"consent", "console/access", "store", "store/evidence", "store/rights"},
	"consentgate/console/page":       {"consent", "console/access", "console/office", "store", "store/evidence", "store/rights"},
	"consentgate/cmd/consentgate": {"consent", "media", "media/prompt", "proxy", "proxy/locate", "proxy/trace", "store", "store/archive/s3", "store/checkpoint", "store/evidence", "store/phone", "store/rights", "store/witness", "internal/phone",
		"breach", "breach/alarm", "breach/pack", "processing", "console", "console/access", "console/api", "console/office", "console/page", "console/access/oidc", "console/access/passwords", "console/certificate", "console/client", "internal/completion", "internal/durable", "store/rootcell", "store/rootcell/backup", "store/rootcell/pkcs11cell", "store/rootcell/tpmcell", "store/rootcell/vaultcell", "store/rootcell/wrapcell"},
	"consentgate/console/access/attempts":  {},
	"consentgate/console/access/oidc":      {},
	"consentgate/console/access/passwords": {},
	"consentgate/console/certificate":      {},

	"consentgate/console/access/oidc/oidctest": {"console/access/oidc"},

	"consentgate/store/rootcell/celltest":   {"store/rootcell"},
	"consentgate/store/rootcell/devicetest": {"store/rootcell", "store/rootcell/celltest", "store/rootcell/pkcs11cell", "store/rootcell/tpmcell", "store/rootcell/vaultcell"},
	"consentgate/store/rootcell/wrapcell":   {"store/rootcell", "internal/durable"},
	"consentgate/store/rootcell/backup":     {"store/rootcell"},
	"consentgate/store/rootcell/tpmcell":    {"store/rootcell"},

	"consentgate/store/rootcell/vaultcell":        {"store/rootcell", "store/rootcell/wrapcell"},
	"consentgate/store/rootcell/pkcs11cell":       {"store/rootcell", "store/rootcell/wrapcell"},
	"consentgate/store/rootcell/pkcs11cell/token": {"store/rootcell/pkcs11cell"},
	"consentgate/cmd/consentgate-pkcs11":          {"store/rootcell/pkcs11cell", "store/rootcell/pkcs11cell/token"},
	"consentgate/deploy":                          {},
	"consentgate/internal/bench/media":            {"internal/phone", "media/prompt"},
}

// TestPackagesImportOnlyWhatTheyMay: proxy and media know no store, store knows
// neither, and only cmd joins them.
func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "consentgate/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.Fields(line)
		may, known := arrows[f[0]]
		if !known {
			t.Errorf("%s isn't in the list: say what it may import", f[0])
			continue
		}
		for _, imported := range f[1:] {
			if f[0] == "consentgate/consent" && strings.Contains(imported, ".") {
				t.Errorf("consent imports %s: only the standard library may be", imported)
			}
			if ours, ok := strings.CutPrefix(imported, "consentgate/"); ok && !contains(may, ours) {
				t.Errorf("%s imports %s", f[0], ours)
			}
			if strings.HasPrefix(imported, "github.com/emiago/sipgo") && f[0] != "consentgate/proxy" && f[0] != "consentgate/internal/phone" {
				t.Errorf("%s imports sipgo: only proxy may, and the phone that tests it", f[0])
			}
			if imported == "github.com/miekg/dns" && f[0] != "consentgate/proxy/locate" {
				t.Errorf("%s imports a DNS library: only locate may", f[0])
			}
		}
	}
}

func contains(all []string, one string) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}
