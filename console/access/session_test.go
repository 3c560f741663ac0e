package access_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/console/access"
)

const cookie = "__Host-consentgate"

func TestWhoKnowsThePasswordIsLetIn(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	r := b.do("POST", "/login", url.Values{"name": {"dana"}, "password": {danas}, "next": {"/recordings"}})
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/recordings" {
		t.Fatalf("%d %s", r.StatusCode, r.Header.Get("Location"))
	}
	if got := body(t, b.do("GET", "/me", nil)); got != "dana officer password" {
		t.Error(got)
	}
	if got := g.trail.list(); len(got) != 1 || got[0] != "in dana password 192.0.2.1" {
		t.Error(got)
	}
	if g.logins("ok") != 1 {
		t.Error("the login isn't counted")
	}
}

func TestWithoutProofNobodyIsLetIn(t *testing.T) {
	g := newGate(t)
	for _, planted := range []string{"", "x", strings.Repeat("A", 43)} {
		b := g.browser("192.0.2.1")
		b.cookies[cookie] = planted
		if got := b.do("GET", "/me", nil).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("cookie %q: %d", planted, got)
		}
	}
}

func TestTheCookieIsForThisConsoleAlone(t *testing.T) {
	for tls, want := range map[bool]string{true: "__Host-consentgate=V; Path=/; HttpOnly; Secure; SameSite=Strict",
		false: "consentgate=V; Path=/; HttpOnly; SameSite=Strict"} {
		b := newGate(t, func(c *access.Config) { c.TLS = tls }).browser("192.0.2.1")
		r := b.do("POST", "/login", url.Values{"name": {"dana"}, "password": {danas}})
		got := r.Header.Get("Set-Cookie")
		value := r.Cookies()[0].Value
		if got = strings.Replace(got, value, "V", 1); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if len(value) != 43 { // 256 bits
			t.Errorf("an id of %d characters", len(value))
		}
	}
}

// TestASessionsIdIsNewAtEachLogin: an id that somebody planted in a browser, or had
// before, is worth nothing after the login (session fixation).
func TestASessionsIdIsNewAtEachLogin(t *testing.T) {
	g := newGate(t)
	attacker, b := g.browser("192.0.2.9"), g.browser("192.0.2.1")
	attacker.logIn("erin", erins)
	planted := attacker.cookies[cookie]
	for _, id := range []string{"planted", planted} {
		b.cookies[cookie], attacker.cookies[cookie] = id, id
		if got := b.logIn("dana", danas); got != http.StatusSeeOther {
			t.Fatal(got)
		}
		if b.cookies[cookie] == id {
			t.Error("the id is the one from before")
		}
		if got := attacker.do("GET", "/me", nil).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("who planted the id: %d", got)
		}
	}
}

func TestASessionEndsIdleAndAfterTheLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGate(t).browser("192.0.2.1")
		status := func() int { return b.do("GET", "/me", nil).StatusCode }
		b.logIn("dana", danas)
		time.Sleep(30*time.Minute - time.Second)
		if status() != http.StatusOK {
			t.Error("ended before it was idle for so long")
		}
		time.Sleep(30 * time.Minute)
		if status() != http.StatusUnauthorized {
			t.Error("goes on although it was idle")
		}
		b.logIn("dana", danas)
		for range 12*60/20 - 1 {
			time.Sleep(20 * time.Minute)
			if status() != http.StatusOK {
				t.Fatal("ended although it was used")
			}
		}
		time.Sleep(20 * time.Minute)
		if status() != http.StatusUnauthorized {
			t.Error("goes on past the longest")
		}
	})
}

func TestWhatAPageAsksByItselfKeepsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGate(t).browser("192.0.2.1")
		b.logIn("dana", danas)
		for range 3 {
			time.Sleep(10 * time.Minute)
			b.do("GET", "/me", nil, with(access.UnattendedHeader, "1"))
		}
		if got := b.do("GET", "/me", nil).StatusCode; got != http.StatusUnauthorized {
			t.Error(got)
		}
	})
}

func TestLogOutEndsTheSession(t *testing.T) {
	b := newGate(t).browser("192.0.2.1")
	b.logIn("dana", danas)
	id := b.cookies[cookie]
	if got := b.do("POST", "/logout", url.Values{access.CSRFField: {b.csrf()}}).StatusCode; got != http.StatusOK {
		t.Fatal(got)
	}
	if b.cookies[cookie] != "" {
		t.Error("the browser still has the cookie")
	}
	b.cookies[cookie] = id
	if got := b.do("GET", "/me", nil).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("the session goes on: %d", got)
	}
}

func TestOfASessionsIdOnlyTheHashIsKept(t *testing.T) {
	g := newGate(t)
	b := g.browser("192.0.2.1")
	b.logIn("dana", danas)
	if kept := g.Kept(); !strings.Contains(kept, "dana") || strings.Contains(kept, b.cookies[cookie]) {
		t.Error(kept)
	}
}

func TestAPersonHasTenSessionsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		var all []*browser
		for range 12 {
			b := g.browser("192.0.2.1")
			b.logIn("dana", danas)
			all = append(all, b)
			time.Sleep(time.Second)
		}
		for i, b := range all {
			if got, want := b.do("GET", "/me", nil).StatusCode == http.StatusOK, i >= 2; got != want {
				t.Errorf("session %d is there: %v", i, got)
			}
		}
		if g.Sessions() != 10 {
			t.Error(g.Sessions())
		}
	})
}

// TestRequestsByASessionMustComeFromItsPages: cross-site request forgery.
func TestRequestsByASessionMustComeFromItsPages(t *testing.T) {
	g := newGate(t)
	b, other := g.browser("192.0.2.1"), g.browser("192.0.2.2")
	b.logIn("dana", danas)
	other.logIn("erin", erins)
	good := url.Values{access.CSRFField: {b.csrf()}}
	if b.csrf() == "" || b.csrf() == other.csrf() {
		t.Fatal("tokens aren't each session's own")
	}
	for name, c := range map[string]struct {
		form   url.Values
		path   string
		change func(*http.Request)
		want   int
	}{
		"our form":                   {good, "/me", func(*http.Request) {}, 200},
		"our script":                 {nil, "/me", with(access.CSRFHeader, b.csrf()), 200},
		"an old browser, our form":   {good, "/me", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://gate.example") }, 200},
		"no token":                   {nil, "/me", func(*http.Request) {}, 403},
		"an empty token":             {url.Values{access.CSRFField: {""}}, "/me", func(*http.Request) {}, 403},
		"another session's token":    {url.Values{access.CSRFField: {other.csrf()}}, "/me", func(*http.Request) {}, 403},
		"another token in a header":  {good, "/me", with(access.CSRFHeader, other.csrf()), 403},
		"the token in the query":     {nil, "/me?csrf=" + url.QueryEscape(b.csrf()), func(*http.Request) {}, 403},
		"another site, and a token":  {good, "/me", with("Sec-Fetch-Site", "cross-site"), 403},
		"a sister site, and a token": {good, "/me", with("Sec-Fetch-Site", "same-site"), 403},
		"an old browser, elsewhere":  {good, "/me", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, 403},
		"a form of text":             {good, "/me", with("Content-Type", "text/plain"), 403},
		"a form without end":         {url.Values{access.CSRFField: {b.csrf()}, "x": {strings.Repeat("x", 64<<10)}}, "/me", func(*http.Request) {}, 403},
	} {
		for _, method := range []string{"POST"} {
			if got := b.do(method, c.path, c.form, c.change).StatusCode; got != c.want {
				t.Errorf("%s: %d, want %d", name, got, c.want)
			}
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		if got := b.do(method, "/me", nil).StatusCode; got != 403 {
			t.Errorf("%s without a token: %d", method, got)
		}
	}
}

func TestALoginFormOfAnotherPageIsRefused(t *testing.T) {
	g := newGate(t)
	form := url.Values{"name": {"dana"}, "password": {danas}}
	for name, change := range map[string]func(*http.Request){
		"another site's":   with("Sec-Fetch-Site", "cross-site"),
		"from who knows":   without("Sec-Fetch-Site"),
		"another origin's": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
		"an opaque one's":  func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
	} {
		b := g.browser("192.0.2.1")
		if got := b.do("POST", "/login", form, change).StatusCode; got != http.StatusForbidden || len(b.cookies) > 0 {
			t.Errorf("%s: %d, cookies %v", name, got, b.cookies)
		}
	}
	if g.Comparisons() != 0 || g.logins("forged") != 4 {
		t.Errorf("%d comparisons, %d counted", g.Comparisons(), g.logins("forged"))
	}
}

func TestNoLoginWithoutAnEntryInTheLog(t *testing.T) {
	g := newGate(t)
	g.trail.broken = fmt.Errorf("no room")
	b := g.browser("192.0.2.1")
	r := b.do("POST", "/login", url.Values{"name": {"dana"}, "password": {danas}})
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || len(b.cookies) > 0 || g.Sessions() != 0 {
		t.Errorf("%d, cookies %v", r.StatusCode, b.cookies)
	}
	if got := b.do("GET", "/me", nil, with("Authorization", "Bearer "+robot)).StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("token: %d", got)
	}
	g.trail.broken = nil
	if got := b.logIn("dana", danas); got != http.StatusSeeOther {
		t.Errorf("with a log again: %d", got)
	}
	if g.logins("no_log") != 2 {
		t.Error(g.logins("no_log"))
	}
}
