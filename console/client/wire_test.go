package client_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// fake is a server that a test makes up.
func fake(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestEachPageIsAskedForWithTheCursorOfTheOneBefore until there is none, or enough.
func TestEachPageIsAskedForWithTheCursorOfTheOneBefore(t *testing.T) {
	t.Parallel()
	var asked []string
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("cursor")+":"+q.Get("limit"))
		next := map[string]string{"": "b", "b": "c", "c": ""}[q.Get("cursor")]
		fmt.Fprintf(w, `{"recordings": [{"id": "r%s1"}, {"id": "r%s2"}], "next": %q}`, q.Get("cursor"), q.Get("cursor"), next)
	})
	for limit, want := range map[string]string{"0": ":200 b:200 c:200", "3": ":3 b:1", "4": ":4 b:2", "1": ":1"} {
		asked = nil
		s := runAt(t, url, "dana", "recordings", "list", "--limit", limit, "--json")
		if got := strings.Join(asked, " "); s.code != 0 || got != want {
			t.Errorf("--limit %s: asked %q, want %q; %+v", limit, got, want, s)
		}
		decode[struct{ Next string }](t, s.out)
	}
}

// TestAListThatDoesNotEndIsGivenUp.
func TestAListThatDoesNotEndIsGivenUp(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"recordings": [{"id": "r"}], "next": "again"}`)
	})
	if s := runAt(t, url, "dana", "recordings", "list", "--limit", "0"); s.code != 1 || !strings.Contains(s.errs, "doesn't end") {
		t.Errorf("%+v", s)
	}
}

// TestAnExportThatIsBrokenOffLeavesNothing, nor does what isn't a gate's.
func TestAnExportThatIsBrokenOffLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"no end": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("RIFF", 50000))
			panic(http.ErrAbortHandler)
		}, "isn't whole and isn't kept"},
		"too short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "RIFF")
		}, "isn't whole and isn't kept"},
		"no gate": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "nginx", http.StatusBadGateway) }, "is --server right?"},
		"another way": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
			"is --server right?"},
	} {
		dir := t.TempDir()
		s := runAt(t, fake(t, c.serve), "dana", "recordings", "export", "abc", "--purpose", "p", "--out", filepath.Join(dir, "a.wav"))
		if s.code != 1 || !strings.Contains(s.errs, c.says) {
			t.Errorf("%s: %+v", name, s)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s leaves %v, %v", name, left, err)
		}
	}
}

// TestATokenGoesToTheGateAlone: neither on by a redirection, nor in the clear over a
// network, nor to who can't prove to be the gate.
func TestATokenGoesToTheGateAlone(t *testing.T) {
	t.Parallel()
	var tokens atomic.Int64
	thief := fake(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			tokens.Add(1)
		}
	})
	redirecting := fake(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief, http.StatusTemporaryRedirect) })
	if s := runAt(t, redirecting, "dana", "calls", "list"); s.code != 1 {
		t.Errorf("%+v", s)
	}
	for server, says := range map[string]string{
		"http://gate.example.test:8080": "use https", "http://192.0.2.1": "use https", "gate:8080": "isn't an address",
		"https://u:secret@gate.example.test": "more than a host", "https://gate.example.test/console": "more than a host", "ftp://gate": "isn't an address"} {
		if s := runAt(t, server, "dana", "calls", "list"); s.code != 2 || !strings.Contains(s.errs, says) || strings.Contains(s.errs, "secret") {
			t.Errorf("%s: %+v", server, s)
		}
	}
	g := newGate(t, nil)
	secure := httptest.NewUnstartedServer(g.server.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	if s := runAt(t, secure.URL, "dana", "calls", "list"); s.code != 1 || !strings.Contains(s.errs, "--ca") {
		t.Errorf("%+v", s)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := runAt(t, secure.URL, "dana", "calls", "list", "--ca", ca); s.code != 0 {
		t.Errorf("%+v", s)
	}
	other := strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)
	if s := runAt(t, other, "dana", "calls", "list", "--ca", ca); s.code != 1 || !strings.Contains(s.errs, "for another name") {
		t.Errorf("%+v", s)
	}
	if s := runAt(t, strings.Replace(g.server.URL, "http:", "https:", 1), "dana", "calls", "list"); s.code != 1 || !strings.Contains(s.errs, "doesn't speak TLS") {
		t.Errorf("%+v", s)
	}
	if s := runAt(t, "http://127.0.0.1:1", "dana", "calls", "list"); s.code != 1 || !strings.Contains(s.errs, "is the gate running") {
		t.Errorf("%+v", s)
	}
	if n := tokens.Load(); n != 0 {
		t.Errorf("somebody else got %d tokens", n)
	}
}
