package devicetest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/tpmcell"
)

// TPMPassword is that of the NV indices.
const TPMPassword = "0123456789abcdef"

// TPM is an swtpm: libtpms, which virtual machines have for a TPM, too.
type TPM struct {
	*testing.T
	dir string
	cmd *exec.Cmd
}

// NewTPM starts one.
func NewTPM(t *testing.T) *TPM {
	t.Helper()
	need(t, "swtpm")
	dir, err := os.MkdirTemp("", "tpm") // the names of sockets are short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	e := &TPM{T: t, dir: dir}
	must(t, os.WriteFile(e.Path("password"), []byte(TPMPassword+"\n"), 0o600))
	e.Start()
	t.Cleanup(e.Stop)
	return e
}

// Path is a file of the test's: tpm is the socket, password the indices' password.
func (e *TPM) Path(name string) string { return filepath.Join(e.dir, name) }

// Start starts it again, with the memory that it had.
func (e *TPM) Start() {
	e.Helper()
	e.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+e.dir, "--server", "type=unixio,path="+e.Path("tpm"),
		"--flags", "not-need-init,startup-clear", "--seccomp", "action=none")
	must(e.T, e.cmd.Start())
	until(e.T, func() error {
		c, err := net.Dial("unix", e.Path("tpm"))
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Stop takes its power away.
func (e *TPM) Stop() {
	if e.cmd != nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait() // it was killed
		e.cmd = nil
		_ = os.Remove(e.Path("tpm"))
	}
}

// Config is its.
func (e *TPM) Config() tpmcell.Config {
	return tpmcell.Config{Device: e.Path("tpm"), Index: 0x01804300, PasswordFile: e.Path("password")}
}

// Open opens a cell with a configuration that was changed.
func (e *TPM) Open(change ...func(*tpmcell.Config)) *tpmcell.Cell {
	e.Helper()
	c := e.Config()
	for _, f := range change {
		f(&c)
	}
	cell, err := tpmcell.Open(c)
	must(e.T, err)
	return cell
}

// Device is the TPM for celltest.
func (e *TPM) Device() celltest.Device {
	return celltest.Device{
		Open: func() (rootcell.Cell, error) { return tpmcell.Open(e.Config()) },
		Cut: func() func() {
			e.Stop()
			return e.Start
		},
	}
}
