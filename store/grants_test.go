package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store/rootcell"
)

// granted is a grant's record in the log.
func granted(t *testing.T, s *Store, call string) consent.Record {
	t.Helper()
	r := consent.Record{Kind: consent.Granted, Call: consent.Call{ID: call, Remote: "+442079460123", Local: "+4930901820"},
		Purpose: consent.Purpose{Name: "training"}}
	_, err := s.audit.Append(context.Background(), r)
	must(t, err)
	return r
}

// TestWhatTheLogSaysOfAGrantIsUnderTheGrantsKey, and all else under the month's.
func TestWhatTheLogSaysOfAGrantIsUnderTheGrantsKey(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "data"))
	r := granted(t, s, "c")
	h := r.Hash()
	for _, r := range []consent.Record{{Kind: consent.Paused, Grant: &h}, {Kind: consent.Withdrawn, Grant: &h},
		{Kind: consent.Declined}, {Kind: consent.Failed, Grant: &h}} {
		_, err := s.audit.Append(context.Background(), r)
		must(t, err)
	}
	names := ""
	must(t, s.audit.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bPayload).ForEach(func(_, row []byte) error {
			name, _, _ := strings.Cut(nameOfRow(row), "/")
			names += name + " "
			return nil
		})
	}))
	if want := "month grant grant grant month grant "; names != want { // the first is the start's
		t.Errorf("%q, want %q", names, want)
	}
	must(t, s.Close())
}

// TestNoGrantIsLoggedWhoseKeyCantBeKept: keys.db hangs, and the log has no word
// of a grant that nobody could read.
func TestNoGrantIsLoggedWhoseKeyCantBeKept(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "data"))
	tx, err := s.keys.db.Begin(true)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	before := s.audit.Size()
	done := make(chan error, 1)
	go func() {
		_, err := s.audit.Append(ctx, consent.Record{Kind: consent.Granted})
		done <- err
	}()
	_, err = s.audit.Append(context.Background(), consent.Record{Kind: consent.Withdrawn}) // control: the log takes others
	must(t, err)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	must(t, tx.Rollback())
	if n := s.audit.Size(); n != before+1 {
		t.Errorf("%d entries, want %d", n, before+1)
	}
	must(t, s.Close())
	wholeLog(t, s.dir, nil)
}

// TestAGrantWithoutARecordingKeepsItsKey at a start, so that the log stays
// readable; the key of a grant that never came into the log goes.
func TestAGrantWithoutARecordingKeepsItsKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openAt(t, dir)
	kept := granted(t, s, "c").Hash()
	orphan := consent.Hash{1}
	must(t, s.keys.grantMade(context.Background(), orphan, consent.Purpose{}), s.Close())
	s = openAt(t, dir)
	if _, err := s.keys.grantRow(kept); err != nil {
		t.Error(err)
	}
	if _, err := s.keys.grantRow(orphan); !errors.Is(err, errNoKey) {
		t.Errorf("the key of no grant: %v", err)
	}
	must(t, s.Close())
	wholeLog(t, dir, nil)
}

// TestNothingIsLostToARotation: grants, ends, searches and registrations go on
// while the root changes under them, and all opens afterwards.
func TestNothingIsLostToARotation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	cell := rootcell.NewFile(DefaultRootFile(dir))
	s, err := Open(Options{Dir: dir, Root: cell})
	must(t, err)
	ctx := context.Background()
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { stopped <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			r := consent.Record{Kind: consent.Granted, Call: consent.Call{ID: "c", Remote: "+442079460123"}, Reason: string(rune('a' + n))}
			if _, err := s.audit.Append(ctx, r); err != nil {
				t.Error(err)
				return
			}
			id := make([]byte, idSize)
			id[0], id[1] = byte(n), byte(n>>8)
			name, row := idText.EncodeToString(id), row{Grant: r.Hash(), Salt: []byte("salt"), Start: int64(n + 1)}
			if err := s.keys.update(ctx, func(k keysTx) error { return k.index(name, row, Summary{ID: name, RemoteNumber: "+442079460123"}) }); err != nil {
				t.Error(err)
				return
			}
			if err := s.noteEnd(ctx, name, ending{reason: "hang-up"}, noEntry); err != nil {
				t.Error(err)
			}
			if err := s.binds.Save(ctx, map[string][]byte{name: []byte(name)}); err != nil {
				t.Error(err)
			}
		}
	}()
	for epoch := uint64(2); epoch < 12; epoch++ {
		root, err := cell.Make(ctx, epoch)
		must(t, err, s.keys.turn(ctx, epoch, root, func(_, _ keysTx) error { return nil }), cell.Destroy(ctx, epoch-1))
		if _, _, err := s.Search(Query{Party: "+442079460123"}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	n := <-stopped
	page, _, err := s.Search(Query{Party: "+442079460123", Limit: 1000})
	must(t, err)
	if len(page) != min(n, 1000) || n == 0 {
		t.Errorf("%d of %d are found", len(page), n)
	}
	if values, err := s.binds.Load(ctx); err != nil || len(values) != n {
		t.Errorf("%d of %d registrations: %v", len(values), n, err)
	}
	must(t, s.Close())
	if r := wholeLog(t, dir, nil); r.Grants != int64(n) {
		t.Errorf("%d grants are in the log, want %d", r.Grants, n)
	}
}
