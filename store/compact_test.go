package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"

	"consentgate/store"
	"consentgate/store/rootcell"
)

var databases = []string{"keys.db", "audit.db"}

// bloat leaves a database with so many bytes in pages that aren't used any more.
func bloat(t testing.TB, path string, size int) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err)
	name := []byte("ballast")
	must(t, db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(name)
		for i := 0; i < size/1024 && err == nil; i++ {
			err = b.Put(fmt.Appendf(nil, "%08d", i), make([]byte, 1024))
		}
		return err
	}), db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(name) }), db.Close())
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

func checkpoint(t testing.TB, s *store.Store) []byte {
	t.Helper()
	signed, err := s.Audit().Checkpoint()
	must(t, err)
	return signed
}

// compactions are what the log says of them.
func compactions(t testing.TB, s *store.Store) (all []store.Compacted) {
	t.Helper()
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeCompact {
			var c store.Compacted
			must(t, json.Unmarshal(e.Payload, &c))
			all = append(all, c)
		}
		return true
	}))
	return all
}

func compact(dir string) ([]store.Compacted, error) {
	return store.Compact(context.Background(), store.Options{Dir: dir, Node: "test"})
}

// TestACompactedDirectoryIsSmallerAndTheSame: its files keep owner and mode, the log
// continues what was signed before and says what was done, and once more is no harm.
func TestACompactedDirectoryIsSmallerAndTheSame(t *testing.T) {
	t.Parallel()
	e := newErasable(t)
	s := e.open(t)
	must(t, s.Erase(context.Background(), e.victim.Grant, "asked"), s.Rotate(context.Background()))
	signed := checkpoint(t, s)
	must(t, s.Close())
	before := map[string]int64{}
	for _, name := range databases {
		path := filepath.Join(e.dir, name)
		bloat(t, path, 3<<20)
		must(t, os.Chmod(path, 0o640))
		if os.Geteuid() == 0 {
			must(t, os.Chown(path, 12345, 23456))
		}
		before[name] = sizeOf(t, path)
	}
	var again []store.Compacted
	for range 2 {
		done, err := store.Compact(context.Background(), store.Options{Dir: e.dir, Node: "test", Root: e.cells})
		must(t, err)
		if len(done) != 2 || done[0].Database != "keys.db" || done[1].Database != "audit.db" {
			t.Fatalf("%+v", done)
		}
		again = append(again, done...)
	}
	for i, name := range databases {
		c := again[i]
		if c.Before != before[name] || c.Before < 3<<20 || c.After > 1<<20 {
			t.Errorf("%+v, and it had %d bytes", c, before[name])
		}
		info, err := os.Stat(filepath.Join(e.dir, name))
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != 0o640 || os.Geteuid() == 0 && (st.Uid != 12345 || st.Gid != 23456) {
			t.Errorf("%s is %v of %d:%d", name, info.Mode(), st.Uid, st.Gid)
		}
	}
	s = e.open(t)
	logged := compactions(t, s)
	if len(logged) != 4 || logged[0] != again[0] || logged[1].Before != again[1].Before || logged[1].Database != "audit.db" {
		t.Errorf("logged: %+v, done: %+v", logged, again)
	}
	e.final(t, s)
	must(t, s.Close())
	e.verified(t)
	if r, err := (store.Auditor{Kept: [][]byte{signed}}).Verify(context.Background(), e.dir, e.cells); err != nil || !r.OK() || r.Checked == "" {
		t.Errorf("it doesn't continue the checkpoint of before: %+v %v", r, err)
	}
}

// TestOnlyOneMayHaveTheDirectory: neither a gate's directory is compacted, nor one
// that is being compacted already.
func TestOnlyOneMayHaveTheDirectory(t *testing.T) {
	t.Parallel()
	s, dir := kit(t)
	record(t, s, "c", 3)
	if _, err := compact(dir); !errors.Is(err, store.ErrInUse) {
		t.Errorf("under a running gate: %v", err)
	}
	other := filepath.Join(t.TempDir(), "data")
	must(t, openStore(t, other).Close())
	o, tried := store.Options{Dir: other, Node: "test"}, 0
	o.ReachedBy(func(point string) {
		if point == "compact.keys.db.done" {
			tried++
			_, err := compact(other)
			_, openErr := store.Open(store.Options{Dir: other})
			if !errors.Is(err, store.ErrInUse) || !errors.Is(openErr, store.ErrInUse) {
				t.Errorf("a second: %v, a gate: %v", err, openErr)
			}
		}
	})
	_, err := store.Compact(context.Background(), o)
	must(t, err)
	if tried != 1 {
		t.Error("nothing was tried")
	}
}

// TestAGateThatWaitsGetsTheNewFile: it opened the file of before and waits for its
// lock, while that is replaced. What it records must not go into a file without a
// name.
func TestAGateThatWaitsGetsTheNewFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, openStore(t, dir).Close())
	path := filepath.Join(dir, "keys.db")
	o := store.Options{Dir: dir, Node: "test"}
	gate := make(chan *store.Store, 1)
	o.ReachedBy(func(point string) {
		if point != "compact.keys.db.compared" {
			return
		}
		have := opened(t, path)
		go func() {
			for deadline := time.Now().Add(20 * time.Second); ; {
				s, err := store.Open(store.Options{Dir: dir, Node: "test"})
				if err == nil || time.Now().After(deadline) {
					gate <- s
					return
				}
			}
		}()
		until(t, "the gate has opened it", func() bool { return opened(t, path) > have })
	})
	_, err := store.Compact(context.Background(), o)
	must(t, err)
	s := <-gate
	if s == nil {
		t.Fatal("the gate never got it")
	}
	id := record(t, s, "after", 3)
	must(t, s.Close())
	s = openStore(t, dir)
	kept(t, s, id, 6, store.StateSealed)
	if len(compactions(t, s)) != 2 {
		t.Errorf("logged: %v", compactions(t, s))
	}
	must(t, s.Close())
	verify(t, dir)
}

// opened counts this process's open files of a name.
func opened(t *testing.T, path string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if at, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && at == path {
			n++
		}
	}
	return n
}

// TestACopyThatIsNotTheSameTakesNoPlace: one bit of it is another, in each
// database. The one of before stays, and the copy goes.
func TestACopyThatIsNotTheSameTakesNoPlace(t *testing.T) {
	t.Parallel()
	for _, name := range databases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := openStore(t, dir)
			sum, id := recorded(t, s, "c")
			must(t, s.Close())
			was, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			o := store.Options{Dir: dir, Node: "test"}
			o.ReachedBy(func(point string) {
				if point == "compact."+name+".filled" {
					flipBehind(t, filepath.Join(dir, name+".compact"), append([]byte("grant/"), sum.Grant.String()...), []byte(`","wrapped":"`))
				}
			})
			_, err = store.Compact(context.Background(), o)
			if err == nil || !strings.Contains(err.Error(), "isn't the same") || !strings.Contains(err.Error(), "it is as it was") {
				t.Errorf("%v", err)
			}
			is, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			if !bytes.Equal(was, is) {
				t.Error("the database was changed")
			}
			nothingLeft(t, dir)
			s = openStore(t, dir)
			kept(t, s, id, 10, store.StateSealed)
			must(t, s.Close())
			verify(t, dir)
		})
	}
}

// flipBehind changes a bit of what stands behind the first of some words that a
// file has.
func flipBehind(t *testing.T, path string, words ...[]byte) {
	t.Helper()
	file, err := os.ReadFile(path)
	must(t, err)
	for _, w := range words {
		if i := bytes.Index(file, w); i >= 0 {
			file[i+len(w)+20] ^= 1
			must(t, os.WriteFile(path, file, 0o600))
			return
		}
	}
	t.Fatalf("%s has none of %q", path, words)
}

func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*.compact"))
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestALogThatDoesNotVerifyStaysAsItIs: it is evidence; and keys that don't open
// may yet be mended from it.
func TestALogThatDoesNotVerifyStaysAsItIs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"audit.db": "doesn't verify", "keys.db": "grant"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := openStore(t, dir)
			sum, _ := recorded(t, s, "c")
			must(t, s.Close())
			path := filepath.Join(dir, name)
			alter(t, path, sum.Grant[:])
			was, err := os.ReadFile(path)
			must(t, err)
			if _, err = compact(dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
			is, err := os.ReadFile(path)
			must(t, err)
			if !bytes.Equal(was, is) {
				t.Error("the database was changed")
			}
			nothingLeft(t, dir)
		})
	}
}

// alter changes what the log says of its first entry, or a grant's wrapped key, by
// bbolt's own means: the pages are sound.
func alter(t *testing.T, path string, grant []byte) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err, db.Update(func(tx *bolt.Tx) error {
		bucket, k := tx.Bucket([]byte("payload")), make([]byte, 8)
		if bucket == nil {
			bucket, k = tx.Bucket([]byte("grant-key")), grant
		}
		v := bytes.Clone(bucket.Get(k))
		v[len(v)-20] ^= 1
		return bucket.Put(k, v)
	}), db.Close())
}

// TestCompactionLeavesTheRoomThatRecordingNeeds: where the copy would take the disk
// below disk.stop it is refused with a sentence, and nothing is changed.
func TestCompactionLeavesTheRoomThatRecordingNeeds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, openStore(t, dir).Close())
	bloat(t, filepath.Join(dir, "keys.db"), 8<<20) // which no copy needs room for
	const gib = 1 << 30
	for name, c := range map[string]struct {
		free int64
		stop store.Mark
		ok   bool
	}{
		"below the mark":           {gib + 1<<20, store.Mark{Bytes: gib}, false},
		"below it as a share":      {gib + 1<<20, store.Mark{Share: 0.25}, false},
		"no mark, and no room":     {1 << 20, store.Mark{}, false},
		"the copy stays above it":  {gib + 6<<20, store.Mark{Bytes: gib}, true},
		"no mark, and room enough": {6 << 20, store.Mark{}, true},
	} {
		o := store.WithDisk(store.Options{Dir: dir, Node: "test", Disk: store.DiskMarks{Stop: c.stop}},
			func(string) (store.Space, error) { return store.SpaceOf(c.free, 4*gib, 0, 0), nil }, 0, 0)
		_, err := store.Compact(context.Background(), o)
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, store.ErrNoRoom) || !strings.Contains(err.Error(), "disk.stop") || !strings.Contains(err.Error(), "keys.db") {
			t.Errorf("%s: %v", name, err)
		}
		nothingLeft(t, dir)
	}
	verify(t, dir)
}

// TestAnOldCopyIsNotCompacted: keys.db of before an erasure has no root, and one of
// the version before is the gate's to bring to the present one. Neither is touched,
// and a folder that is none isn't made one.
func TestAnOldCopyIsNotCompacted(t *testing.T) {
	t.Parallel()
	b := newBackedUp(t)
	b.restore(t, b.before, "keys.db")
	was, err := os.ReadFile(filepath.Join(b.dir, "keys.db"))
	must(t, err)
	if _, err := compact(b.dir); !errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), "recordings were erased since") {
		t.Errorf("%v", err)
	}
	is, err := os.ReadFile(filepath.Join(b.dir, "keys.db"))
	must(t, err)
	if !bytes.Equal(was, is) {
		t.Error("it was changed")
	}
	b.restore(t, b.after)
	_, err = compact(b.dir)
	must(t, err)
	s := openStore(t, b.dir)
	b.final(t, s)
	must(t, s.Close())

	old := t.TempDir()
	must(t, os.CopyFS(old, os.DirFS(filepath.Join("testdata", "version1"))))
	if _, err := compact(filepath.Join(old, "data")); err == nil || !strings.Contains(err.Error(), "start the gate on it first") {
		t.Errorf("version 1: %v", err)
	}
	empty := t.TempDir()
	if _, err := compact(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("made: %v %v", left, err)
	}
}

// TestWhatACompactionLeftIsSweptAtTheStart, with a word in the log; where it can't be
// nothing is recorded.
func TestWhatACompactionLeftIsSweptAtTheStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, openStore(t, dir).Close())
	for _, name := range databases {
		must(t, os.WriteFile(filepath.Join(dir, name+".compact"), []byte("half"), 0o600))
	}
	var said bytes.Buffer
	s, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
	must(t, err, s.Close())
	nothingLeft(t, dir)
	if n := strings.Count(said.String(), "a compaction was cut short"); n != 2 {
		t.Errorf("said %d times: %s", n, said.String())
	}
	stuck := filepath.Join(dir, "keys.db.compact", "in the way")
	must(t, os.MkdirAll(stuck, 0o700))
	if _, err := store.Open(store.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "keys.db.compact") {
		t.Errorf("%v", err)
	}
	if _, err := compact(dir); err == nil || !strings.Contains(err.Error(), "keys.db.compact") {
		t.Errorf("%v", err)
	}
}

// TestTheGaugesSayWhatACompactionWouldGiveBack.
func TestTheGaugesSayWhatACompactionWouldGiveBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, openStore(t, dir).Close())
	bloat(t, filepath.Join(dir, "keys.db"), 3<<20)
	gauges := func() map[string]float64 {
		reg := prometheus.NewRegistry()
		s, err := store.Open(store.Options{Dir: dir, Registerer: reg})
		must(t, err)
		got := map[string]float64{}
		families, err := reg.Gather()
		must(t, err, s.Close())
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "consentgate_database_") {
				for _, m := range f.GetMetric() {
					got[f.GetName()[len("consentgate_database_"):]+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		return got
	}
	before := gauges()
	_, err := compact(dir)
	must(t, err)
	after := gauges()
	if before["free_bytes keys.db"] < 3<<20 || before["bytes keys.db"] < before["free_bytes keys.db"] || before["free_bytes audit.db"] > 1<<20 ||
		after["free_bytes keys.db"] > 1<<20 || after["bytes keys.db"] > 1<<20 || len(after) != 4 {
		t.Errorf("before %v\nafter %v", before, after)
	}
}
