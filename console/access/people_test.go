package access_test

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"consentgate/console/access"
	"consentgate/console/access/oidc/oidctest"
)

// others are the users of newGate, but for what change does.
func others(change func([]access.User) []access.User) []access.User {
	sum := sha256.Sum256([]byte(robot))
	return change([]access.User{{Name: "dana", Role: access.Officer, Password: danasHash()}, {Name: "erin", Role: access.Auditor, Password: erinsHash()},
		{Name: "robot", Role: access.Operator, TokenSHA256: sum[:]}})
}

// TestOtherUsersEndTheSessionsOfWhomTheyConcern, at once, and nobody else's.
func TestOtherUsersEndTheSessionsOfWhomTheyConcern(t *testing.T) {
	less := func(i int) func([]access.User) []access.User {
		return func(u []access.User) []access.User { return slices.Delete(u, i, i+1) }
	}
	set := func(f func(u []access.User)) func([]access.User) []access.User {
		return func(u []access.User) []access.User { f(u); return u }
	}
	for name, c := range map[string]struct {
		change      func([]access.User) []access.User
		dana, erin  int // status afterwards
		danaAgain   int // at another login with the same password
		robotStatus int
	}{
		"the same":          {set(func([]access.User) {}), 200, 200, 303, 200},
		"dana is gone":      {less(0), 401, 200, 403, 200},
		"erin is gone":      {less(1), 200, 401, 303, 200},
		"the robot is gone": {less(2), 200, 200, 303, 401},
		"dana's password":   {set(func(u []access.User) { u[0].Password = cheap("another password") }), 401, 200, 403, 200},
		"the hash is new":   {set(func(u []access.User) { u[0].Password = erinsHash() }), 401, 200, 403, 200},
		"no password":       {set(func(u []access.User) { u[0].Password, u[0].TokenSHA256 = access.User{}.Password, make([]byte, 32) }), 401, 200, 403, 200},
		"dana's role":       {set(func(u []access.User) { u[0].Role = access.Operator }), 401, 200, 303, 200},
		"dana's new token":  {set(func(u []access.User) { u[0].TokenSHA256 = make([]byte, 32) }), 200, 200, 303, 200},
		"the robot's token": {set(func(u []access.User) { u[2].TokenSHA256 = make([]byte, 32) }), 200, 200, 303, 401},
		"in another order":  {set(slices.Reverse[[]access.User]), 200, 200, 303, 200},
		"nobody":            {func([]access.User) []access.User { return nil }, 401, 401, 403, 401},
	} {
		g := newGate(t)
		dana, erin := g.browser("192.0.2.1"), g.browser("192.0.2.2")
		dana.logIn("dana", danas)
		erin.logIn("erin", erins)
		token := func() int {
			return g.browser("192.0.2.3").do("GET", "/me", nil, with("Authorization", "Bearer "+robot)).StatusCode
		}
		if token() != http.StatusOK {
			t.Fatal("control: the token isn't good")
		}
		ended := g.SetUsers(others(c.change))
		if got := dana.do("GET", "/me", nil).StatusCode; got != c.dana {
			t.Errorf("%s: dana's session: %d, want %d", name, got, c.dana)
		}
		if got := erin.do("GET", "/me", nil).StatusCode; got != c.erin {
			t.Errorf("%s: erin's session: %d, want %d", name, got, c.erin)
		}
		if want := (c.dana + c.erin - 400) / 201; ended != want {
			t.Errorf("%s: %d sessions ended, want %d", name, ended, want)
		}
		if got := token(); got != c.robotStatus {
			t.Errorf("%s: the token: %d, want %d", name, got, c.robotStatus)
		}
		if got := g.browser("192.0.2.1").logIn("dana", danas); got != c.danaAgain {
			t.Errorf("%s: dana logs in: %d, want %d", name, got, c.danaAgain)
		}
	}
}

// TestANewRoleCountsAfterTheNextLogin, and for tokens at once.
func TestANewRoleCountsAfterTheNextLogin(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	b.logIn("dana", danas)
	g.SetUsers(others(func(u []access.User) []access.User { u[0].Role, u[2].Role = access.Auditor, access.Officer; return u }))
	b.logIn("dana", danas)
	if got := body(t, b.do("GET", "/me", nil)); got != "dana auditor password" {
		t.Error(got)
	}
	if got := body(t, b.do("GET", "/me", nil, with("Authorization", "Bearer "+robot))); got != "robot officer token" {
		t.Error(got)
	}
}

// TestANewTokensFirstUseIsWrittenDown, although the earlier one's was just now.
func TestANewTokensFirstUseIsWrittenDown(t *testing.T) {
	g := newGate(t)
	use := func(token string) int {
		return g.browser("192.0.2.1").do("GET", "/me", nil, with("Authorization", "Bearer "+token)).StatusCode
	}
	use(robot)
	sum := sha256.Sum256([]byte("another"))
	g.SetUsers(others(func(u []access.User) []access.User { u[2].TokenSHA256 = sum[:]; return u }))
	if got := use("another"); got != http.StatusOK {
		t.Fatal(got)
	}
	if got := g.trail.list(); len(got) != 2 || got[0] != "in robot token 192.0.2.1" || got[1] != got[0] {
		t.Error(got)
	}
}

// TestAUserTakesTheirNameFromThePeopleOfTheProvider: an entry in the log means one
// person.
func TestAUserTakesTheirNameFromThePeopleOfTheProvider(t *testing.T) {
	p := oidctest.New(t, people)
	p.Start()
	g := ssoGate(t, p.Config())
	b := g.browser("192.0.2.1")
	b.back(p.LogIn(b.toProvider("/login/oidc"), "olga", people["olga"]))
	if got := body(t, b.do("GET", "/me", nil)); got != "olga officer oidc" {
		t.Fatal("control:", got)
	}
	if ended := g.SetUsers(others(func(u []access.User) []access.User { return u[1:] })); ended != 0 || b.do("GET", "/me", nil).StatusCode != http.StatusOK {
		t.Error("other users' change ended the session")
	}
	if ended := g.SetUsers(others(func(u []access.User) []access.User { u[0].Name = "olga"; return u })); ended != 1 || b.do("GET", "/me", nil).StatusCode != http.StatusUnauthorized {
		t.Error("the session goes on")
	}
}

// TestNobodySlipsInWhileTheUsersChange: whatever the order of a login and the removal
// of its user, there is no session afterwards.
func TestNobodySlipsInWhileTheUsersChange(t *testing.T) {
	g := newGate(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			g.browser("192.0.2.1").do("POST", "/login", url.Values{"name": {"dana"}, "password": {danas}})
			if i == 2 {
				g.SetUsers(others(func(u []access.User) []access.User { return u[1:] }))
			}
		})
	}
	all.Wait()
	if n := g.Sessions(); n != 0 {
		t.Errorf("%d sessions of who isn't a user", n)
	}
}
