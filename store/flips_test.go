package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// history is a closed data directory with some calls in its log, and the
// checkpoints that an auditor took on the way and at the end.
type history struct {
	dir            string
	older, current []byte
	branch         string // a copy of dir as it was at older
}

func makeHistory(t *testing.T) history {
	t.Helper()
	h := history{dir: filepath.Join(t.TempDir(), "data")}
	s := openStore(t, h.dir)
	record(t, s, "call-1", 3)
	record(t, s, "call-2", 3)
	must(t, s.Close())
	h.older = checkpointOf(t, h.dir)
	h.branch = copyOf(t, h.dir)
	s = openStore(t, h.dir)
	record(t, s, "call-3", 3)
	record(t, s, "call-4", 3)
	must(t, s.Close())
	h.current = checkpointOf(t, h.dir)
	return h
}

func checkpointOf(t *testing.T, dir string) []byte {
	t.Helper()
	var out []byte
	rewrite(t, copyOf(t, dir), func(tx *bolt.Tx) { out = bytes.Clone(tx.Bucket([]byte("meta")).Get([]byte("checkpoint"))) })
	return out
}

// copyOf copies a data directory and its root key.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(to, os.DirFS(dir)))
	root, err := os.ReadFile(store.DefaultRootFile(dir))
	must(t, err, os.WriteFile(store.DefaultRootFile(to), root, 0o600))
	return to
}

// rewrite changes audit.db as somebody would who knows its format.
func rewrite(t *testing.T, dir string, f func(tx *bolt.Tx)) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "audit.db"), 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error { f(tx); return nil }), db.Close())
}

func row(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// found reports whether a verification against a checkpoint objects.
func found(dir string, older []byte) bool {
	r, err := store.Verify(dir, store.DefaultRootFile(dir), older)
	return err != nil || !r.OK()
}

// flip changes one bit of a row.
func flip(bucket string, key []byte, at int) func(tx *bolt.Tx) {
	return func(tx *bolt.Tx) {
		b := tx.Bucket([]byte(bucket))
		v := bytes.Clone(b.Get(key))
		v[(at+len(v))%len(v)] ^= 1
		ok(b.Put(key, v))
	}
}

// ok is must where no test is at hand.
func ok(errs ...error) {
	for _, err := range errs {
		if err != nil {
			panic(err)
		}
	}
}

func swap(tx *bolt.Tx, bucket string, a, b uint64) {
	rows := tx.Bucket([]byte(bucket))
	x, y := bytes.Clone(rows.Get(row(a))), bytes.Clone(rows.Get(row(b)))
	ok(rows.Put(row(a), y), rows.Put(row(b), x))
}

// TestInvariant10_NoRowCanBeChanged changes each kind of row in audit.db, also
// those that aren't part of the tree; the verifier must find each.
func TestInvariant10_NoRowCanBeChanged(t *testing.T) {
	h := makeHistory(t)
	if found(h.dir, h.older) || found(h.dir, h.current) || found(h.dir, nil) {
		t.Fatal("control: the log as it was written doesn't verify")
	}
	ways := map[string]func(tx *bolt.Tx){
		"a leaf's first byte":      flip("leaf", row(3), 0),
		"a leaf's last byte":       flip("leaf", row(3), -2),
		"a leaf's time":            flip("leaf", row(3), 25),
		"a payload's nonce":        flip("payload", row(3), 9),
		"a payload's end":          flip("payload", row(3), -1),
		"a payload's month":        flip("payload", row(3), 0),
		"a leaf hash":              flip("hash", row(2), 5),
		"an inner hash":            flip("hash", row(6), 5),
		"the checkpoint":           flip("meta", []byte("checkpoint"), 30),
		"the signature":            flip("meta", []byte("checkpoint"), -5),
		"the size":                 flip("meta", []byte("size"), -1),
		"a payload removed":        func(tx *bolt.Tx) { ok(tx.Bucket([]byte("payload")).Delete(row(4))) },
		"an entry removed":         func(tx *bolt.Tx) { removeRow(tx, 4) },
		"the first entry removed":  func(tx *bolt.Tx) { removeRow(tx, 0) },
		"payloads exchanged":       func(tx *bolt.Tx) { swap(tx, "payload", 3, 5) },
		"entries exchanged":        func(tx *bolt.Tx) { swap(tx, "payload", 3, 5); swap(tx, "leaf", 3, 5) },
		"a stored hash removed":    func(tx *bolt.Tx) { ok(tx.Bucket([]byte("hash")).Delete(row(6))) },
		"a grant listed as open":   func(tx *bolt.Tx) { ok(tx.Bucket([]byte("open")).Put(make([]byte, 32), row(1))) },
		"an entry added":           func(tx *bolt.Tx) { addRow(tx) },
		"the log emptied":          empty,
		"the last entry taken off": func(tx *bolt.Tx) { removeRow(tx, lastOf(tx)) },
	}
	for name, change := range ways {
		dir := copyOf(t, h.dir)
		rewrite(t, dir, change)
		if !found(dir, h.older) {
			t.Errorf("%s: not found", name)
		}
	}
}

func lastOf(tx *bolt.Tx) uint64 {
	k, _ := tx.Bucket([]byte("leaf")).Cursor().Last()
	return binary.BigEndian.Uint64(k)
}

func removeRow(tx *bolt.Tx, n uint64) {
	ok(tx.Bucket([]byte("payload")).Delete(row(n)), tx.Bucket([]byte("leaf")).Delete(row(n)))
}

func addRow(tx *bolt.Tx) {
	last := lastOf(tx)
	for _, b := range []string{"leaf", "payload"} {
		rows := tx.Bucket([]byte(b))
		ok(rows.Put(row(last+1), bytes.Clone(rows.Get(row(last)))))
	}
}

func empty(tx *bolt.Tx) {
	for _, b := range []string{"leaf", "payload", "hash", "meta", "open"} {
		ok(tx.DeleteBucket([]byte(b)))
		_, err := tx.CreateBucket([]byte(b))
		ok(err)
	}
}

// TestInvariant10_ARollbackIsFound puts an old audit.db back; who kept a later
// checkpoint sees it. Without one nobody could, which the control shows.
func TestInvariant10_ARollbackIsFound(t *testing.T) {
	h := makeHistory(t)
	if found(h.branch, nil) {
		t.Error("control: the old log doesn't verify by itself")
	}
	if !found(h.branch, h.current) {
		t.Error("a log put back to an older state passes for the current one")
	}
}

// TestInvariant10_AnotherHistoryUnderTheSameKeyIsFound writes the log anew from
// an old state with the real key, as an insider could.
func TestInvariant10_AnotherHistoryUnderTheSameKeyIsFound(t *testing.T) {
	h := makeHistory(t)
	s := openStore(t, h.branch)
	for i := range 6 {
		record(t, s, "other-"+string(rune('a'+i)), 1)
	}
	must(t, s.Close())
	if found(h.branch, nil) || found(h.branch, h.older) {
		t.Error("control: the other history isn't sound by itself")
	}
	if !found(h.branch, h.current) {
		t.Error("another history under the same key passes for the one of the checkpoint")
	}
}

// TestInvariant10_AnotherKeyIsFound replaces the whole log by another gate's.
func TestInvariant10_AnotherKeyIsFound(t *testing.T) {
	h, other := makeHistory(t), makeHistory(t)
	if !found(other.dir, h.older) {
		t.Error("another gate's log passes for the one of the checkpoint")
	}
}

func exportOf(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, store.ExportCell(context.Background(), dir, rootcell.NewFile(store.DefaultRootFile(dir)), &out))
	return out.Bytes()
}

// TestInvariant10_NoByteOfAnExportCanBeChanged does the same to an export.
func TestInvariant10_NoByteOfAnExportCanBeChanged(t *testing.T) {
	h := makeHistory(t)
	export := exportOf(t, h.dir)
	vkey, err := os.ReadFile(filepath.Join(h.dir, store.VerifierFile))
	must(t, err)
	if r, err := store.VerifyExport(bytes.NewReader(export), string(vkey), h.older); err != nil || !r.OK() || r.Sealed != 0 {
		t.Fatalf("control: %+v %v", r, err)
	}
	want := entriesOf(export)
	lines := bytes.SplitAfter(bytes.TrimSpace(export), []byte("\n"))
	changed := map[string][]byte{
		"a line removed":     bytes.Join(append(append([][]byte{}, lines[:4]...), lines[5:]...), nil),
		"the last removed":   bytes.Join(lines[:len(lines)-1], nil),
		"lines exchanged":    bytes.Join(append(append([][]byte{}, lines[:3]...), append([][]byte{lines[4], lines[3]}, lines[5:]...)...), nil),
		"a line twice":       bytes.Join(append(append([][]byte{}, lines[:4]...), lines[3:]...), nil),
		"only the header":    lines[0],
		"no payload for one": withoutPayload(t, lines, 4),
		"nothing":            nil,
	}
	for name, e := range changed {
		if r, err := store.VerifyExport(bytes.NewReader(e), string(vkey), h.older); err == nil && r.OK() {
			t.Errorf("%s: not found", name)
		}
	}
	for range 500 {
		at := rand.IntN(len(export))
		b := bytes.Clone(export)
		b[at] ^= 1 << rand.IntN(8)
		r, err := store.VerifyExport(bytes.NewReader(b), string(vkey), h.older)
		if err == nil && r.OK() && !reflect.DeepEqual(entriesOf(b), want) {
			t.Errorf("byte %d of the export was changed, it reads differently, and the verifier found nothing:\n%s", at, b[max(0, at-40):min(len(b), at+40)])
		}
	}
}

func withoutPayload(t *testing.T, lines [][]byte, n int) []byte {
	var e map[string]any
	must(t, json.Unmarshal(lines[n], &e))
	delete(e, "salt")
	delete(e, "payload")
	line, err := json.Marshal(e)
	must(t, err)
	out := append([][]byte{}, lines...)
	out[n] = append(line, '\n')
	return bytes.Join(out, nil)
}

func entriesOf(export []byte) (out []store.Entry) {
	d := json.NewDecoder(bytes.NewReader(export))
	var header map[string]any
	if d.Decode(&header) != nil {
		return nil
	}
	for {
		var e store.Entry
		if d.Decode(&e) != nil {
			return out
		}
		out = append(out, e)
	}
}

// TestVerifyWithoutTheRootChecksTheTree: an auditor without the root key sees no
// payload, and still every change of a leaf.
func TestVerifyWithoutTheRootChecksTheTree(t *testing.T) {
	h := makeHistory(t)
	none := filepath.Join(t.TempDir(), "none")
	r, err := store.Verify(h.dir, none, h.older)
	if err != nil || !r.OK() || r.Opened != 0 || r.Sealed != r.Size {
		t.Errorf("%+v %v", r, err)
	}
	dir := copyOf(t, h.dir)
	rewrite(t, dir, flip("leaf", row(5), 30))
	if r, err := store.Verify(dir, none, nil); err != nil || r.OK() {
		t.Errorf("a changed leaf: %+v %v", r, err)
	}
}

// TestVerifyWhileTheGateRuns reads the log of an open store that is being
// written.
func TestVerifyWhileTheGateRuns(t *testing.T) {
	t.Parallel()
	s, dir := kit(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Withdrawn}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for range 5 {
		r, err := store.Verify(dir, store.DefaultRootFile(dir), nil)
		if err != nil && !strings.Contains(err.Error(), "too fast") || err == nil && !r.OK() {
			t.Errorf("%+v %v", r, err)
		}
	}
	close(stop)
	<-stopped
	if r, err := store.Verify(dir, store.DefaultRootFile(dir), nil); err != nil || !r.OK() || r.Size < 2 {
		t.Errorf("at rest: %+v %v", r, err)
	}
	must(t, s.Export(io.Discard))
}
