package devicetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/pkcs11cell"
)

const module = "/usr/lib/softhsm/libsofthsm2.so"

// SoftHSM is a SoftHSM token, in files.
type SoftHSM struct {
	*testing.T
	dir string
}

// NewSoftHSM makes a token for a test, which must not be parallel: SoftHSM finds
// its tokens by an environment variable.
func NewSoftHSM(t *testing.T) *SoftHSM {
	t.Helper()
	need(t, "softhsm2-util")
	k := &SoftHSM{t, t.TempDir()}
	must(t, os.Mkdir(k.Path("tokens"), 0o700), os.Mkdir(k.Path("roots"), 0o700))
	k.Write("conf", "directories.tokendir = "+k.Path("tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	k.Write("pin", "271828\n")
	t.Setenv("SOFTHSM2_CONF", k.Path("conf"))
	k.Init("gate")
	return k
}

// Path is a file of the test's: conf, pin, tokens, roots/root.EPOCH, or another.
func (k *SoftHSM) Path(name string) string { return filepath.Join(k.dir, name) }

// Write writes one.
func (k *SoftHSM) Write(name, text string) {
	k.Helper()
	must(k.T, os.WriteFile(k.Path(name), []byte(text), 0o600))
}

// Init makes another token.
func (k *SoftHSM) Init(label string) {
	k.Helper()
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "31415926",
		"--pin", "271828").CombinedOutput(); err != nil {
		k.Fatalf("%v: %s", err, out)
	}
}

// Config is the token's.
func (k *SoftHSM) Config() pkcs11cell.Config {
	return pkcs11cell.Config{Module: module, Token: "gate", PINFile: k.Path("pin"), Path: k.Path("roots/root"), Name: "consentgate", Program: program}
}

// Open opens a cell with a configuration that was changed.
func (k *SoftHSM) Open(change ...func(*pkcs11cell.Config)) rootcell.Cell {
	k.Helper()
	c := k.Config()
	for _, f := range change {
		f(&c)
	}
	cell, err := pkcs11cell.Open(c)
	must(k.T, err)
	return cell
}

// Device is the token for celltest.
func (k *SoftHSM) Device() celltest.Device {
	return celltest.Device{
		Open: func() (rootcell.Cell, error) { return pkcs11cell.Open(k.Config()) },
		Cut: func() func() {
			must(k.T, os.Rename(k.Path("tokens"), k.Path("away")), os.Mkdir(k.Path("tokens"), 0o700))
			return func() { must(k.T, os.Remove(k.Path("tokens")), os.Rename(k.Path("away"), k.Path("tokens"))) }
		},
	}
}
