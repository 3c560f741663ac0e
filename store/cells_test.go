package store_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store"
	"consentgate/store/rootcell"
	"consentgate/store/rootcell/devicetest"
	"consentgate/store/rootcell/pkcs11cell"
	"consentgate/store/rootcell/tpmcell"
	"consentgate/store/rootcell/vaultcell"
)

// cellSpec says which root cell it is, so that another process can open it.
type cellSpec struct {
	File   string             `json:",omitempty"`
	PKCS11 *pkcs11cell.Config `json:",omitempty"`
	TPM    *tpmcell.Config    `json:",omitempty"`
	Vault  *vaultcell.Config  `json:",omitempty"`
}

func (c cellSpec) open() (rootcell.Cell, error) {
	switch {
	case c.PKCS11 != nil:
		return pkcs11cell.Open(*c.PKCS11)
	case c.TPM != nil:
		return tpmcell.Open(*c.TPM)
	case c.Vault != nil:
		return vaultcell.Open(*c.Vault)
	}
	return rootcell.NewFile(c.File), nil
}

// openSpecs opens a cell and its replicas.
func openSpecs(text string) (*rootcell.Group, error) {
	var specs []cellSpec
	if err := json.Unmarshal([]byte(text), &specs); err != nil {
		return nil, err
	}
	var cells []rootcell.Cell
	for _, s := range specs {
		cell, err := s.open()
		if err != nil {
			return nil, err
		}
		cells = append(cells, cell)
	}
	return rootcell.NewGroup(cells[0], cells[1:]...)
}

// devices are what the roots lie in, by the test's name.
var devices = map[string]func(t *testing.T) []cellSpec{
	"a token": func(t *testing.T) []cellSpec { return []cellSpec{token(t)} },
	"a TPM":   func(t *testing.T) []cellSpec { return []cellSpec{tpm(t)} },
	"a server": func(t *testing.T) []cellSpec {
		return []cellSpec{vault(t)}
	},
	"a TPM with a token, a server and a file as replicas": func(t *testing.T) []cellSpec {
		return []cellSpec{tpm(t), token(t), vault(t), {File: filepath.Join(t.TempDir(), "root")}}
	},
	"a file with a TPM as replica": func(t *testing.T) []cellSpec {
		return []cellSpec{{File: filepath.Join(t.TempDir(), "root")}, tpm(t)}
	},
}

func token(t *testing.T) cellSpec {
	c := devicetest.NewSoftHSM(t).Config()
	return cellSpec{PKCS11: &c}
}

func tpm(t *testing.T) cellSpec {
	c := devicetest.NewTPM(t).Config()
	return cellSpec{TPM: &c}
}

func vault(t *testing.T) cellSpec {
	c := devicetest.NewVault(t).Config()
	return cellSpec{Vault: &c}
}

// TestErasedIsGoneFromRealDevices: the root is replaced in a token, a TPM, a server,
// and in several that hold the same. The gate is killed where the new root is made,
// where it has just become the root, and where the old one is destroyed; the next
// start brings it to its end. Then every device refuses the old root, the
// certificate names each of them, and survivors open. So they do where it is killed
// while a device works.
func TestErasedIsGoneFromRealDevices(t *testing.T) {
	if os.Getenv("VAULTSERVER") == "" {
		t.Skip("NOT TESTED: 'make cells' runs this")
	}
	for name, specs := range devices {
		t.Run(name, func(t *testing.T) {
			e := newErasable(t, specs(t)...)
			old, err := e.cells.Get(context.Background(), 1)
			must(t, err)
			e.killed(t, "erase.done", "rotate.made", "rotate.turned", "rotate.destroying", "rotate.logging")
			e.nextVictim(t)
			after := time.Duration(rand.IntN(30)) * time.Millisecond
			t.Logf("%s after the root's number is noted", after)
			e.killed(t, "rotate.noted+"+after.String())
			e.verified(t)
			e.oldRootOpensNothing(t, old)
		})
	}
}

// killed has the gate killed at one point after another, and then brings the erasure
// to its end. One that is killed after a time may have come through.
func (e erasable) killed(t *testing.T, points ...string) {
	t.Helper()
	for _, point := range points {
		if !e.eraseUntil(t, point) && !strings.Contains(point, "+") {
			t.Fatalf("%s isn't reached", point)
		}
		s := e.open(t)
		e.sound(t, s)
		must(t, s.Close())
	}
	s := e.open(t)
	must(t, s.Rotate(context.Background()))
	e.final(t, s)
	must(t, s.Close())
}

// nextVictim makes another recording that is to be erased.
func (e *erasable) nextVictim(t *testing.T) {
	t.Helper()
	s := e.open(t)
	var err error
	e.victim, _ = recorded(t, s, "next victim")
	e.from, err = store.RootEpoch(e.dir)
	must(t, err, s.Close())
}

// oldRootOpensNothing: an attacker kept the first root, but no backup.
func (e erasable) oldRootOpensNothing(t *testing.T, old rootcell.Key) {
	t.Helper()
	ctx := context.Background()
	epoch, err := store.RootEpoch(e.dir)
	must(t, err)
	kept := rootcell.NewFile(filepath.Join(t.TempDir(), "kept"))
	must(t, kept.Put(ctx, epoch, old))
	if got, err := store.CheckRoot(ctx, e.dir, kept); err == nil {
		t.Errorf("it opens %+v", got)
	}
	if _, err := store.CheckRoot(ctx, e.dir, e.cells); err != nil { // the control
		t.Errorf("the present root: %v", err)
	}
}
