package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/store"
	"consentgate/store/rootcell"
)

// recorded makes a recording and returns its grant, too.
func recorded(t testing.TB, s *store.Store, call string) (store.Summary, string) {
	t.Helper()
	id := record(t, s, call, 5)
	sum, err := s.Get(id)
	must(t, err)
	return sum, id
}

func state(t testing.TB, s *store.Store, id string) string {
	t.Helper()
	e, err := s.Erasure(id)
	if errors.Is(err, store.ErrNotFound) {
		return "none"
	}
	must(t, err)
	return e.State
}

// TestAnErasureIsPendingUntilTheOldRootIsDestroyed: then there is a certificate,
// and what stayed is as it was.
func TestAnErasureIsPendingUntilTheOldRootIsDestroyed(t *testing.T) {
	s, dir := kit(t)
	ctx := context.Background()
	victim, gone := recorded(t, s, "victim")
	survivor, kept := recorded(t, s, "survivor")
	if got := state(t, s, gone); got != "none" {
		t.Errorf("before: %s", got)
	}
	must(t, s.Rotate(ctx)) // nothing to do
	must(t, s.Erase(ctx, victim.Grant, "withdrawn"))
	if got := state(t, s, gone); got != store.ErasurePending {
		t.Errorf("before the rotation: %s", got)
	}
	if _, err := s.Certificate(gone); !errors.Is(err, store.ErrNotShredded) {
		t.Errorf("a certificate while the old root lives: %v", err)
	}
	if n, _ := s.Waiting(); n != 1 {
		t.Errorf("%d are pending", n)
	}
	must(t, s.Rotate(ctx))
	if got := state(t, s, gone); got != store.ErasureShredded {
		t.Errorf("after the rotation: %s", got)
	}
	cell := rootcell.NewFile(store.DefaultRootFile(dir))
	if has, err := cell.Epochs(ctx); err != nil || len(has) != 1 || has[0] != 2 {
		t.Errorf("the cell has %v, %v", has, err)
	}
	if _, err := s.Check(ctx, kept); err != nil {
		t.Errorf("the survivor: %v", err)
	}
	record(t, s, "after", 5)
	signed, err := s.Certificate(gone)
	must(t, err)
	c, err := store.CheckCertificate(signed, vkeyOf(t, dir))
	must(t, err)
	if !c.Of(victim.Grant) || c.Of(survivor.Grant) || c.Root.From != 1 || c.Root.To != 2 || c.Cause.Kind != "withdrawal" {
		t.Errorf("%+v", c)
	}
	if n := types(t, s); n[store.TypeErasureAsked] != 1 || n[store.TypeErased] != 1 || n[store.TypeShredded] != 1 {
		t.Errorf("%v", n)
	}
	if n, _ := s.Waiting(); n != 0 {
		t.Errorf("%d are pending still", n)
	}
}

func vkeyOf(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, store.VerifierFile))
	must(t, err)
	return string(b)
}

// TestAnOpenDestroysCopiesOfRootsThatACrashLeft: beside the root, and of replicas.
func TestAnOpenDestroysCopiesOfRootsThatACrashLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	replica := filepath.Join(t.TempDir(), "copy")
	left := []string{filepath.Join(filepath.Dir(dir), ".data.root.2.12345"), filepath.Join(filepath.Dir(replica), ".copy.678")}
	for _, path := range left {
		must(t, os.WriteFile(path, []byte("consentgate root 2 00\n"), 0o600))
	}
	cells, err := rootcell.NewGroup(rootcell.NewFile(store.DefaultRootFile(dir)), rootcell.NewFile(replica))
	must(t, err)
	s, err := store.Open(store.Options{Dir: dir, Root: cells})
	must(t, err, s.Close())
	for _, path := range left {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestEachErasureHasItsRotation, one after another: each destroys a root.
func TestEachErasureHasItsRotation(t *testing.T) {
	s, dir := kit(t)
	ctx := context.Background()
	for range 3 {
		victim, id := recorded(t, s, "victim")
		must(t, s.Erase(ctx, victim.Grant, "retention"), s.Rotate(ctx))
		if got := state(t, s, id); got != store.ErasureShredded {
			t.Fatal(got)
		}
		signed, err := s.Certificate(id)
		must(t, err)
		_, err = store.CheckCertificate(signed, vkeyOf(t, dir))
		must(t, err)
	}
	if has, err := rootcell.NewFile(store.DefaultRootFile(dir)).Epochs(ctx); err != nil || len(has) != 1 || has[0] != 4 {
		t.Errorf("%v %v", has, err)
	}
}

// TestErasuresBecomeFinalByThemselves, at once where that is configured.
func TestErasuresBecomeFinalByThemselves(t *testing.T) {
	for name, r := range map[string]store.Rotation{"every": {Every: 10 * time.Millisecond}, "at once": {AtOnce: true}} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s, err := store.Open(store.Options{Dir: dir, Rotation: r})
			must(t, err)
			victim, id := recorded(t, s, "victim")
			must(t, s.Erase(context.Background(), victim.Grant, "asked"))
			until(t, "the erasure is final", func() bool { return state(t, s, id) == store.ErasureShredded })
			must(t, s.Close())
			verify(t, dir)
		})
	}
}

// TestAMissingBackupOfTheRootIsTold until one was made, and again when another
// root took its place.
func TestAMissingBackupOfTheRootIsTold(t *testing.T) {
	dir, reg := filepath.Join(t.TempDir(), "data"), prometheus.NewRegistry()
	s, err := store.Open(store.WithDisk(store.Options{Dir: dir, Registerer: reg}, nil, 5*time.Millisecond, 0))
	must(t, err)
	ctx := context.Background()
	missing := func() bool { return gauge(t, reg, "consentgate_root_backup_missing") == 1 }
	if !missing() {
		t.Error("nothing is missed before there is a backup")
	}
	cell := rootcell.NewFile(store.DefaultRootFile(dir))
	k, err := cell.Get(ctx, 1)
	must(t, err, store.ConfirmRootBackup(dir, 1, k, ""))
	until(t, "the backup is known", func() bool { return !missing() })
	victim, _ := recorded(t, s, "victim")
	must(t, s.Erase(ctx, victim.Grant, "asked"), s.Rotate(ctx))
	until(t, "the new root's backup is missed", missing)
	must(t, s.Close())
}

// TestTheOldRootStaysUntilTheNewOneIsBackedUp where that is asked for, and a
// backup of another root doesn't count.
func TestTheOldRootStaysUntilTheNewOneIsBackedUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(store.Options{Dir: dir, Rotation: store.Rotation{RequireBackup: true}})
	must(t, err)
	ctx := context.Background()
	cell := rootcell.NewFile(store.DefaultRootFile(dir))
	old, err := cell.Get(ctx, 1)
	must(t, err)
	victim, id := recorded(t, s, "victim")
	must(t, s.Erase(ctx, victim.Grant, "asked"))
	for _, wrong := range []func() error{func() error { return nil },
		func() error { return store.ConfirmRootBackup(dir, 1, old, "") }, func() error { return store.ConfirmRootBackup(dir, 2, old, "") }} {
		must(t, wrong())
		if err := s.Rotate(ctx); err == nil || !strings.Contains(err.Error(), "root backup") {
			t.Errorf("%v", err)
		}
		if got := state(t, s, id); got != store.ErasurePending {
			t.Errorf("%s without a backup", got)
		}
		if _, err := cell.Get(ctx, 1); err != nil {
			t.Fatalf("the old root: %v", err)
		}
	}
	k, err := cell.Get(ctx, 2)
	must(t, err, store.ConfirmRootBackup(dir, 2, k, ""), s.Rotate(ctx))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("the old root: %v", err)
	}
	signed, err := s.Certificate(id)
	must(t, err)
	if c, err := store.CheckCertificate(signed, vkeyOf(t, dir)); err != nil || !strings.Contains(c.Root.Backup, "backup was made") {
		t.Errorf("%q %v", c.Root.Backup, err)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestEachNamedHolderHasABackupBeforeTheOldRootGoes.
func TestEachNamedHolderHasABackupBeforeTheOldRootGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(store.Options{Dir: dir, Rotation: store.Rotation{RequireBackup: true, Backups: []string{"safe", "bank"}}})
	must(t, err)
	ctx := context.Background()
	cell := rootcell.NewFile(store.DefaultRootFile(dir))
	old, err := cell.Get(ctx, 1)
	must(t, err)
	victim, id := recorded(t, s, "victim")
	must(t, s.Erase(ctx, victim.Grant, "asked"))
	pending := func(lacking string) {
		t.Helper()
		if err := s.Rotate(ctx); err == nil || !strings.Contains(err.Error(), "no backup of the new root key yet for "+lacking+":") {
			t.Errorf("%v", err)
		}
		if _, err := cell.Get(ctx, 1); err != nil || state(t, s, id) != store.ErasurePending {
			t.Fatalf("the old root: %v", err)
		}
	}
	must(t, store.ConfirmRootBackup(dir, 1, old, "safe"), store.ConfirmRootBackup(dir, 1, old, "bank"))
	if err := s.Rotate(ctx); err == nil {
		t.Error("backups of the old root count")
	}
	k, err := cell.Get(ctx, 2)
	must(t, err, store.ConfirmRootBackup(dir, 2, k, ""))
	pending("safe, bank")
	must(t, store.ConfirmRootBackup(dir, 2, k, "bank"))
	pending("safe")
	must(t, store.ConfirmRootBackup(dir, 2, k, "safe"), s.Rotate(ctx))
	signed, err := s.Certificate(id)
	must(t, err)
	if c, err := store.CheckCertificate(signed, vkeyOf(t, dir)); err != nil || !strings.Contains(c.Root.Backup, "for safe, 20") || !strings.Contains(c.Root.Backup, "; for bank, 20") {
		t.Errorf("%q %v", c.Root.Backup, err)
	}
	must(t, s.Close())
}
