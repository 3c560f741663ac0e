package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/console/access"
)

// TestANameThatNobodyHasIsNotTold: the same answer, the same work, the same entry,
// the same waiting. (How long it takes is BenchmarkNames' to say.)
func TestANameThatNobodyHasIsNotTold(t *testing.T) {
	answers := map[string][]string{}
	for _, name := range []string{"dana", "nobody", "robot"} { // robot has no password
		g := newGate(t)
		b := g.browser("192.0.2.1")
		for range 8 {
			r := b.do("POST", "/login", url.Values{"name": {name}, "password": {"wrong"}})
			answers[name] = append(answers[name], fmt.Sprint(r.StatusCode, r.Header, body(t, r), g.Comparisons(), len(g.trail.list())))
		}
	}
	for name, got := range answers {
		if !slices.Equal(got, answers["dana"]) {
			t.Errorf("%s:\n%s\nand dana:\n%s", name, strings.Join(got, "\n"), strings.Join(answers["dana"], "\n"))
		}
	}
	if !strings.Contains(answers["dana"][0], "403") || !strings.Contains(answers["dana"][7], "429") {
		t.Error(answers["dana"])
	}
}

func TestWhatWasTypedForANameIsNotWrittenDown(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	b.logIn("my password by mistake", "dana")
	b.logIn("dana", "wrong")
	want := []string{`failed "" 192.0.2.1 password`, `failed "dana" 192.0.2.1 password`}
	if got := g.trail.list(); !slices.Equal(got, want) {
		t.Error(got)
	}
}

func TestTryingPasswordsIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		tried := 0
		for i := range 3600 { // an hour, a try a second, from ever other addresses
			b := g.browser(fmt.Sprintf("198.51.%d.%d", i/250, i%250))
			if b.logIn("dana", fmt.Sprint("guess", i)) != http.StatusTooManyRequests {
				tried++
			}
			time.Sleep(time.Second)
		}
		if tried > 5+7+60 {
			t.Errorf("%d guesses in an hour", tried)
		}
		if n := len(g.trail.list()); n != tried {
			t.Errorf("%d entries for %d guesses", n, tried)
		}
		b := g.browser("192.0.2.1")
		time.Sleep(time.Minute)
		if got := b.logIn("dana", danas); got != http.StatusSeeOther {
			t.Errorf("a minute later the one whose name it is gets %d", got)
		}
	})
}

func TestOneAddressTriesNoOthersNamesEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser("198.51.100.1")
		tried := 0
		for i := range 600 {
			if b.logIn(fmt.Sprint("name", i), "wrong") != http.StatusTooManyRequests {
				tried++
			}
			time.Sleep(time.Second)
		}
		if tried > 10+7+10 {
			t.Errorf("%d names in ten minutes", tried)
		}
		try := func() *http.Response { return b.do("POST", "/login", url.Values{"name": {"x"}, "password": {"y"}}) }
		try() // so that there was one just now, or it isn't time yet
		r, wait := try(), 0
		if _, err := fmt.Sscan(r.Header.Get("Retry-After"), &wait); err != nil || r.StatusCode != http.StatusTooManyRequests || wait < 1 || wait > 60 {
			t.Fatalf("%d, Retry-After: %q", r.StatusCode, r.Header.Get("Retry-After"))
		}
		time.Sleep(time.Duration(wait) * time.Second)
		if got := try().StatusCode; got != http.StatusForbidden {
			t.Errorf("when it was said to come again: %d", got)
		}
	})
}

// TestNobodyIsLockedOutByTheFailuresOfOthers: neither by those with the own name
// from elsewhere nor by those with other names from the own office.
func TestNobodyIsLockedOutByTheFailuresOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		office := g.browser("192.0.2.1")
		if got := office.logIn("dana", danas); got != http.StatusSeeOther {
			t.Fatal(got)
		}
		for i := range 40 {
			g.browser(fmt.Sprintf("198.51.100.%d", i)).logIn("dana", "wrong")
			office.logIn(fmt.Sprint("name", i), "wrong")
		}
		if got := g.browser("203.0.113.1").logIn("dana", danas); got != http.StatusTooManyRequests {
			t.Fatalf("elsewhere: %d, so nothing was shown", got)
		}
		if got := office.logIn("dana", danas); got != http.StatusSeeOther {
			t.Errorf("from where the login was good before: %d", got)
		}
		for range 10 {
			office.logIn("dana", "wrong")
		}
		if got := office.logIn("dana", danas); got != http.StatusTooManyRequests {
			t.Errorf("who guesses there isn't slowed down: %d", got)
		}
	})
}

func TestManyTriesAtOnceGainNothing(t *testing.T) {
	g := newGate(t)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { g.browser("198.51.100.1").logIn("dana", "wrong") })
	}
	all.Wait()
	if n := g.Comparisons(); n > 5 {
		t.Errorf("%d passwords were compared", n)
	}
}

func TestWhoComesInAllTheSameTimeWaitsForNoFailure(t *testing.T) {
	g := newGate(t)
	for range 20 { // of one address, as behind a NAT: what was good isn't counted
		if got := g.browser("192.0.2.1").logIn("dana", danas); got != http.StatusSeeOther {
			t.Fatal(got)
		}
		if got := g.browser("192.0.2.1").logIn("erin", erins); got != http.StatusSeeOther {
			t.Fatal(got)
		}
	}
}

func TestAFloodOfFailuresDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		flood := func(n int) {
			for i := range n {
				g.browser(fmt.Sprintf("10.%d.%d.%d", n%250, i/250, i%250)).do("GET", "/me", nil, with("Authorization", "Bearer guess"))
			}
		}
		flood(1000)
		if n := len(g.trail.list()); n != 100 {
			t.Errorf("%d entries for 1000 failures at once", n)
		}
		time.Sleep(2 * time.Second)
		flood(1)
		if got := g.trail.list(); got[len(got)-1] != `failed "" 10.1.0.0 token; 900 more since the last entry` {
			t.Error(got[len(got)-1])
		}
		if g.logins("wrong") != 1001 {
			t.Error(g.logins("wrong"))
		}
	})
}

func TestATokenIsProofOfItsOwner(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	for header, want := range map[string]int{"Bearer " + robot: 200, "bearer " + robot: 200, "Bearer " + robot + "0": 401, "Bearer ": 401,
		"Basic " + robot: 401, robot: 401, "Bearer": 401} {
		r := b.do("POST", "/me", nil, with("Authorization", header), with("Sec-Fetch-Site", "cross-site"))
		if r.StatusCode != want {
			t.Errorf("%q: %d", header, r.StatusCode)
		}
		if got := body(t, r); want == 200 && got != "robot operator token" {
			t.Error(got)
		}
	}
}

// TestATokenElsewhereThanInItsHeaderIsNothing: addresses end in logs and histories.
func TestATokenElsewhereThanInItsHeaderIsNothing(t *testing.T) {
	b := newGate(t).browser("192.0.2.1")
	for _, path := range []string{"/me?access_token=" + robot, "/me?token=" + robot, "/me?Authorization=Bearer+" + robot} {
		if got := b.do("GET", path, url.Values{"access_token": {robot}}).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, got)
		}
	}
	b.cookies[cookie] = robot
	if got := b.do("GET", "/me", nil).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("in a cookie: %d", got)
	}
}

func TestABadTokenIsNotMadeGoodByASession(t *testing.T) {
	b := newGate(t).browser("192.0.2.1")
	b.logIn("dana", danas)
	if got := b.do("GET", "/me", nil, with("Authorization", "Bearer x")).StatusCode; got != http.StatusUnauthorized {
		t.Error(got)
	}
}

func TestATokensUseIsWrittenDownOnceAnHourAndAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		use := func(from string, want int) {
			t.Helper()
			b := g.browser(from)
			for range 5 {
				if got := b.do("GET", "/me", nil, with("Authorization", "Bearer "+robot)).StatusCode; got != http.StatusOK {
					t.Fatal(got)
				}
			}
			if got := g.trail.list(); len(got) != want || got[want-1] != "in robot token "+from {
				t.Errorf("%q", got)
			}
		}
		use("192.0.2.1", 1)
		time.Sleep(59 * time.Minute)
		use("192.0.2.1", 1)
		use("192.0.2.2", 2)
		time.Sleep(2 * time.Minute)
		use("192.0.2.1", 3)
	})
}

func TestATokenThatIsGoodIsNotHeldUpByOnesThatAreNot(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	good, bad := with("Authorization", "Bearer "+robot), with("Authorization", "Bearer guess")
	b.do("GET", "/me", nil, good)
	for range 20 {
		b.do("GET", "/me", nil, bad)
	}
	if got := b.do("GET", "/me", nil, bad).StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("guessing tokens: %d", got)
	}
	if got := b.do("GET", "/me", nil, good).StatusCode; got != http.StatusOK {
		t.Errorf("the good one: %d", got)
	}
}

func TestALoginFormOfNoMeasureIsRefused(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	for name, c := range map[string]struct {
		form url.Values
		want int
	}{
		"much":            {url.Values{"name": {"dana"}, "password": {danas}, "x": {strings.Repeat("x", 9<<10)}}, http.StatusRequestEntityTooLarge},
		"a long name":     {url.Values{"name": {strings.Repeat("d", 200)}, "password": {danas}}, http.StatusForbidden},
		"a long password": {url.Values{"name": {"dana"}, "password": {strings.Repeat("d", 2000)}}, http.StatusForbidden},
		"no name":         {url.Values{"password": {danas}}, http.StatusForbidden},
	} {
		if got := b.do("POST", "/login", c.form).StatusCode; got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := b.do("POST", "/login?name=dana&password="+url.QueryEscape(danas), nil).StatusCode; got != http.StatusForbidden {
		t.Errorf("a password in the address: %d", got)
	}
	if g.Comparisons() != 0 {
		t.Error("something was compared")
	}
}

func TestALoginLeadsNowhereElse(t *testing.T) {
	b := newGate(t).browser("192.0.2.1")
	for next, want := range map[string]string{
		"/recordings/1?a=b#c": "/recordings/1?a=b#c", "/": "/",
		"": "/", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/", "\\/evil.example": "/", "/\t/evil.example": "/",
		"/\n/evil": "/", "/a\r\nSet-Cookie: x=y": "/", " /a": "/", "javascript:alert(1)": "/", "evil.example": "/", "///evil.example": "/",
		"http:/evil": "/", "/%zz": "/", "/\x00": "/", "/" + strings.Repeat("a", 2000): "/", "@evil.example": "/",
	} {
		if got := access.LocalPath(next); got != want {
			t.Errorf("%q leads to %q", next, got)
		}
		r := b.do("POST", "/login", url.Values{"name": {"dana"}, "password": {danas}, "next": {next}})
		if got := r.Header.Get("Location"); got != want || len(r.Cookies()) != 1 {
			t.Errorf("after a login %q leads to %q, with %d cookies", next, got, len(r.Cookies()))
		}
	}
}

func TestThePageOnwardSaysOnlyThePath(t *testing.T) {
	for path, want := range map[string]string{`/a"><script>`: `url=/a&#34;&gt;&lt;script&gt;"`, "//evil.example": `url=/"`} {
		w := httptest.NewRecorder()
		if err := access.Onward(w, path); err != nil || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s (%v)", w.Body, err)
		}
	}
}

func TestWhoGoesAwayLeavesNoFailure(t *testing.T) {
	g := newGate(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	b := g.browser("192.0.2.1")
	for range 20 {
		r := httptest.NewRequest("POST", "/", nil).WithContext(gone)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.RemoteAddr = "192.0.2.1:4"
		if err := g.LogIn(httptest.NewRecorder(), r, "dana", danas); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if got := b.logIn("dana", danas); got != http.StatusSeeOther {
		t.Error(got)
	}
}

// BenchmarkNames has the time of a failed login with a user's name beside that with
// nobody's.
func BenchmarkNames(b *testing.B) {
	for _, name := range []string{"dana", "nobody"} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				g := newGate(b)
				b.StartTimer()
				g.browser("192.0.2.1").logIn(name, "wrong")
			}
		})
	}
}
