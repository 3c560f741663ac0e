package tpmcell_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/devicetest"
	"consentgate/store/rootcell/tpmcell"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestTPMCell(t *testing.T) {
	empty := func(t *testing.T) celltest.Device { return devicetest.NewTPM(t).Device() }
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
	t.Run("a TPM that restarts", func(t *testing.T) {
		celltest.RunRestart(t, func(t *testing.T) (celltest.Device, func()) {
			e := devicetest.NewTPM(t)
			return e.Device(), func() {
				e.Stop()
				e.Start()
			}
		})
	})
}

// TestAWrongPasswordLocksNothing: it says which file to correct, and after many
// tries the right one opens.
func TestAWrongPasswordLocksNothing(t *testing.T) {
	e, ctx := devicetest.NewTPM(t), context.Background()
	k, err := e.Open().Make(ctx, 1)
	must(t, err)
	must(t, os.WriteFile(e.Path("wrong"), []byte("not it, but long"), 0o600))
	wrong := e.Open(func(c *tpmcell.Config) { c.PasswordFile = e.Path("wrong") })
	for range 40 {
		if _, err := wrong.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), e.Path("wrong")) {
			t.Fatal(err)
		}
	}
	if got, err := e.Open().Get(ctx, 1); err != nil || got != k {
		t.Error(err)
	}
}

// TestWhatIsWrongIsSaid: with what to do.
func TestWhatIsWrongIsSaid(t *testing.T) {
	e, ctx := devicetest.NewTPM(t), context.Background()
	must(t, os.WriteFile(e.Path("short"), []byte("secret"), 0o600))
	for want, change := range map[string]func(*tpmcell.Config){
		"turned on in the firmware":                      func(c *tpmcell.Config) { c.Device = e.Path("none") },
		"16 to 32 are allowed":                           func(c *tpmcell.Config) { c.PasswordFile = e.Path("short") },
		"no such file":                                   func(c *tpmcell.Config) { c.PasswordFile = e.Path("none") },
		"refuses the owner's password":                   func(c *tpmcell.Config) { c.OwnerPasswordFile = e.Path("short") },
		"reading the password: open " + e.Path("absent"): func(c *tpmcell.Config) { c.OwnerPasswordFile = e.Path("absent") },
	} {
		_, err := e.Open(change).Make(ctx, 1)
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
	e, ctx := devicetest.NewTPM(t), context.Background()
	must(t, os.WriteFile(e.Path("owner"), []byte("the owner's"), 0o600))
	tpm, err := linuxudstpm.Open(e.Path("tpm"))
	must(t, err)
	_, err = tpm2.HierarchyChangeAuth{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NewAuth: tpm2.TPM2BAuth{Buffer: []byte("the owner's")}}.Execute(tpm)
	must(t, err)
	if _, err := e.Open().Make(ctx, 1); err == nil || !strings.Contains(err.Error(), "owner_password_file") {
		t.Errorf("%v", err)
	}
	owner := e.Open(func(c *tpmcell.Config) { c.OwnerPasswordFile = e.Path("owner") })
	k, err := owner.Make(ctx, 1)
	must(t, err)
	if got, err := e.Open().Get(ctx, 1); err != nil || got != k {
		t.Errorf("reading needs no owner: %v", err)
	}
	if err := e.Open().Destroy(ctx, 1); err == nil {
		t.Error("destroyed without the owner's password")
	}
	_, err = owner.Make(ctx, 2)
	must(t, err, owner.Destroy(ctx, 1))
}

// TestAnIndexOfAnotherProgramIsLeftAlone, and the next is used.
func TestAnIndexOfAnotherProgramIsLeftAlone(t *testing.T) {
	e, ctx := devicetest.NewTPM(t), context.Background()
	tpm, err := linuxudstpm.Open(e.Path("tpm"))
	must(t, err)
	_, err = tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: 0x01804300,
		NameAlg: tpm2.TPMAlgSHA256, Attributes: tpm2.TPMANV{OwnerRead: true, OwnerWrite: true}, DataSize: 48})}.Execute(tpm)
	must(t, err)
	cell := e.Open()
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
	if err := devicetest.NewTPM(t).Open().Destroy(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "the right TPM") {
		t.Errorf("%v", err)
	}
}

// TestTheRootCrossesTheBusEncrypted: who listens between the processor and the
// TPM sees neither root nor password, at no time of a root's life.
func TestTheRootCrossesTheBusEncrypted(t *testing.T) {
	e, ctx := devicetest.NewTPM(t), context.Background()
	bus := listen(t, e.Path("bus"), e.Path("tpm"))
	cell := e.Open(func(c *tpmcell.Config) { c.Device = e.Path("bus") })
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
	if strings.Contains(heard, string(k[:])) || strings.Contains(heard, devicetest.TPMPassword) || strings.Contains(heard, "CGROOT01") {
		t.Error("the root or the password was heard on the bus")
	}
}

// TestATPMThatHangsIsGivenUp when the caller's time is over.
func TestATPMThatHangsIsGivenUp(t *testing.T) {
	e := devicetest.NewTPM(t)
	l, err := net.Listen("unix", e.Path("hangs")) // nobody accepts
	must(t, err)
	defer l.Close()
	cell := e.Open(func(c *tpmcell.Config) { c.Device = e.Path("hangs") })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := cell.Get(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
}
