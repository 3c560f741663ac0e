package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/console/access/oidc/oidctest"
)

// TestALoginAtAProviderEndsOnThePageThatWasAskedFor: the provider is another site, so
// browsers don't send our strict cookie along with a redirect from there.
func TestALoginAtAProviderEndsOnThePageThatWasAskedFor(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	olga := oidctest.Person{Password: "olga's", Roles: []string{"gate-officers"}}
	p := oidctest.New(t, map[string]oidctest.Person{"olga": olga})
	file := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(file, []byte(p.Config().Secret), 0o600))
	// localhost and 127.0.0.1, where the provider is, are two sites.
	g := start(t, fmt.Sprintf("  oidc: {issuer: %q, client_secret_file: %q, redirect_url: \"http://localhost:PORT/login/oidc/callback\", "+
		"roles_claim: realm_access.roles, roles: {gate-officers: officer}}\n", p.Config().Issuer, file))
	base := strings.Replace(g.url, "127.0.0.1", "localhost", 1)
	p.Redirect = base + "/login/oidc/callback"
	p.Start()
	b := newTab(t, browser, base)
	b.open("/login?next=/requests")
	b.press(`a[href^="/login/oidc"]`)
	b.run(keys("#username", "olga"), keys("#password", olga.Password))
	b.press("button")
	b.text("Requests of data subjects")
	b.text("olga")
	if at := eval[string](b, `location.href`); at != base+"/requests" {
		t.Error(at)
	}
}
