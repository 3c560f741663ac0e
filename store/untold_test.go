package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/rights"
)

// indexed is a recording that has a row and an empty file.
func indexed(t *testing.T, s *Store) string {
	t.Helper()
	r := consent.Record{Kind: consent.Granted, Purpose: consent.Purpose{Name: "p", Retention: time.Hour}}
	if _, err := s.audit.Append(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	kept, err := s.keys.grantRow(r.Hash())
	if err != nil {
		t.Fatal(err)
	}
	sum := summaryOf(kept.ID, r, time.Now())
	sum.Ended = sum.Started // its file, which is empty, can't tell
	if err := s.keys.update(context.Background(), func(k keysTx) error {
		return k.index(kept.ID, row{Grant: r.Hash(), Start: sum.Started.UnixNano()}, sum)
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sealedPath(s.livePath(kept.ID)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return kept.ID
}

// TestAHoldIsKeptAndLoggedWhereTheLogHangs: it counts from when it is in keys.db,
// the log hears of it when it can, and nothing goes before that.
func TestAHoldIsKeptAndLoggedWhereTheLogHangs(t *testing.T) {
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	id := indexed(t, s)
	a := rights.Act{By: "dana", At: time.Now(), Reason: "x"}
	hang := func(what string, act func(ctx context.Context) error) {
		t.Helper()
		release := blockWrites(t, s)
		defer release()
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond) // keys.db is written within it
		defer cancel()
		if err := act(ctx); err == nil {
			t.Errorf("%s: done without a word to the log", what)
		}
	}
	var h string
	hang("hold", func(ctx context.Context) (err error) { h, err = s.Hold(ctx, id, a, ""); return err })
	if f := s.desk.file(id); len(f.Holds) != 1 {
		t.Fatalf("the hold isn't there: %+v", f)
	}
	if err := s.AskErase(context.Background(), id, rights.Ask{Act: a}); err != ErrHeld {
		t.Fatal(err)
	}
	if count(t, s, TypeHoldSet) == 0 {
		t.Error("something was logged of the recording later, and the hold wasn't before")
	}
	hang("release", func(ctx context.Context) error { return s.Release(ctx, id, h, a) })
	if _, err := s.Get(id); err != nil || count(t, s, TypeHoldReleased) > 1 {
		t.Errorf("gone before the log knew that it might: %v", err)
	}
	s.runTasks()
	s.runTasks()
	if _, err := s.Get(id); err != ErrNotFound {
		t.Errorf("released, asked for, and there: %v", err)
	}
	if count(t, s, TypeHoldReleased) == 0 || count(t, s, TypeErased) != 1 {
		t.Error("the log doesn't know")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestTheNextStartTellsTheLogWhatACrashKeptFromIt: a hold is in keys.db, and the
// crash comes before its entry is.
func TestTheNextStartTellsTheLogWhatACrashKeptFromIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := indexed(t, s)
	a := rights.Act{By: "dana", At: time.Now(), Reason: "x"}
	release := blockWrites(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Hold(ctx, id, a, ""); err == nil {
		t.Error("a hanging log took an entry")
	}
	after := filepath.Join(t.TempDir(), "data") // as a crash would leave it
	if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	release()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s, err = Open(Options{Dir: after, RootFile: DefaultRootFile(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, TypeHoldSet); n != 1 || len(s.desk.file(id).Holds) != 1 {
		t.Errorf("the log knows of %d holds: %+v", n, s.desk.file(id))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoHoldOnceAnErasureIsDecided: between the decision and the last of the key
// somebody else is at work on it, and a hold would be a promise that can't be kept.
func TestNoHoldOnceAnErasureIsDecided(t *testing.T) {
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	id := indexed(t, s)
	a := rights.Act{By: "dana", At: time.Now(), Reason: "x"}
	s.desk.first(s.desk.going, id) // as somebody who is just taking the key away
	if err := s.AskErase(context.Background(), id, rights.Ask{Act: a}); !errors.Is(err, rights.ErrGoing) {
		t.Errorf("%v", err)
	}
	if _, err := s.Hold(context.Background(), id, a, ""); !errors.Is(err, rights.ErrGoing) {
		t.Errorf("a hold on what is being erased: %v", err)
	}
	s.desk.finished(s.desk.going, id)
	s.settleAsked(id)
	if _, err := s.Get(id); err != ErrNotFound {
		t.Errorf("it is there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestARequestThatWasBegunIsCarriedOutAtTheNextStart: the crash came when it was
// known what was to be done, and before any of it was.
func TestARequestThatWasBegunIsCarriedOutAtTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := indexed(t, s)
	ctx := context.Background()
	a := rights.Act{By: "dana", At: time.Now(), Reason: "x"}
	r, err := s.Receive(ctx, rights.Erasure, "+442079460123", rights.DateOf(time.Now()), a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Identify(ctx, r.ID, a); err != nil {
		t.Fatal(err)
	}
	if _, err := s.amendRequest(ctx, r.ID, nil, "", func(r *rights.Request) error { return r.Start(a, []string{id}) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Request(r.ID); err != nil || r.State != rights.Done {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := s.Get(id); err != ErrNotFound {
		t.Errorf("it is there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestWhatCannotBeReadIsTakenForAHold: it isn't erased, whatever is due, and it
// isn't played.
func TestWhatCannotBeReadIsTakenForAHold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := indexed(t, s)
	if err := s.keys.update(context.Background(), func(k keysTx) error { return k.Bucket(bRights).Put([]byte(id), []byte("damaged")) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	later := Clock{Now: func() time.Time { return time.Now().Add(6 * 24 * time.Hour) }, Elapsed: func() time.Duration { return 0 }}
	if s, err = Open(Options{Dir: dir, Clock: later}); err != nil {
		t.Fatal(err)
	}
	if !s.isOver(id) {
		t.Fatal("its time isn't over, and nothing is shown")
	}
	if err := s.RetainOnce(); err != nil {
		t.Error(err)
	}
	sum, err := s.Get(id)
	if err != nil || !sum.Held || !sum.Restricted {
		t.Errorf("%+v %v", sum, err)
	}
	if _, err := s.WAV(context.Background(), id, io.Discard); !errors.Is(err, ErrRestricted) {
		t.Errorf("it plays: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
