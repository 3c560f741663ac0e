package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/store"
	"consentgate/store/rootcell"
)

// backedUp is a directory whose recording was erased for good, and copies of it
// from before and after; the root cell isn't in them.
type backedUp struct {
	erasable
	before, after string
}

func newBackedUp(t *testing.T) backedUp {
	t.Helper()
	b := backedUp{erasable: newErasable(t)}
	b.before, b.after = filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "after")
	must(t, os.CopyFS(b.before, os.DirFS(b.dir)))
	s := openStore(t, b.dir)
	must(t, s.Erase(context.Background(), b.victim.Grant, "asked"), s.Rotate(context.Background()))
	record(t, s, "since", 3)
	must(t, s.Close(), os.CopyFS(b.after, os.DirFS(b.dir)))
	return b
}

// restore puts parts of a copy in the place of what is there; all if none is named.
func (b backedUp) restore(t *testing.T, from string, names ...string) {
	t.Helper()
	if len(names) == 0 {
		must(t, os.RemoveAll(b.dir), os.CopyFS(b.dir, os.DirFS(from)))
	}
	for _, name := range names {
		must(t, os.RemoveAll(filepath.Join(b.dir, name)))
		if info, err := os.Stat(filepath.Join(from, name)); err == nil && info.IsDir() {
			must(t, os.CopyFS(filepath.Join(b.dir, name), os.DirFS(filepath.Join(from, name))))
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		must(t, err, os.WriteFile(filepath.Join(b.dir, name), text, 0o600))
	}
}

// TestABackupFromBeforeAnErasureIsRefused: all of it, or the keys alone. The error
// says why and what to do, and nothing in the directory or the cell is changed.
func TestABackupFromBeforeAnErasureIsRefused(t *testing.T) {
	for name, parts := range map[string][]string{"all": nil, "keys.db": {"keys.db"}, "keys.db and recordings": {"keys.db", "recordings"}} {
		t.Run(name, func(t *testing.T) {
			b := newBackedUp(t)
			b.restore(t, b.before, parts...)
			_, err := store.Open(store.Options{Dir: b.dir})
			if !errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), "recordings were erased since") ||
				!strings.Contains(err.Error(), "after the last erasure") {
				t.Errorf("%v", err)
			}
			if _, err := store.Verify(b.dir, store.DefaultRootFile(b.dir), nil); err == nil {
				t.Error("it verifies as if nothing were")
			}
			b.restore(t, b.after)
			s := openStore(t, b.dir)
			b.final(t, s)
			must(t, s.Close())
			verify(t, b.dir)
		})
	}
}

// TestOldFilesDontBringARecordingBack: its file is there again, and nobody opens it.
func TestOldFilesDontBringARecordingBack(t *testing.T) {
	b := newBackedUp(t)
	since, err := filepath.Glob(filepath.Join(b.dir, "recordings", "*"))
	must(t, err)
	file, err := os.ReadFile(filepath.Join(b.before, "recordings", b.victim.ID+".rec"))
	must(t, err, os.WriteFile(filepath.Join(b.dir, "recordings", b.victim.ID+".rec"), file, 0o600))
	for _, suffix := range []string{".rec", ".live"} { // as it was, and as a crash would have left it
		must(t, os.WriteFile(filepath.Join(b.dir, "recordings", b.victim.ID+suffix), file, 0o600))
		s := openStore(t, b.dir)
		b.sound(t, s)
		if _, err := s.Packets(b.victim.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", suffix, err)
		}
		must(t, s.Close())
	}
	if len(since) != 4 {
		t.Errorf("%d files", len(since))
	}
	verify(t, b.dir)
}

// TestAnOldLogDoesntBringARecordingBack: what it had of the recording is there
// again, sealed under a key that isn't, and the log is known to be an old one.
func TestAnOldLogDoesntBringARecordingBack(t *testing.T) {
	b := newBackedUp(t)
	s := openStore(t, b.dir)
	newest, err := s.Audit().Checkpoint()
	must(t, err, s.Close())
	b.restore(t, b.before, "audit.db")
	s = openStore(t, b.dir)
	if _, err := s.Get(b.victim.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, s.Entries(0, func(e store.Entry) bool {
		if strings.Contains(string(e.Payload), b.victim.ID) || strings.Contains(string(e.Payload), b.victim.Grant.String()) {
			t.Errorf("entry %d tells of it: %s", e.Seq, e.Payload)
		}
		return true
	}))
	must(t, s.Close())
	r, err := store.Verify(b.dir, store.DefaultRootFile(b.dir), newest)
	if err != nil || r.OK() {
		t.Errorf("an old log passes: %+v %v", r, err)
	}
}
