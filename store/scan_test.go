package store_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/store"
)

// orphans are a scan's findings as "kind name", sorted.
func orphans(t *testing.T, s *store.Store) (out []string) {
	t.Helper()
	found, err := s.Scan()
	must(t, err)
	for _, o := range found {
		out = append(out, o.Kind+" "+o.Name)
	}
	slices.Sort(out)
	return out
}

// TestAScanFindsWhatLacksItsOtherHalf, both ways, removes nothing that a backup
// may make whole, and finds nothing once it is put back.
func TestAScanFindsWhatLacksItsOtherHalf(t *testing.T) {
	dir, reg := filepath.Join(t.TempDir(), "data"), prometheus.NewRegistry()
	s, err := store.Open(store.Options{Dir: dir, Registerer: reg})
	must(t, err)
	files := filepath.Join(dir, "recordings")
	lost, whole := record(t, s, "lost", 3), record(t, s, "whole", 3)
	running, err := s.Create(context.Background(), grant(t, s.Audit(), "running"))
	must(t, err)
	if got := orphans(t, s); len(got) != 0 {
		t.Fatalf("in order, and found %v", got)
	}
	backup := filepath.Join(t.TempDir(), lost+".rec")
	copyFile(t, filepath.Join(files, lost+".rec"), backup)
	stray := strings.Repeat("a", 26)
	must(t, os.Remove(filepath.Join(files, lost+".rec")), os.WriteFile(filepath.Join(files, stray+".rec"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(files, "notes.txt"), nil, 0o600))
	old := filepath.Join(dir, ".log.vkey.123456")
	must(t, os.WriteFile(old, []byte("x"), 0o600), os.Chtimes(old, time.Now(), time.Now().Add(-2*time.Hour)),
		os.WriteFile(filepath.Join(dir, ".log.vkey.654321"), nil, 0o600)) // somebody may be writing it
	want := []string{"entry_without_file " + lost, "file_without_entry " + stray + ".rec", "foreign_file notes.txt", "temporary_file .log.vkey.123456"}
	if got := orphans(t, s); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := series(t, reg, "consentgate_orphans"); got != "kind=entry_without_file 1, kind=erased_file 0, kind=file_without_entry 1, kind=foreign_file 1, kind=temporary_file 1" {
		t.Errorf("the metric says %s", got)
	}
	for _, name := range []string{stray + ".rec", "notes.txt", whole + ".rec", running.ID() + ".live"} {
		if _, err := os.Stat(filepath.Join(files, name)); err != nil {
			t.Errorf("a scan removed something: %v", err)
		}
	}
	if _, err := s.Get(lost); err != nil {
		t.Errorf("a scan forgot a recording: %v", err)
	}
	copyFile(t, backup, filepath.Join(files, lost+".rec"))
	must(t, os.Remove(filepath.Join(files, stray+".rec")), os.Remove(filepath.Join(files, "notes.txt")))
	if got := orphans(t, s); len(got) != 0 {
		t.Errorf("restored, and found %v", got)
	}
	kept(t, s, lost, 6, store.StateSealed)
	must(t, running.Seal(time.Now(), "hang-up"), s.Close())
	verify(t, dir)
}

// TestAnErasedFileThatComesBackGoesAgain: a backup was put back over an erasure.
// The log says that it was there.
func TestAnErasedFileThatComesBackGoesAgain(t *testing.T) {
	s, dir := kit(t)
	id := record(t, s, "c", 3)
	at, backup := filepath.Join(dir, "recordings", id+".rec"), filepath.Join(t.TempDir(), "backup")
	copyFile(t, at, backup)
	sum, err := s.Get(id)
	must(t, err, s.Erase(context.Background(), sum.Grant, "asked for"))
	copyFile(t, backup, at)
	if got := orphans(t, s); !slices.Equal(got, []string{"erased_file " + id + ".rec"}) {
		t.Errorf("found %v", got)
	}
	if _, err := os.Stat(at); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
	if n := types(t, s)[store.TypeErased]; n != 2 {
		t.Errorf("%d erasures are logged", n)
	}
	if got := orphans(t, s); len(got) != 0 {
		t.Errorf("found again: %v", got)
	}
}

// TestAStartScans: nobody has to ask for it.
func TestAStartScans(t *testing.T) {
	dir, reg := filepath.Join(t.TempDir(), "data"), prometheus.NewRegistry()
	s := openStore(t, dir)
	id := record(t, s, "c", 3)
	stray := filepath.Join(dir, "recordings", strings.Repeat("b", 26)+".live") // of another keys.db: nobody's to remove
	must(t, s.Close(), os.Remove(filepath.Join(dir, "recordings", id+".rec")), os.WriteFile(stray, []byte("x"), 0o600))
	s, err := store.Open(store.Options{Dir: dir, Registerer: reg})
	must(t, err)
	until(t, "the scan", func() bool {
		return strings.Contains(series(t, reg, "consentgate_orphans"), "kind=entry_without_file 1, kind=erased_file 0, kind=file_without_entry 1,")
	})
	_, err = os.Stat(stray)
	must(t, err, s.Close())
	verify(t, dir)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err, os.WriteFile(to, b, 0o600))
}
