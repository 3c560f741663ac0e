package tpmcell_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/tpmcell"
)

const password = "0123456789abcdef"

// emulator is an swtpm: libtpms, which virtual machines have for a TPM, too.
type emulator struct {
	*testing.T
	dir string
	cmd *exec.Cmd
}

func newEmulator(t *testing.T) *emulator {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: swtpm is missing, run 'make peers'")
	}
	dir, err := os.MkdirTemp("", "tpm") // the names of sockets are short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	e := &emulator{T: t, dir: dir}
	must(t, os.WriteFile(e.path("password"), []byte(password+"\n"), 0o600))
	e.start()
	t.Cleanup(e.stop)
	return e
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func (e *emulator) path(name string) string { return filepath.Join(e.dir, name) }

func (e *emulator) start() {
	e.Helper()
	e.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+e.dir, "--server", "type=unixio,path="+e.path("tpm"),
		"--flags", "not-need-init,startup-clear", "--seccomp", "action=none")
	must(e.T, e.cmd.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", e.path("tpm"))
		if err == nil {
			must(e.T, c.Close())
			return
		}
		if time.Now().After(deadline) {
			e.Fatal(err)
		}
	}
}

func (e *emulator) stop() {
	if e.cmd != nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait() // it was killed
		e.cmd = nil
		_ = os.Remove(e.path("tpm"))
	}
}

func (e *emulator) config() tpmcell.Config {
	return tpmcell.Config{Device: e.path("tpm"), Index: 0x01804300, PasswordFile: e.path("password")}
}

func (e *emulator) open(change ...func(*tpmcell.Config)) *tpmcell.Cell {
	e.Helper()
	c := e.config()
	for _, f := range change {
		f(&c)
	}
	cell, err := tpmcell.Open(c)
	must(e.T, err)
	return cell
}

func (e *emulator) device() celltest.Device {
	return celltest.Device{
		Open: func() (rootcell.Cell, error) { return tpmcell.Open(e.config()) },
		Cut: func() func() {
			e.stop()
			return e.start
		},
	}
}

func TestTPMCell(t *testing.T) {
	empty := func(t *testing.T) celltest.Device { return newEmulator(t).device() }
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
	t.Run("a TPM that restarts", func(t *testing.T) {
		celltest.RunRestart(t, func(t *testing.T) (celltest.Device, func()) {
			e := newEmulator(t)
			return e.device(), func() {
				e.stop()
				e.start()
			}
		})
	})
}

// TestAWrongPasswordLocksNothing: it says which file to correct, and after many
// tries the right one opens.
func TestAWrongPasswordLocksNothing(t *testing.T) {
	e, ctx := newEmulator(t), context.Background()
	k, err := e.open().Make(ctx, 1)
	must(t, err)
	must(t, os.WriteFile(e.path("wrong"), []byte("not it, but long"), 0o600))
	wrong := e.open(func(c *tpmcell.Config) { c.PasswordFile = e.path("wrong") })
	for range 40 {
		if _, err := wrong.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), e.path("wrong")) {
			t.Fatal(err)
		}
	}
	if got, err := e.open().Get(ctx, 1); err != nil || got != k {
		t.Error(err)
	}
}

// TestWhatIsWrongIsSaid: with what to do.
func TestWhatIsWrongIsSaid(t *testing.T) {
	e, ctx := newEmulator(t), context.Background()
	must(t, os.WriteFile(e.path("short"), []byte("secret"), 0o600))
	for want, change := range map[string]func(*tpmcell.Config){
		"turned on in the firmware":                      func(c *tpmcell.Config) { c.Device = e.path("none") },
		"16 to 32 are allowed":                           func(c *tpmcell.Config) { c.PasswordFile = e.path("short") },
		"no such file":                                   func(c *tpmcell.Config) { c.PasswordFile = e.path("none") },
		"refuses the owner's password":                   func(c *tpmcell.Config) { c.OwnerPasswordFile = e.path("short") },
		"reading the password: open " + e.path("absent"): func(c *tpmcell.Config) { c.OwnerPasswordFile = e.path("absent") },
	} {
		_, err := e.open(change).Make(ctx, 1)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("want %q, have %v", want, err)
		}
	}
	if _, err := tpmcell.Open(tpmcell.Config{Index: 0x01C00000}); err == nil {
		t.Error("an index of the maker's was taken")
	}
}

// TestTheOwnersPasswordIsUsed where there is one.
func TestTheOwnersPasswordIsUsed(t *testing.T) {
	e, ctx := newEmulator(t), context.Background()
	must(t, os.WriteFile(e.path("owner"), []byte("the owner's"), 0o600))
	tpm, err := linuxudstpm.Open(e.path("tpm"))
	must(t, err)
	_, err = tpm2.HierarchyChangeAuth{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NewAuth: tpm2.TPM2BAuth{Buffer: []byte("the owner's")}}.Execute(tpm)
	must(t, err)
	if _, err := e.open().Make(ctx, 1); err == nil || !strings.Contains(err.Error(), "owner_password_file") {
		t.Errorf("%v", err)
	}
	owner := e.open(func(c *tpmcell.Config) { c.OwnerPasswordFile = e.path("owner") })
	k, err := owner.Make(ctx, 1)
	must(t, err)
	if got, err := e.open().Get(ctx, 1); err != nil || got != k {
		t.Errorf("reading needs no owner: %v", err)
	}
	if err := e.open().Destroy(ctx, 1); err == nil {
		t.Error("destroyed without the owner's password")
	}
	_, err = owner.Make(ctx, 2)
	must(t, err, owner.Destroy(ctx, 1))
}

// TestAnIndexOfAnotherProgramIsLeftAlone, and the next is used.
func TestAnIndexOfAnotherProgramIsLeftAlone(t *testing.T) {
	e, ctx := newEmulator(t), context.Background()
	tpm, err := linuxudstpm.Open(e.path("tpm"))
	must(t, err)
	_, err = tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: 0x01804300,
		NameAlg: tpm2.TPMAlgSHA256, Attributes: tpm2.TPMANV{OwnerRead: true, OwnerWrite: true}, DataSize: 48})}.Execute(tpm)
	must(t, err)
	cell := e.open()
	for epoch := range uint64(tpmcell.Slots - 1) {
		_, err := cell.Make(ctx, epoch+1)
		must(t, err)
	}
	if _, err := cell.Make(ctx, 9); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
	if _, err := (tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(0x01804300)}).Execute(tpm); err != nil {
		t.Errorf("the other program's index: %v", err)
	}
}

// TestAnotherTPMHasDestroyedNothing: a certificate would be false.
func TestAnotherTPMHasDestroyedNothing(t *testing.T) {
	if err := newEmulator(t).open().Destroy(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "the right TPM") {
		t.Errorf("%v", err)
	}
}

// TestTheRootCrossesTheBusEncrypted: who listens between the processor and the
// TPM sees neither root nor password, at no time of a root's life.
func TestTheRootCrossesTheBusEncrypted(t *testing.T) {
	e, ctx := newEmulator(t), context.Background()
	bus := listen(t, e.path("bus"), e.path("tpm"))
	cell := e.open(func(c *tpmcell.Config) { c.Device = e.path("bus") })
	k, err := cell.Make(ctx, 1)
	must(t, err)
	_, err = cell.Get(ctx, 1)
	must(t, err)
	_, err = cell.Make(ctx, 2)
	must(t, err, cell.Destroy(ctx, 1))
	heard := bus.heard()
	if len(heard) < 1000 || !strings.Contains(heard, "\x01\x80\x43\x00") {
		t.Fatalf("of %d bytes none named the NV index", len(heard))
	}
	if strings.Contains(heard, string(k[:])) || strings.Contains(heard, password) || strings.Contains(heard, "CGROOT01") {
		t.Error("the root or the password was heard on the bus")
	}
}

// TestATPMThatHangsIsGivenUp when the caller's time is over.
func TestATPMThatHangsIsGivenUp(t *testing.T) {
	e := newEmulator(t)
	l, err := net.Listen("unix", e.path("hangs")) // nobody accepts
	must(t, err)
	defer l.Close()
	cell := e.open(func(c *tpmcell.Config) { c.Device = e.path("hangs") })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := cell.Get(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
}
