package devicetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/vaultcell"
)

// Vault is a Vault: its core, its transit engine and its HTTP side, with storage in
// files.
type Vault struct {
	*testing.T
	Addr   string // host:port
	Unseal string // the key that unseals it
	Root   string // the administrator's token
	dir    string
	cmd    *exec.Cmd
}

// NewVault starts one that is set up as docs/operations.md says.
func NewVault(t *testing.T) *Vault {
	t.Helper()
	if os.Getenv("VAULTSERVER") == "" {
		t.Skip("NOT TESTED: 'make cells' builds a Vault and runs this with it")
	}
	s := &Vault{T: t, dir: t.TempDir(), Addr: freeAddress(t)}
	must(t, os.Mkdir(s.Path("storage"), 0o700), os.Mkdir(s.Path("roots"), 0o700))
	s.Start()
	t.Cleanup(s.Stop)
	var made struct {
		Keys []string `json:"keys"`
		Root string   `json:"root_token"`
	}
	s.Admin("PUT", "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &made)
	s.Unseal, s.Root = made.Keys[0], made.Root
	s.Admin("PUT", "sys/unseal", map[string]any{"key": s.Unseal}, nil)
	s.Admin("POST", "sys/mounts/transit", map[string]any{"type": "transit"}, nil)
	s.Admin("PUT", "sys/policies/acl/consentgate", map[string]any{"policy": documented(t)}, nil)
	var got struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	s.Admin("POST", "auth/token/create", map[string]any{"policies": []string{"consentgate"}, "no_default_policy": true}, &got)
	must(t, os.WriteFile(s.Path("token"), []byte(got.Auth.Token+"\n"), 0o600))
	return s
}

// documented is the policy that docs/operations.md gives to operators.
func documented(t *testing.T) (policy string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleDir(t), "docs/operations.md"))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, `    path "`) {
			policy += line
		}
	}
	return policy
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Path is a file of the test's: token is the gate's, storage the server's, roots/root.EPOCH the cell's.
func (s *Vault) Path(name string) string { return filepath.Join(s.dir, name) }

// Start starts it again, sealed.
func (s *Vault) Start() {
	s.Helper()
	s.cmd = exec.Command(os.Getenv("VAULTSERVER"), s.Addr, s.Path("storage"))
	s.cmd.Stderr = os.Stderr
	must(s.T, s.cmd.Start())
	until(s.T, func() error {
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Stop kills it.
func (s *Vault) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
		s.cmd = nil
	}
}

// Restart leaves the server unsealed, as it was.
func (s *Vault) Restart() {
	s.Helper()
	s.Stop()
	s.Start()
	s.Admin("PUT", "sys/unseal", map[string]any{"key": s.Unseal}, nil)
}

// Admin asks for something in the administrator's name.
func (s *Vault) Admin(method, path string, body, to any) {
	s.Helper()
	text, err := json.Marshal(body)
	must(s.T, err)
	r, err := http.NewRequest(method, "http://"+s.Addr+"/v1/"+path, bytes.NewReader(text))
	must(s.T, err)
	r.Header.Set("X-Vault-Token", s.Root)
	// It becomes the active node within a moment of being unsealed.
	until(s.T, func() error {
		r.Body = io.NopCloser(bytes.NewReader(text))
		got, err := http.DefaultClient.Do(r)
		must(s.T, err)
		said, err := io.ReadAll(got.Body)
		must(s.T, err, got.Body.Close())
		if got.StatusCode/100 != 2 {
			return fmt.Errorf("%s %s: %s: %s", method, path, got.Status, said)
		}
		if to != nil {
			must(s.T, json.Unmarshal(said, to))
		}
		return nil
	})
}

// Config is the gate's.
func (s *Vault) Config() vaultcell.Config {
	return vaultcell.Config{Address: "http://" + s.Addr, Mount: "transit", TokenFile: s.Path("token"), Path: s.Path("roots/root"), Name: "consentgate"}
}

// Open opens a cell with a configuration that was changed.
func (s *Vault) Open(change ...func(*vaultcell.Config)) rootcell.Cell {
	s.Helper()
	c := s.Config()
	for _, f := range change {
		f(&c)
	}
	cell, err := vaultcell.Open(c)
	must(s.T, err)
	return cell
}

// Device is the server for celltest.
func (s *Vault) Device() celltest.Device {
	return celltest.Device{
		Open: func() (rootcell.Cell, error) { return vaultcell.Open(s.Config()) },
		Cut: func() func() {
			s.Stop()
			return s.Restart
		},
	}
}

// moduleDir is where go.mod is.
func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	must(t, err)
	return filepath.Dir(strings.TrimSpace(string(out)))
}
