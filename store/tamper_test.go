package store_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store"
)

// logged is a closed data directory with a log of some entries, and an older
// checkpoint that the auditor kept.
func logged(t *testing.T) (dir string, older []byte) {
	dir = filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	record(t, s, "first", 2)
	older, err := s.Audit().Checkpoint()
	must(t, err)
	record(t, s, "second", 2)
	must(t, s.Close())
	return dir, older
}

func edit(t *testing.T, dir, file string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, file), 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err)
	must(t, db.Update(f), db.Close())
}

func seq(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// TestInvariant10_TheLogCannotBeRewritten: every way to change the log is found,
// and the first bad entry named. The control is the log as it is.
func TestInvariant10_TheLogCannotBeRewritten(t *testing.T) {
	for name, c := range map[string]struct {
		do  func(tx *bolt.Tx) error
		bad int64
	}{
		"as it is": {func(*bolt.Tx) error { return nil }, -1},
		"a payload's byte changed": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("payload"))
			v := bytes.Clone(b.Get(seq(2)))
			v[len(v)-1] ^= 1
			return b.Put(seq(2), v)
		}, 2},
		"a payload removed": {func(tx *bolt.Tx) error { return tx.Bucket([]byte("payload")).Delete(seq(3)) }, 3},
		"two payloads exchanged": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("payload"))
			x, y := bytes.Clone(b.Get(seq(1))), bytes.Clone(b.Get(seq(2)))
			return firstErr(b.Put(seq(1), y), b.Put(seq(2), x))
		}, 1},
		"a leaf's type changed": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("leaf"))
			return b.Put(seq(1), bytes.Replace(b.Get(seq(1)), []byte(" consent "), []byte(" concent "), 1))
		}, 1},
		"an entry removed": {func(tx *bolt.Tx) error { return tx.Bucket([]byte("leaf")).Delete(seq(2)) }, 2},
		"the last entry removed": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("leaf"))
			k, _ := b.Cursor().Last()
			return b.Delete(k)
		}, 7},
		"an entry added": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("leaf"))
			return firstErr(b.Put(seq(9), b.Get(seq(1))), tx.Bucket([]byte("payload")).Put(seq(9), tx.Bucket([]byte("payload")).Get(seq(1))))
		}, 8},
		"a stored hash changed": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("hash"))
			v := bytes.Clone(b.Get(seq(0)))
			v[0] ^= 1
			return b.Put(seq(0), v)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir, older := logged(t)
			edit(t, dir, "audit.db", c.do)
			r, err := store.Verify(dir, store.DefaultRootFile(dir), older)
			must(t, err)
			if r.BadSeq != c.bad || r.OK() != (c.bad < 0) {
				t.Errorf("bad %d, want %d: %s", r.BadSeq, c.bad, r.Problem)
			}
		})
	}
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestARewrittenHistoryIsCaughtByAnOlderCheckpoint: who holds the signing key
// can make another log that is sound in itself; the auditor's checkpoint tells.
func TestARewrittenHistoryIsCaughtByAnOlderCheckpoint(t *testing.T) {
	dir, older := logged(t)
	// The insider keeps keys.db (with the signing key) and writes the log anew.
	must(t, os.Remove(filepath.Join(dir, "audit.db")))
	s := openStore(t, dir)
	for range 3 {
		record(t, s, "another past", 2)
	}
	must(t, s.Close())
	verify(t, dir) // sound in itself
	r, err := store.Verify(dir, store.DefaultRootFile(dir), older)
	must(t, err)
	if r.OK() || !strings.Contains(r.Problem, "checkpoint given") {
		t.Errorf("%+v", r)
	}
}

func TestARolledBackLogIsCaughtByANewerCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	record(t, s, "c", 1)
	must(t, s.Close())
	old, err := os.ReadFile(filepath.Join(dir, "audit.db"))
	must(t, err)
	s = openStore(t, dir)
	record(t, s, "c", 1)
	kept, err := s.Audit().Checkpoint()
	must(t, err, s.Close(), os.WriteFile(filepath.Join(dir, "audit.db"), old, 0o600))
	r, err := store.Verify(dir, store.DefaultRootFile(dir), kept)
	must(t, err)
	if r.OK() || !strings.Contains(r.Problem, "entries were removed") {
		t.Errorf("%+v", r)
	}
}

func TestAForgedCheckpointIsRefused(t *testing.T) {
	dir, older := logged(t)
	forged := bytes.Replace(older, []byte("\n4\n"), []byte("\n3\n"), 1)
	if bytes.Equal(forged, older) {
		forged = bytes.Replace(older, []byte("\n5\n"), []byte("\n3\n"), 1)
	}
	if _, err := store.Verify(dir, store.DefaultRootFile(dir), forged); err == nil {
		t.Errorf("taken:\n%s", forged)
	}
}

func TestWithoutTheRootTheTreeIsStillVerified(t *testing.T) {
	dir, _ := logged(t)
	r, err := store.Verify(dir, filepath.Join(dir, "no-root"), nil)
	must(t, err)
	if !r.OK() || r.Opened != 0 || r.Sealed != r.Size {
		t.Errorf("%+v", r)
	}
}

func TestALogInUseIsVerifiedFromACopy(t *testing.T) {
	s, dir := kit(t)
	record(t, s, "c", 2)
	verify(t, dir)
}

// TestAnExportVerifiesByItselfAndEachChangeIsFound.
func TestAnExportVerifiesByItselfAndEachChangeIsFound(t *testing.T) {
	dir, older := logged(t)
	lines := strings.SplitAfter(strings.TrimSpace(string(exportOf(t, dir))), "\n")
	for name, c := range map[string]struct {
		change func([]string) []string
		ok     bool
	}{
		"as it is":    {func(l []string) []string { return l }, true},
		"one dropped": {func(l []string) []string { return append(l[:3:3], l[4:]...) }, false},
		"two swapped": {func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }, false},
		"a type": {func(l []string) []string {
			l[2] = strings.Replace(l[2], `"type":"consent"`, `"type":"nothing"`, 1)
			return l
		}, false},
		"a time":      {func(l []string) []string { l[2] = strings.Replace(l[2], `"at":"2`, `"at":"1`, 1); return l }, false},
		"a payload":   {func(l []string) []string { l[2] = strings.Replace(l[2], `"payload":"ey`, `"payload":"eY`, 1); return l }, false},
		"the end cut": {func(l []string) []string { return l[:len(l)-1] }, false},
	} {
		changed := strings.Join(c.change(append([]string(nil), lines...)), "")
		r, err := store.VerifyExport(strings.NewReader(changed), "", older)
		if ok := err == nil && r.OK(); ok != c.ok {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// FuzzExport: an export from anywhere costs no panic and no more memory than
// its own size.
func FuzzExport(f *testing.F) {
	f.Add([]byte(`{"format":"consentgate-audit-export-1","vkey":"x","checkpoint":"y"}`))
	f.Add([]byte("\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = store.VerifyExport(bytes.NewReader(data), "", nil)
	})
}
