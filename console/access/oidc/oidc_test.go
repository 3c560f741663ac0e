package oidc_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"consentgate/console/access/oidc"
	"consentgate/console/access/oidc/oidctest"
)

var people = map[string]oidctest.Person{
	"olga":  {Password: "olga's", Roles: []string{"x", "gate-officers"}, Email: "olga@example.com"},
	"bruno": {Password: "bruno's", Roles: []string{"gate-officers", "gate-auditors"}},
	"nina":  {Password: "nina's", Roles: []string{"other"}},
	"nils":  {Password: "nils's"},
}

// TestLoginsAtARealProvider, which is down at first: what holds is tried in turn,
// with one provider, as it takes a while to build.
func TestLoginsAtARealProvider(t *testing.T) {
	p := oidctest.New(t, people)
	c := oidc.New(p.Config()).Impatient()
	begin := func(t *testing.T, c *oidc.Client) (string, oidc.Flow) {
		t.Helper()
		address, f, err := c.Begin(t.Context(), "state", "nonce")
		if err != nil {
			t.Fatal(err)
		}
		return address, f
	}
	if _, _, err := c.Begin(t.Context(), "state", "nonce"); !errors.Is(err, oidc.ErrProvider) {
		t.Fatalf("while it is down: %v", err)
	}
	p.Start()
	t.Run("who has a role gets it", func(t *testing.T) {
		for name, want := range map[string]string{"olga": "officer", "bruno": "auditor", "nina": "", "nils": ""} {
			address, f := begin(t, c)
			got, err := c.Finish(t.Context(), f, p.LogIn(address, name, people[name]))
			if got.Role != want || got.Name != name || errors.Is(err, oidc.ErrNoRole) != (want == "") || err != nil && want != "" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})
	t.Run("the challenge goes along", func(t *testing.T) {
		address, f := begin(t, c)
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") != "nonce" || q.Get("state") != "state" ||
			q.Get("response_type") != "code" || strings.Contains(address, f.Verifier) {
			t.Error(address)
		}
	})
	for name, change := range map[string]func(*oidc.Flow, url.Values){
		"another verifier": func(f *oidc.Flow, _ url.Values) { f.Verifier = strings.Repeat("v", 43) },
		"another nonce":    func(f *oidc.Flow, _ url.Values) { f.Nonce = "another" },
		"no nonce":         func(f *oidc.Flow, _ url.Values) { f.Nonce = "" },
		"another state":    func(f *oidc.Flow, _ url.Values) { f.State = "another" },
		"no state at all":  func(f *oidc.Flow, q url.Values) { f.State = ""; q.Del("state") },
		"another issuer":   func(_ *oidc.Flow, q url.Values) { q.Set("iss", "https://evil.example") },
		"a made-up code":   func(_ *oidc.Flow, q url.Values) { q.Set("code", "guess") },
		"a refusal":        func(_ *oidc.Flow, q url.Values) { q.Del("code"); q.Set("error", "access_denied") },
	} {
		t.Run(name, func(t *testing.T) {
			address, f := begin(t, c)
			q := p.LogIn(address, "olga", people["olga"])
			change(&f, q)
			if got, err := c.Finish(t.Context(), f, q); !errors.Is(err, oidc.ErrAnswer) || got != (oidc.Identity{}) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("a code is good once", func(t *testing.T) {
		address, f := begin(t, c)
		q := p.LogIn(address, "olga", people["olga"])
		if _, err := c.Finish(t.Context(), f, q); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Finish(t.Context(), f, q); !errors.Is(err, oidc.ErrAnswer) {
			t.Error(err)
		}
	})
	t.Run("another's code is no good", func(t *testing.T) {
		theirs, _ := begin(t, c)
		stolen := p.LogIn(theirs, "bruno", people["bruno"])
		_, f := begin(t, c)
		if got, err := c.Finish(t.Context(), f, stolen); !errors.Is(err, oidc.ErrAnswer) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("a client that the provider doesn't know", func(t *testing.T) {
		conf := p.Config()
		conf.Secret = "wrong"
		other := oidc.New(conf)
		address, f := begin(t, other)
		if got, err := other.Finish(t.Context(), f, p.LogIn(address, "olga", people["olga"])); !errors.Is(err, oidc.ErrAnswer) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("an issuer that is written otherwise", func(t *testing.T) {
		conf := p.Config()
		conf.Issuer += "/"
		if _, _, err := oidc.New(conf).Begin(t.Context(), "state", "nonce"); !errors.Is(err, oidc.ErrProvider) {
			t.Error(err)
		}
	})
}

func TestClaimsBecomeANameAndARole(t *testing.T) {
	conf := oidc.Config{NameClaim: "name", RolesClaim: "a.roles", Roles: []oidc.Mapping{{Value: "o", Role: "officer"}, {Value: "u", Role: "auditor"}}}
	roles := func(v any) map[string]any { return map[string]any{"name": "olga", "a": map[string]any{"roles": v}} }
	for name, c := range map[string]struct {
		claims map[string]any
		role   string
		err    error
	}{
		"a list":              {roles([]any{"x", "u"}), "auditor", nil},
		"one text":            {roles("o"), "officer", nil},
		"several":             {roles([]any{"u", "o"}), "officer", nil},
		"a name with a dot":   {map[string]any{"name": "olga", "a.roles": []any{"o"}, "a": map[string]any{"roles": []any{"u"}}}, "officer", nil},
		"none":                {roles([]any{}), "", oidc.ErrNoRole},
		"no claim":            {map[string]any{"name": "olga"}, "", oidc.ErrNoRole},
		"a claim of no texts": {roles([]any{1.0, true, map[string]any{"o": "o"}}), "", oidc.ErrNoRole},
		"a text on the way":   {map[string]any{"name": "olga", "a": "roles"}, "", oidc.ErrNoRole},
		"nearly a role":       {roles([]any{"O", "o ", "oo"}), "", oidc.ErrNoRole},
		"no name":             {map[string]any{"a.roles": "o"}, "", oidc.ErrAnswer},
		"a name of no text":   {map[string]any{"name": 1.0, "a.roles": "o"}, "", oidc.ErrAnswer},
		"a name of two lines": {map[string]any{"name": "olga\nadmin", "a.roles": "o"}, "", oidc.ErrAnswer},
		"a name without end":  {map[string]any{"name": strings.Repeat("o", 129), "a.roles": "o"}, "", oidc.ErrAnswer},
	} {
		got, err := conf.Identity(c.claims)
		if got.Role != c.role || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	conf.NameClaim = "email"
	for verified, want := range map[any]error{true: nil, false: oidc.ErrAnswer, "true": oidc.ErrAnswer, nil: oidc.ErrAnswer} {
		if _, err := conf.Identity(map[string]any{"email": "o@example.com", "email_verified": verified, "a.roles": "o"}); !errors.Is(err, want) {
			t.Errorf("an address that is verified %v: %v", verified, err)
		}
	}
}
