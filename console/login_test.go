package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/argon2"

	"consentgate/console/access"
	"consentgate/console/access/passwords"
)

const password = "correct horse battery"

// silent is an audit log that nobody reads.
type silent struct{}

func (silent) LoggedIn(context.Context, string, string, netip.Addr) error    { return nil }
func (silent) LoginFailed(context.Context, string, netip.Addr, string) error { return nil }

// people are one of each role, named for it, with one password and a token that is
// the name.
func people(t *testing.T) *access.Gatekeeper {
	salt := make([]byte, 16)
	b64 := base64.RawStdEncoding.EncodeToString
	hash, err := passwords.Parse("$argon2id$v=19$m=7168,t=5,p=1$" + b64(salt) + "$" + b64(argon2.IDKey([]byte(password), salt, 5, 7168, 1, 32)))
	if err != nil {
		t.Fatal(err)
	}
	c := access.Config{TLS: true, Trail: silent{}, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Sessions: access.SessionLimits{Idle: time.Hour, Longest: time.Hour}}
	for _, r := range access.Roles {
		sum := sha256.Sum256([]byte(r))
		c.Users = append(c.Users, access.User{Name: string(r), Role: r, Password: hash, TokenSHA256: sum[:]})
	}
	return access.New(c)
}

// served is a console over TLS whose handlers only say that one got there.
func served(t *testing.T) (*Server, *access.Gatekeeper) {
	t.Helper()
	who := people(t)
	routes := allRoutes()
	for pattern := range routes {
		routes[pattern] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "there") })
	}
	routes["POST /login"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := who.LogIn(w, r, r.PostFormValue("name"), r.PostFormValue("password")); err != nil {
			w.WriteHeader(access.Refusal(w, err))
		}
	})
	routes["GET /login"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, who.CSRF(r)) })
	c := config("127.0.0.1:0", routes)
	c.Who, c.TLS = who, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, who
}

func selfSigned(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client asks the server, as a browser or as a program.
type client struct {
	t *testing.T
	s *Server
	http.Client
}

func newClient(t *testing.T, s *Server) *client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t, s, http.Client{Transport: tr, Timeout: 20 * time.Second}}
}

// ask gives status and body; header is "Name: value", any number of times.
func (c *client) ask(method, path, form string, header ...string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.s.URL()+path, strings.NewReader(form))
	if err != nil {
		c.t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := c.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	res.Body.Close()
	return res, string(raw)
}

// TestEveryRouteThatChangesSomethingNeedsTheSessionsToken, whatever the role: with a
// good session and no token, with another's token, from another site's page, nobody
// gets to the handler; programs with bearer tokens need none.
func TestEveryRouteThatChangesSomethingNeedsTheSessionsToken(t *testing.T) {
	s, _ := served(t)
	c := newClient(t, s)
	sessions, tokens := map[access.Role]string{}, map[access.Role]string{}
	for _, r := range access.Roles {
		res, _ := c.ask("POST", "/login", "name="+string(r)+"&password="+url.QueryEscape(password), "Sec-Fetch-Site: same-origin")
		if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
			t.Fatalf("%s: %s", r, res.Status)
		}
		sessions[r] = "Cookie: " + res.Cookies()[0].Name + "=" + res.Cookies()[0].Value
		_, tokens[r] = c.ask("GET", "/login", "", sessions[r])
	}
	checked := 0
	for pattern := range access.Table {
		method, path, _ := strings.Cut(pattern, " ")
		if method == http.MethodGet || access.Public(pattern) {
			continue
		}
		checked++
		for strings.Contains(path, "{") {
			path = path[:strings.Index(path, "{")] + "x" + path[strings.Index(path, "}")+1:]
		}
		for i, r := range access.Roles {
			want := http.StatusForbidden
			if access.May(pattern, r) {
				want = http.StatusOK
			}
			token, another := "X-CSRF-Token: "+tokens[r], "X-CSRF-Token: "+tokens[access.Roles[(i+1)%4]]
			for name, try := range map[string]struct {
				header []string
				want   int
			}{
				"its page":           {[]string{sessions[r], token, "Sec-Fetch-Site: same-origin"}, want},
				"a program":          {[]string{"Authorization: Bearer " + string(r)}, want},
				"no token":           {[]string{sessions[r], "Sec-Fetch-Site: same-origin"}, http.StatusForbidden},
				"another's token":    {[]string{sessions[r], another, "Sec-Fetch-Site: same-origin"}, http.StatusForbidden},
				"another site":       {[]string{sessions[r], token, "Sec-Fetch-Site: cross-site"}, http.StatusForbidden},
				"another origin":     {[]string{sessions[r], token, "Origin: https://evil.example"}, http.StatusForbidden},
				"a token, no cookie": {[]string{token, "Sec-Fetch-Site: same-origin"}, http.StatusUnauthorized},
			} {
				if res, got := c.ask(method, path, "", try.header...); res.StatusCode != try.want || (got == "there") != (try.want == http.StatusOK) {
					t.Errorf("%s as %s, %s: %s %q", pattern, r, name, res.Status, got)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d routes were tried", checked)
	}
}

// TestAPlantedSessionIsNobodys: a cookie that an attacker put into a browser, under
// any of our names, is worth nothing before the login and after it.
func TestAPlantedSessionIsNobodys(t *testing.T) {
	s, _ := served(t)
	c := newClient(t, s)
	planted := strings.Repeat("A", 43)
	for _, name := range []string{"__Host-consentgate", "consentgate", "__Host-consentgate-oidc"} {
		cookie := "Cookie: " + name + "=" + planted
		if res, _ := c.ask("GET", "/api/v1/me", "", cookie); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", name, res.Status)
		}
		res, _ := c.ask("POST", "/login", "name=officer&password="+url.QueryEscape(password), cookie, "Sec-Fetch-Site: same-origin")
		if res.StatusCode != http.StatusOK || res.Cookies()[0].Value == planted {
			t.Errorf("%s: %s, %v", name, res.Status, res.Cookies())
		}
		if res, _ := c.ask("GET", "/api/v1/me", "", cookie); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s after the login: %s", name, res.Status)
		}
	}
}
