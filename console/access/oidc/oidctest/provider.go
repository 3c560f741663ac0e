// Package oidctest runs a real provider of identities for tests: the program of
// internal/oidcserver, a process of its own.
package oidctest

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/console/access/oidc"
)

// Redirect is where the provider sends people back to, unless a test says otherwise.
// Nothing listens there: LogIn stops before it.
const Redirect = "https://gate.example/login/oidc/callback"

// Person is somebody whom the provider knows.
type Person struct {
	Password string   `json:"password"`
	Roles    []string `json:"roles"` // in the claim realm_access.roles
	Email    string   `json:"email"`
	Verified bool     `json:"verified"`
}

// Provider is one that may run.
type Provider struct {
	Redirect string // may be changed before Start

	t             testing.TB
	address       string
	program, file string
}

// New builds the program and chooses an address; the provider is down until Start.
func New(t testing.TB, people map[string]Person) *Provider {
	t.Helper()
	dir := t.TempDir()
	p := &Provider{Redirect: Redirect, t: t, program: filepath.Join(dir, "oidcserver"), file: filepath.Join(dir, "people.json")}
	raw, err := json.Marshal(people)
	must(t, err)
	must(t, os.WriteFile(p.file, raw, 0o600))
	build := exec.Command("go", "build", "-o", p.program, ".")
	build.Dir = source(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the provider: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p.address = l.Addr().String()
	must(t, l.Close())
	return p
}

// source finds internal/oidcserver from a test's folder.
func source(t testing.TB) string {
	dir, err := os.Getwd()
	must(t, err)
	for ; ; dir = filepath.Dir(dir) {
		at := filepath.Join(dir, "internal", "oidcserver")
		if _, err := os.Stat(at); err == nil {
			return at
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("internal/oidcserver isn't above the test's folder")
		}
	}
}

// Start runs it until the test ends.
func (p *Provider) Start() {
	p.t.Helper()
	cmd := exec.Command(p.program, p.address, p.Redirect, p.file)
	cmd.Stderr = p.t.Output()
	must(p.t, cmd.Start())
	p.t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			p.t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			p.t.Error("the provider ended by itself")
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r, err := http.Get(p.Config().Issuer + "/.well-known/openid-configuration")
		if err == nil {
			must(p.t, r.Body.Close())
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the provider doesn't answer: %v", err)
		}
	}
}

// Config is a client of it. Who has the role "gate-officers" is an officer, and so on.
func (p *Provider) Config() oidc.Config {
	return oidc.Config{Issuer: "http://" + p.address, ClientID: "consentgate", Secret: "secret", RedirectURL: p.Redirect,
		NameClaim: "preferred_username", RolesClaim: "realm_access.roles",
		Roles: []oidc.Mapping{{Value: "gate-auditors", Role: "auditor"}, {Value: "gate-officers", Role: "officer"}}}
}

// LogIn is somebody's browser at the provider, from the address that the gate gave
// to the one that it is sent back to, of which it gives the query.
func (p *Provider) LogIn(address, name string, who Person) url.Values {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	must(p.t, err)
	var back *url.URL
	b := http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), p.Redirect) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	form, err := b.Get(address)
	must(p.t, err)
	must(p.t, form.Body.Close())
	done, err := b.PostForm("http://"+p.address+"/login/username", url.Values{"username": {name}, "password": {who.Password},
		"id": {form.Request.URL.Query().Get("authRequestID")}})
	must(p.t, err)
	must(p.t, done.Body.Close())
	if back == nil {
		p.t.Fatalf("the provider doesn't send %s back: %s at %s", name, done.Status, done.Request.URL)
	}
	return back.Query()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
