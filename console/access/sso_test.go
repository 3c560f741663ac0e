package access_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"consentgate/console/access"
	"consentgate/console/access/oidc"
	"consentgate/console/access/oidc/oidctest"
)

const flowCookie = "__Host-consentgate-oidc"

var people = map[string]oidctest.Person{
	"olga": {Password: "olga's", Roles: []string{"gate-officers"}},
	"nina": {Password: "nina's", Roles: []string{"other"}},
	"dana": {Password: "another dana's", Roles: []string{"gate-officers"}},
}

// ssoGate is a gate whose people may log in at a provider.
func ssoGate(t *testing.T, c oidc.Config) *gate {
	g := newGate(t, func(conf *access.Config) { conf.OIDC = &c })
	g.mux.HandleFunc("GET /login/oidc", func(w http.ResponseWriter, r *http.Request) {
		address, err := g.BeginOIDC(w, r, r.URL.Query().Get("next"))
		if err != nil {
			w.WriteHeader(access.Refusal(w, err))
			return
		}
		http.Redirect(w, r, address, http.StatusSeeOther)
	})
	g.mux.HandleFunc("GET /login/oidc/callback", func(w http.ResponseWriter, r *http.Request) {
		next, err := g.FinishOIDC(w, r)
		if err != nil {
			w.WriteHeader(access.Refusal(w, err))
			return
		}
		if err := access.Onward(w, next); err != nil {
			t.Error(err)
		}
	})
	return g
}

// toProvider clicks on the login at the provider, and gives where that leads.
func (b *browser) toProvider(path string) string {
	b.g.t.Helper()
	r := b.do("GET", path, nil)
	if r.StatusCode != http.StatusSeeOther {
		b.g.t.Fatalf("%s: %s", path, r.Status)
	}
	return r.Header.Get("Location")
}

// back comes from the provider, as a browser does: by a link of another site, so
// without cookies that are strictly this one's.
func (b *browser) back(query url.Values) *http.Response {
	strict := b.cookies[cookie]
	delete(b.cookies, cookie)
	r := b.do("GET", "/login/oidc/callback?"+query.Encode(), nil, with("Sec-Fetch-Site", "cross-site"))
	if b.cookies[cookie] == "" && strict != "" {
		b.cookies[cookie] = strict
	}
	return r
}

func TestWhileTheProviderIsDownPasswordsWork(t *testing.T) {
	g := ssoGate(t, oidc.Config{Issuer: "http://127.0.0.1:1", ClientID: "x", RedirectURL: oidctest.Redirect})
	b := g.browser("192.0.2.1")
	r := b.do("GET", "/login/oidc", nil)
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || g.logins("provider") != 1 {
		t.Error(r.Status)
	}
	if got := b.logIn("dana", danas); got != http.StatusSeeOther {
		t.Error(got)
	}
}

func TestWithoutAProviderNobodyComesBackFromOne(t *testing.T) {
	g := newGate(t)
	r := g.browser("192.0.2.1")
	if g.HasOIDC() {
		t.Error("there is one")
	}
	if got := r.do("GET", "/login/oidc/callback?code=x&state=", nil).StatusCode; got != http.StatusNotFound {
		t.Error(got)
	}
}

// TestLoginsAtAProvider tries in turn what holds, at one provider.
func TestLoginsAtAProvider(t *testing.T) {
	p := oidctest.New(t, people)
	p.Start()
	for name, try := range map[string]func(*testing.T, *gate, *browser){
		"who has a role gets in": func(t *testing.T, g *gate, b *browser) {
			address := b.toProvider("/login/oidc?next=/recordings/1")
			r := b.back(p.LogIn(address, "olga", people["olga"]))
			if page := body(t, r); r.StatusCode != http.StatusOK || !strings.Contains(page, `content="0; url=/recordings/1"`) {
				t.Fatal(r.Status, page)
			}
			if got := body(t, b.do("GET", "/me", nil)); got != "olga officer oidc" {
				t.Error(got)
			}
			if got := g.trail.list(); !slices.Equal(got, []string{"in olga oidc 192.0.2.1"}) {
				t.Error(got)
			}
			if b.cookies[flowCookie] != "" {
				t.Error("the browser still holds the login under way")
			}
		},
		"what the browser holds meanwhile": func(t *testing.T, _ *gate, b *browser) {
			r := b.do("GET", "/login/oidc", nil)
			c := r.Cookies()[0]
			if got := strings.Replace(r.Header.Get("Set-Cookie"), c.Value, "V", 1); got != flowCookie+"=V; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax" {
				t.Error(got)
			}
			u, err := url.Parse(r.Header.Get("Location"))
			if err != nil || u.Query().Get("state") == "" || strings.Contains(c.Value, u.Query().Get("state")) {
				t.Errorf("%s, %v", u, err)
			}
		},
		"a login leads nowhere else": func(t *testing.T, _ *gate, b *browser) {
			address := b.toProvider("/login/oidc?next=//evil.example")
			if page := body(t, b.back(p.LogIn(address, "olga", people["olga"]))); !strings.Contains(page, `url=/"`) {
				t.Error(page)
			}
		},
		"somebody else's browser doesn't get in": func(t *testing.T, g *gate, b *browser) {
			q := p.LogIn(b.toProvider("/login/oidc"), "olga", people["olga"])
			other := g.browser("192.0.2.2")
			if got := other.back(q); got.StatusCode != http.StatusForbidden || other.cookies[cookie] != "" {
				t.Error("without a login under way:", got.Status)
			}
			other.toProvider("/login/oidc")
			if got := other.back(q); got.StatusCode != http.StatusForbidden || other.cookies[cookie] != "" {
				t.Error("with its own:", got.Status)
			}
			if g.logins("forged") != 2 || len(g.trail.list()) != 0 {
				t.Error(g.trail.list())
			}
		},
		"a login comes back once": func(t *testing.T, g *gate, b *browser) {
			q := p.LogIn(b.toProvider("/login/oidc"), "olga", people["olga"])
			held := b.cookies[flowCookie]
			b.back(q)
			if got := b.back(q); got.StatusCode != http.StatusForbidden {
				t.Error(got.Status)
			}
			thief := g.browser("192.0.2.2")
			thief.cookies[flowCookie] = held
			if got := thief.back(q); got.StatusCode != http.StatusForbidden || thief.cookies[cookie] != "" {
				t.Error("with a copy of what the browser held:", got.Status)
			}
		},
		"what the browser holds can't be changed": func(t *testing.T, _ *gate, b *browser) {
			q := p.LogIn(b.toProvider("/login/oidc"), "olga", people["olga"])
			held := []byte(b.cookies[flowCookie])
			held[len(held)/2] ^= 1
			b.cookies[flowCookie] = string(held)
			if got := b.back(q); got.StatusCode != http.StatusForbidden {
				t.Error(got.Status)
			}
		},
		"who has no role doesn't": func(t *testing.T, g *gate, b *browser) {
			if got := b.back(p.LogIn(b.toProvider("/login/oidc"), "nina", people["nina"])); got.StatusCode != http.StatusForbidden || b.cookies[cookie] != "" {
				t.Error(got.Status)
			}
			if got := g.trail.list(); !slices.Equal(got, []string{`failed "" 192.0.2.1 oidc: no role`}) || g.logins("no_role") != 1 {
				t.Error(got)
			}
		},
		"who has the name of a user here doesn't": func(t *testing.T, g *gate, b *browser) {
			if got := b.back(p.LogIn(b.toProvider("/login/oidc"), "dana", people["dana"])); got.StatusCode != http.StatusForbidden || b.cookies[cookie] != "" {
				t.Error(got.Status, g.trail.list())
			}
		},
		"without an entry in the log nobody does": func(t *testing.T, g *gate, b *browser) {
			q := p.LogIn(b.toProvider("/login/oidc"), "olga", people["olga"])
			g.trail.broken = http.ErrServerClosed
			if got := b.back(q); got.StatusCode != http.StatusServiceUnavailable || b.cookies[cookie] != "" {
				t.Error(got.Status)
			}
		},
		"it takes the place of the session of before": func(t *testing.T, g *gate, b *browser) {
			b.logIn("erin", erins)
			address := b.toProvider("/login/oidc")
			b.back(p.LogIn(address, "olga", people["olga"]))
			if got := body(t, b.do("GET", "/me", nil)); got != "olga officer oidc" {
				t.Error(got)
			}
		},
		"who makes codes up is slowed down": func(t *testing.T, g *gate, b *browser) {
			last := 0
			for range 12 {
				u, err := url.Parse(b.toProvider("/login/oidc"))
				if err != nil {
					t.Fatal(err)
				}
				last = b.back(url.Values{"state": {u.Query().Get("state")}, "code": {"guess"}}).StatusCode
			}
			if last != http.StatusTooManyRequests || len(g.trail.list()) != 10 {
				t.Error(last, g.trail.list())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := ssoGate(t, p.Config())
			try(t, g, g.browser("192.0.2.1"))
		})
	}
}
