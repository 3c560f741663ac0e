package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store"
)

// erasedLog is a closed data directory in whose log one grant of three was
// erased, and the entries of that grant.
func erasedLog(t *testing.T) (dir string, listed []int64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	record(t, s, "before", 2)
	g := grant(t, s.Audit(), "erased")
	h := g.Hash()
	r, err := s.Create(context.Background(), g)
	must(t, err)
	record(t, s, "between", 2)
	_, err = s.Audit().Append(context.Background(), consent.Record{Kind: consent.Withdrawn, Grant: &h})
	must(t, err, r.Seal(time.Now(), "hang-up"), s.Erase(context.Background(), h, "asked"))
	must(t, s.Entries(0, func(e store.Entry) bool {
		var ev struct{ Payloads []int64 }
		if e.Type == store.TypeErased {
			must(t, json.Unmarshal(e.Payload, &ev))
			listed = ev.Payloads
		}
		return true
	}))
	must(t, s.Close())
	return dir, listed
}

// TestAnErasureTakesWhatTheLogSaidOfItsGrantAndNothingElse, and the log still
// verifies, with and without the root key and as an export.
func TestAnErasureTakesWhatTheLogSaidOfItsGrantAndNothingElse(t *testing.T) {
	dir, listed := erasedLog(t)
	r := verify(t, dir)
	if len(listed) != 5 || r.Erased != 5 || r.Opened != r.Size-5 || r.Grants != 2 || r.Unaccounted != 0 { // granted, started, withdrawn, sealed, asked for
		t.Errorf("listed %v: %+v", listed, r)
	}
	if r, err := store.Verify(dir, filepath.Join(dir, "no-root")); err != nil || !r.OK() || r.Erased != 5 || r.Sealed != r.Size-5 {
		t.Errorf("without the root: %+v %v", r, err)
	}
	export := exportOf(t, dir)
	if r, err := store.VerifyExport(bytes.NewReader(export), ""); err != nil || !r.OK() || r.Erased != 5 {
		t.Errorf("export: %+v %v", r, err)
	}
	for _, e := range entriesOf(export) {
		for _, seq := range listed {
			if e.Seq == seq && (e.Payload != nil || e.Salt != nil) {
				t.Errorf("entry %d was erased and is exported: %s", seq, e.Payload)
			}
		}
	}
}

// TestAMissingPayloadIsAFindingUnlessItsErasureIsLogged, and one that is there
// although it was erased is one, too. Controls are in the test before.
func TestAMissingPayloadIsAFindingUnlessItsErasureIsLogged(t *testing.T) {
	dir, listed := erasedLog(t)
	before := copyOf(t, dir)
	for name, c := range map[string]struct {
		do   func(tx *bolt.Tx)
		seq  int64
		want string
	}{
		"another grant's": {func(tx *bolt.Tx) { ok(tx.Bucket([]byte("payload")).Delete(row(1))) }, 1, "no erasure of it is logged"},
		"no grant's":      {func(tx *bolt.Tx) { ok(tx.Bucket([]byte("payload")).Delete(row(0))) }, 0, "no erasure of it is logged"},
		"the erasure's own": {func(tx *bolt.Tx) { ok(tx.Bucket([]byte("payload")).Delete(row(uint64(erasureIn(tx))))) }, -2,
			"no erasure of it is logged"},
		"one put back": {func(tx *bolt.Tx) {
			ok(tx.Bucket([]byte("payload")).Put(row(uint64(listed[0])), []byte("2026-11\x00anything")))
		}, listed[0], ""},
	} {
		dir := copyOf(t, before)
		seq := c.seq
		rewrite(t, dir, func(tx *bolt.Tx) {
			if seq == -2 {
				seq = erasureIn(tx)
			}
			c.do(tx)
		})
		for _, root := range []string{store.DefaultRootFile(dir), "no-root"} {
			r, err := store.Verify(dir, root)
			must(t, err)
			if r.BadSeq != seq || root == "no-root" && !strings.Contains(r.Problem, c.want) {
				t.Errorf("%s: bad %d, want %d: %s", name, r.BadSeq, seq, r.Problem)
			}
		}
	}
}

// recordingOf is the name that the log gives a grant's recording.
func recordingOf(t *testing.T, s *store.Store, g consent.Hash) (recording string) {
	t.Helper()
	must(t, s.Entries(0, func(e store.Entry) bool {
		var ev struct{ Recording, Grant string }
		if e.Type == store.TypeStarted && json.Unmarshal(e.Payload, &ev) == nil && ev.Grant == g.String() {
			recording = ev.Recording
		}
		return true
	}))
	return recording
}

// takePayload takes one away as the gate would.
func takePayload(tx *bolt.Tx, seq uint64) {
	var listed []byte
	ok(tx.Bucket([]byte("of-grant")).ForEach(func(k, _ []byte) error {
		if bytes.HasSuffix(k, row(seq)) {
			listed = bytes.Clone(k)
		}
		return nil
	}))
	ok(tx.Bucket([]byte("payload")).Delete(row(seq)), tx.Bucket([]byte("of-grant")).Delete(listed))
}

func erasureIn(tx *bolt.Tx) (seq int64) {
	cur := tx.Bucket([]byte("leaf")).Cursor()
	n := int64(0)
	for k, text := cur.First(); k != nil; k, text = cur.Next() {
		if bytes.Contains(text, []byte(" recording.erased ")) {
			seq = n
		}
		n++
	}
	return seq
}

// TestAnErasureCantTakeAnotherGrantsEntries: an insider who holds every key
// writes an erasure that lists what isn't its grant's, or marks an entry as of a
// grant that it isn't of. Both are found while they can be read, and what the
// first would take is missed for good.
func TestAnErasureCantTakeAnotherGrantsEntries(t *testing.T) {
	erase := func(listed ...int64) func(t *testing.T, s *store.Store, mine, other consent.Hash) {
		return func(t *testing.T, s *store.Store, mine, _ consent.Hash) {
			must(t, s.Audit().AppendAs(store.TypeErased, map[string]any{"grant": mine, "payloads": listed}, mine))
		}
	}
	for name, c := range map[string]struct {
		do   func(t *testing.T, s *store.Store, mine, other consent.Hash)
		gone []uint64 // payloads taken away
		want string
	}{
		"lists another's":           {erase(1, 2, 3, 4, 5, 6), []uint64{4, 5, 6}, "doesn't list the entries of its grant"},
		"lists and takes another's": {erase(1, 2, 3, 4, 5, 6), []uint64{1, 2, 3, 4, 5, 6}, "no erasure of it is logged"},
		"lists too few":             {erase(4, 5), []uint64{4, 5, 6}, "doesn't list the entries of its grant"},
		"takes too few":             {erase(4, 5, 6), []uint64{4, 5}, "the payload is still there, and entry 7 says"},
		"takes its own":             {erase(4, 5, 6), []uint64{4, 5, 6}, ""},
		"marks as another's": {func(t *testing.T, s *store.Store, mine, other consent.Hash) {
			must(t, s.Audit().AppendAs("recording.played", map[string]any{"grant": mine}, other))
		}, nil, "the mark of a grant that it isn't of"},
		"says so by the recording": {func(t *testing.T, s *store.Store, mine, _ consent.Hash) {
			must(t, s.Audit().AppendAs("recording.played", map[string]any{"recording": recordingOf(t, s, mine)}, mine))
		}, nil, ""},
		"by another's recording": {func(t *testing.T, s *store.Store, mine, other consent.Hash) {
			must(t, s.Audit().AppendAs("recording.played", map[string]any{"recording": recordingOf(t, s, other)}, mine))
		}, nil, "the mark of a grant that it isn't of"},
		"marks as its own": {func(t *testing.T, s *store.Store, mine, _ consent.Hash) {
			must(t, s.Audit().AppendAs("recording.played", map[string]any{"grant": mine}, mine))
		}, nil, ""},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		s := openStore(t, dir)
		var grants []consent.Hash
		for _, call := range []string{"other", "mine"} {
			g := grant(t, s.Audit(), call)
			r, err := s.Create(context.Background(), g)
			must(t, err, r.Seal(time.Now(), "hang-up"))
			grants = append(grants, g.Hash())
		}
		c.do(t, s, grants[1], grants[0])
		must(t, s.Close())
		rewrite(t, dir, func(tx *bolt.Tx) {
			for _, seq := range c.gone {
				takePayload(tx, seq)
			}
		})
		r, err := store.Verify(dir, store.DefaultRootFile(dir))
		must(t, err)
		if r.OK() != (c.want == "") || !strings.Contains(r.Problem, c.want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestEventsAreLoggedAndReadBack, and no leaf says more of one than its type.
func TestEventsAreLoggedAndReadBack(t *testing.T) {
	s, dir := kit(t)
	before := s.Audit().Size()
	events := []store.Event{store.Login{By: "dana-of-the-office", Via: "password"}, store.LoginFailed{As: "dana-of-the-office", Reason: "password"},
		store.ConfigChanged{Before: "a", After: "b"}, store.WitnessConflict{Witness: "w", Reason: "r"}}
	for _, e := range events {
		must(t, s.Audit().Note(context.Background(), e))
	}
	n := 0
	must(t, s.Entries(before, func(e store.Entry) bool {
		want, err := json.Marshal(events[n])
		must(t, err)
		if !bytes.Equal(e.Payload, want) || strings.Contains(e.Leaf, "dana") {
			t.Errorf("%s: %s", e.Leaf, e.Payload)
		}
		n++
		return true
	}))
	if n != len(events) {
		t.Errorf("%d entries", n)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "audit.db"))
	must(t, err)
	if bytes.Contains(raw, []byte("dana-of")) {
		t.Error("a user's name is in the clear on the disk")
	}
}
