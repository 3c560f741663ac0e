package access_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/argon2"

	"consentgate/console/access"
	"consentgate/console/access/passwords"
)

const (
	danas = "correct horse battery"
	erins = "staple staple staple"
	robot = "0123456789abcdef0123456789abcdef"
)

// trail is an audit log in memory.
type trail struct {
	mu      sync.Mutex
	entries []string
	broken  error
}

func (t *trail) add(entry string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken == nil {
		t.entries = append(t.entries, entry)
	}
	return t.broken
}

func (t *trail) LoggedIn(_ context.Context, name, via string, from netip.Addr) error {
	return t.add(fmt.Sprintf("in %s %s %s", name, via, from))
}

func (t *trail) LoginFailed(_ context.Context, name string, from netip.Addr, reason string) error {
	return t.add(fmt.Sprintf("failed %q %s %s", name, from, reason))
}

func (t *trail) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.entries...)
}

// gate is a Gatekeeper with the least of a console around it.
type gate struct {
	*access.Gatekeeper
	t     testing.TB
	trail *trail
	reg   *prometheus.Registry
	mux   *http.ServeMux
}

var (
	danasHash = sync.OnceValue(func() passwords.Hash { return cheap(danas) })
	erinsHash = sync.OnceValue(func() passwords.Hash { return cheap(erins) })
)

// cheap is a hash as cheap as may be.
func cheap(password string) passwords.Hash {
	salt := sha256.Sum256([]byte(password))
	sum := argon2.IDKey([]byte(password), salt[:16], 5, 7168, 1, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	h, err := passwords.Parse("$argon2id$v=19$m=7168,t=5,p=1$" + b64(salt[:16]) + "$" + b64(sum))
	if err != nil {
		panic(err)
	}
	return h
}

func newGate(t testing.TB, change ...func(*access.Config)) *gate {
	sum := sha256.Sum256([]byte(robot))
	g := &gate{t: t, trail: &trail{}, reg: prometheus.NewRegistry(), mux: http.NewServeMux()}
	c := access.Config{TLS: true, Trail: g.trail, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: g.reg,
		Sessions: access.SessionLimits{Idle: 30 * time.Minute, Longest: 12 * time.Hour},
		Users: []access.User{
			{Name: "dana", Role: access.Officer, Password: danasHash()},
			{Name: "erin", Role: access.Auditor, Password: erinsHash()},
			{Name: "robot", Role: access.Operator, TokenSHA256: sum[:]},
		}}
	for _, f := range change {
		f(&c)
	}
	g.Gatekeeper = access.New(c)
	g.mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		name, password, next, err := access.LoginForm(w, r)
		if err == nil {
			err = g.LogIn(w, r, name, password)
		}
		if err != nil {
			w.WriteHeader(access.Refusal(w, err))
			fmt.Fprint(w, "no")
			return
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
	})
	g.mux.HandleFunc("POST /logout", g.guarded(g.LogOut))
	me := g.guarded(func(w http.ResponseWriter, r *http.Request) {
		p, _ := access.From(r.Context())
		fmt.Fprintf(w, "%s %s %s", p.Name, p.Role, p.Via)
	})
	g.mux.HandleFunc("/me", me)
	g.mux.HandleFunc("GET /csrf", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, g.CSRF(r)) })
	return g
}

func (g *gate) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := g.Authenticate(r)
		if err != nil {
			w.WriteHeader(access.Refusal(w, err))
			return
		}
		h(w, r.WithContext(access.With(r.Context(), p)))
	}
}

// logins is the metric's value for an outcome.
func (g *gate) logins(outcome string) int {
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, m := range families[0].Metric {
		if m.Label[0].GetValue() == outcome {
			return int(m.Counter.GetValue())
		}
	}
	g.t.Fatalf("no outcome %s", outcome)
	return 0
}

// browser is one with its cookies.
type browser struct {
	g       *gate
	from    string
	cookies map[string]string
}

func (g *gate) browser(from string) *browser { return &browser{g, from, map[string]string{}} }

// do sends a request as a browser does from our own page, but for what change does.
func (b *browser) do(method, path string, form url.Values, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, "https://gate.example"+path, strings.NewReader(form.Encode()))
	r.RemoteAddr = b.from + ":40000"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	b.g.mux.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w.Result()
}

func (b *browser) logIn(name, password string) int {
	return b.do("POST", "/login", url.Values{"name": {name}, "password": {password}}).StatusCode
}

func (b *browser) csrf() string { return body(b.g.t, b.do("GET", "/csrf", nil)) }

func body(t testing.TB, r *http.Response) string {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func without(names ...string) func(*http.Request) {
	return func(r *http.Request) {
		for _, n := range names {
			r.Header.Del(n)
		}
	}
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}
