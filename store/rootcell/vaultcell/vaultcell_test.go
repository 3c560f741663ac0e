package vaultcell_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/devicetest"
	"consentgate/store/rootcell/vaultcell"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestVaultCell(t *testing.T) {
	empty := func(t *testing.T) celltest.Device { return devicetest.NewVault(t).Device() }
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
	t.Run("a server that restarts", func(t *testing.T) {
		celltest.RunRestart(t, func(t *testing.T) (celltest.Device, func()) {
			s := devicetest.NewVault(t)
			return s.Device(), s.Restart
		})
	})
	t.Run("a server that is sealed", func(t *testing.T) {
		celltest.Run(t, func(t *testing.T) celltest.Device {
			s := devicetest.NewVault(t)
			d := s.Device()
			d.Cut = func() func() {
				s.Admin("PUT", "sys/seal", nil, nil)
				return func() { s.Admin("PUT", "sys/unseal", map[string]any{"key": s.Unseal}, nil) }
			}
			return d
		})
	})
}

// TestAServersKeyIsWhatIsDestroyed: who has kept the encrypted root and a good
// token has nothing.
func TestAServersKeyIsWhatIsDestroyed(t *testing.T) {
	s, ctx := devicetest.NewVault(t), context.Background()
	cell := s.Open()
	_, err := cell.Make(ctx, 1)
	_, err2 := cell.Make(ctx, 2)
	must(t, err, err2)
	kept, err := os.ReadFile(s.Path("roots/root.1"))
	must(t, err, cell.Destroy(ctx, 1), os.WriteFile(s.Path("roots/root.1"), kept, 0o600))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("want ErrGone, have %v", err)
	}
}

// TestAnotherServerIsRefused: it has no such key, but that isn't because it was
// destroyed.
func TestAnotherServerIsRefused(t *testing.T) {
	s, other, ctx := devicetest.NewVault(t), devicetest.NewVault(t), context.Background()
	_, err := s.Open().Make(ctx, 1)
	must(t, err)
	elsewhere := s.Open(func(c *vaultcell.Config) { c.Address, c.TokenFile = "http://"+other.Addr, other.Path("token") })
	if err := elsewhere.Destroy(ctx, 1); err == nil || !strings.Contains(err.Error(), "this one is") {
		t.Errorf("%v", err)
	}
	if _, err := elsewhere.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
}

// TestWhatIsWrongIsSaid: with what to do, and without the token.
func TestWhatIsWrongIsSaid(t *testing.T) {
	s, ctx := devicetest.NewVault(t), context.Background()
	must(t, os.WriteFile(s.Path("wrong"), []byte("hvs.wrong"), 0o600), os.WriteFile(s.Path("admin"), []byte(s.Root), 0o600))
	for want, change := range map[string]func(*vaultcell.Config){
		"is the token in the token file still good": func(c *vaultcell.Config) { c.TokenFile = s.Path("wrong") },
		"reading the server's token":                func(c *vaultcell.Config) { c.TokenFile = s.Path("none") },
		"is its disk mounted":                       func(c *vaultcell.Config) { c.Path = s.Path("none/root") },
		"answers 403":                               func(c *vaultcell.Config) { c.Name = "not-in-the-policy" },
		"connection refused":                        func(c *vaultcell.Config) { c.Address = "http://127.0.0.1:1" },
		"is the transit engine mounted there":       func(c *vaultcell.Config) { c.Mount, c.TokenFile = "elsewhere", s.Path("admin") },
	} {
		_, err := s.Open(change).Make(ctx, 1)
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
