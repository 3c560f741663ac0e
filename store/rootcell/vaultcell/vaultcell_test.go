package vaultcell_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/vaultcell"
)

// server is a Vault: its core, its transit engine and its HTTP side, with
// storage in files.
type server struct {
	*testing.T
	dir, addr   string
	unseal      string
	root, token string // of the administrator, and of the gate
	cmd         *exec.Cmd
}

// newServer starts one that is set up as docs/operations.md says.
func newServer(t *testing.T) *server {
	t.Helper()
	if os.Getenv("VAULTSERVER") == "" {
		t.Skip("NOT TESTED: 'make cells' builds a Vault and runs this with it")
	}
	s := &server{T: t, dir: t.TempDir(), addr: freeAddress(t)}
	must(t, os.Mkdir(s.path("storage"), 0o700), os.Mkdir(s.path("roots"), 0o700))
	s.start()
	t.Cleanup(s.stop)
	var made struct {
		Keys []string `json:"keys"`
		Root string   `json:"root_token"`
	}
	s.admin("PUT", "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &made)
	s.unseal, s.root = made.Keys[0], made.Root
	s.admin("PUT", "sys/unseal", map[string]any{"key": s.unseal}, nil)
	s.admin("POST", "sys/mounts/transit", map[string]any{"type": "transit"}, nil)
	s.admin("PUT", "sys/policies/acl/consentgate", map[string]any{"policy": documented(t)}, nil)
	var got struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	s.admin("POST", "auth/token/create", map[string]any{"policies": []string{"consentgate"}, "no_default_policy": true}, &got)
	must(t, os.WriteFile(s.path("token"), []byte(got.Auth.Token+"\n"), 0o600))
	return s
}

// documented is the policy that docs/operations.md gives to operators.
func documented(t *testing.T) (policy string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, `    path "`) {
			policy += line
		}
	}
	return policy
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) start() {
	s.Helper()
	s.cmd = exec.Command(os.Getenv("VAULTSERVER"), s.addr, s.path("storage"))
	s.cmd.Stderr = os.Stderr
	must(s.T, s.cmd.Start())
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			must(s.T, c.Close())
			return
		}
		if time.Now().After(deadline) {
			s.Fatal(err)
		}
	}
}

func (s *server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
		s.cmd = nil
	}
}

// restart leaves the server unsealed, as it was.
func (s *server) restart() {
	s.Helper()
	s.stop()
	s.start()
	s.admin("PUT", "sys/unseal", map[string]any{"key": s.unseal}, nil)
}

func (s *server) admin(method, path string, body, to any) {
	s.Helper()
	text, err := json.Marshal(body)
	must(s.T, err)
	r, err := http.NewRequest(method, "http://"+s.addr+"/v1/"+path, bytes.NewReader(text))
	must(s.T, err)
	r.Header.Set("X-Vault-Token", s.root)
	// It becomes the active node within a moment of being unsealed.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r.Body = io.NopCloser(bytes.NewReader(text))
		got, err := http.DefaultClient.Do(r)
		must(s.T, err)
		said, err := io.ReadAll(got.Body)
		must(s.T, err, got.Body.Close())
		if got.StatusCode/100 == 2 {
			if to != nil {
				must(s.T, json.Unmarshal(said, to))
			}
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s %s: %s: %s", method, path, got.Status, said)
		}
	}
}

func (s *server) config() vaultcell.Config {
	return vaultcell.Config{Address: "http://" + s.addr, Mount: "transit", TokenFile: s.path("token"), Path: s.path("roots/root"), Name: "consentgate"}
}

func (s *server) open(change ...func(*vaultcell.Config)) rootcell.Cell {
	s.Helper()
	c := s.config()
	for _, f := range change {
		f(&c)
	}
	cell, err := vaultcell.Open(c)
	must(s.T, err)
	return cell
}

func (s *server) device() celltest.Device {
	return celltest.Device{
		Open: func() (rootcell.Cell, error) { return vaultcell.Open(s.config()) },
		Cut: func() func() {
			s.stop()
			return s.restart
		},
	}
}

func TestVaultCell(t *testing.T) {
	empty := func(t *testing.T) celltest.Device { return newServer(t).device() }
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
	t.Run("a server that restarts", func(t *testing.T) {
		celltest.RunRestart(t, func(t *testing.T) (celltest.Device, func()) {
			s := newServer(t)
			return s.device(), s.restart
		})
	})
	t.Run("a server that is sealed", func(t *testing.T) {
		celltest.Run(t, func(t *testing.T) celltest.Device {
			s := newServer(t)
			d := s.device()
			d.Cut = func() func() {
				s.admin("PUT", "sys/seal", nil, nil)
				return func() { s.admin("PUT", "sys/unseal", map[string]any{"key": s.unseal}, nil) }
			}
			return d
		})
	})
}

// TestAServersKeyIsWhatIsDestroyed: who has kept the encrypted root and a good
// token has nothing.
func TestAServersKeyIsWhatIsDestroyed(t *testing.T) {
	s, ctx := newServer(t), context.Background()
	cell := s.open()
	_, err := cell.Make(ctx, 1)
	_, err2 := cell.Make(ctx, 2)
	must(t, err, err2)
	kept, err := os.ReadFile(s.path("roots/root.1"))
	must(t, err, cell.Destroy(ctx, 1), os.WriteFile(s.path("roots/root.1"), kept, 0o600))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("want ErrGone, have %v", err)
	}
}

// TestAnotherServerIsRefused: it has no such key, but that isn't because it was
// destroyed.
func TestAnotherServerIsRefused(t *testing.T) {
	s, other, ctx := newServer(t), newServer(t), context.Background()
	_, err := s.open().Make(ctx, 1)
	must(t, err)
	elsewhere := s.open(func(c *vaultcell.Config) { c.Address, c.TokenFile = "http://"+other.addr, other.path("token") })
	if err := elsewhere.Destroy(ctx, 1); err == nil || !strings.Contains(err.Error(), "this one is") {
		t.Errorf("%v", err)
	}
	if _, err := elsewhere.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
}

// TestWhatIsWrongIsSaid: with what to do, and without the token.
func TestWhatIsWrongIsSaid(t *testing.T) {
	s, ctx := newServer(t), context.Background()
	must(t, os.WriteFile(s.path("wrong"), []byte("hvs.wrong"), 0o600), os.WriteFile(s.path("admin"), []byte(s.root), 0o600))
	for want, change := range map[string]func(*vaultcell.Config){
		"is the token in the token file still good": func(c *vaultcell.Config) { c.TokenFile = s.path("wrong") },
		"reading the server's token":                func(c *vaultcell.Config) { c.TokenFile = s.path("none") },
		"is its disk mounted":                       func(c *vaultcell.Config) { c.Path = s.path("none/root") },
		"answers 403":                               func(c *vaultcell.Config) { c.Name = "not-in-the-policy" },
		"connection refused":                        func(c *vaultcell.Config) { c.Address = "http://127.0.0.1:1" },
		"is the transit engine mounted there":       func(c *vaultcell.Config) { c.Mount, c.TokenFile = "elsewhere", s.path("admin") },
	} {
		_, err := s.open(change).Make(ctx, 1)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hvs.wrong") {
			t.Errorf("want %q, have %v", want, err)
		}
	}
}

// TestAnswersThatArentVaultsAreNoAnswers: none of them says that a root is gone.
func TestAnswersThatArentVaultsAreNoAnswers(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "token"), []byte("t"), 0o600))
	for name, f := range map[string]http.HandlerFunc{
		"another web server": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no engine there": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":["no handler for route \"transit/keys\". route entry not found."]}`)
		},
		"a fault": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"out of TLS": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusTemporaryRedirect)
		},
		"nothing": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(f)
			defer web.Close()
			cell, err := vaultcell.Open(vaultcell.Config{Address: web.URL, Mount: "transit", TokenFile: filepath.Join(dir, "token"),
				Path: filepath.Join(dir, "root"), Name: "consentgate"})
			must(t, err)
			defer func() { must(t, cell.Close()) }()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if _, err := cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) {
				t.Errorf("Get: %v", err)
			}
			if _, err := cell.Epochs(ctx); err == nil {
				t.Error("Epochs says what it can't know")
			}
			if err := cell.Destroy(ctx, 1); err == nil {
				t.Error("Destroy says that it is done")
			}
		})
	}
}

// TestTheRootIsntSentInTheClear but on the machine itself.
func TestTheRootIsntSentInTheClear(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://vault.example.com:8200": true, "http://127.0.0.1:8200": true, "http://[::1]:8200": true, "http://localhost:8200/": true,
		"http://vault.example.com:8200": false, "vault.example.com:8200": false, "https://u:p@vault.example.com": false,
		"https://vault.example.com/v1": false, "": false, "unix:///run/vault": false,
	} {
		if err := vaultcell.CheckAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
