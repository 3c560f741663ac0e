package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
)

// blockWrites keeps the log from writing until release is called, as a disk
// that hangs does.
func blockWrites(t *testing.T, s *Store) (release func()) {
	t.Helper()
	tx, err := s.audit.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func count(t *testing.T, s *Store, kind string) (n int) {
	t.Helper()
	if err := s.Entries(0, func(e Entry) bool {
		if e.Type == kind {
			n++
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAnEndThatCameBackLateIsLoggedOnce: the first try is given up while the
// disk hangs, becomes durable all the same, and the second adds nothing.
func TestAnEndThatCameBackLateIsLoggedOnce(t *testing.T) {
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	r := consent.Record{Kind: consent.Granted}
	if _, err := s.audit.Append(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	release := blockWrites(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	ev := recordingEvent{Grant: r.Hash().String(), Reason: "late"}
	if _, err := s.audit.appendEnd(ctx, TypeFailed, ev, r.Hash()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a hanging disk took an entry: %v", err)
	}
	release()
	seq, err := s.audit.appendEnd(context.Background(), TypeFailed, ev, r.Hash())
	if err != nil || seq != noEntry {
		t.Errorf("the second try: entry %d, %v", seq, err)
	}
	if n := count(t, s, TypeFailed); n != 1 {
		t.Errorf("%d ends", n)
	}
	if n := len(s.audit.openGrants()); n != 0 {
		t.Errorf("%d grants are open", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestAGrantThatCameBackLateIsOpenUntilItIsClosed: consent gave up on it, and
// closes it with a failed record behind it in the queue.
func TestAGrantThatCameBackLateIsOpenUntilItIsClosed(t *testing.T) {
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	release := blockWrites(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r := consent.Record{Kind: consent.Granted}
	if _, err := s.audit.Append(ctx, r); err == nil {
		t.Fatal("a hanging disk took a grant")
	}
	release()
	if _, err := s.audit.Append(context.Background(), consent.Record{Kind: consent.Bypassed}); err != nil {
		t.Fatal(err)
	}
	if n := len(s.audit.openGrants()); n != 1 {
		t.Errorf("%d grants are open, want the late one", n)
	}
	h := r.Hash()
	if _, err := s.audit.Append(context.Background(), consent.Record{Kind: consent.Failed, Grant: &h}); err != nil {
		t.Fatal(err)
	}
	if n := len(s.audit.openGrants()); n != 0 {
		t.Errorf("%d grants are open", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestAFreshGrantIsNotUnaccounted, an old one without a recorder is.
func TestAFreshGrantIsNotUnaccounted(t *testing.T) {
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	r := consent.Record{Kind: consent.Granted}
	if _, err := s.audit.Append(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if n := s.unaccounted(); n != 0 {
		t.Errorf("%d unaccounted right after the grant", n)
	}
	s.audit.mu.Lock()
	s.audit.open[r.Hash()] = time.Now().Add(-2 * settling)
	s.audit.mu.Unlock()
	if n := s.unaccounted(); n != 1 {
		t.Errorf("%d unaccounted long after a grant that led to nothing", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
