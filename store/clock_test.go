package store_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// TestAClockThatWasSetBackLosesNothing: a store that has recordings of today is
// used under a clock that says 2000, as synctest's does, and then of today again.
func TestAClockThatWasSetBackLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	before, erased := record(t, s, "before", 20), record(t, s, "erased", 3)
	must(t, s.Close())
	var back string
	synctest.Test(t, func(t *testing.T) {
		if y := time.Now().Year(); y != 2000 {
			t.Fatalf("the clock says %d", y)
		}
		s := openStore(t, dir)
		back = record(t, s, "back then", 20)
		kept(t, s, before, 40, store.StateSealed)
		sum, err := s.Get(erased)
		must(t, err, s.Ready("main"), s.Erase(context.Background(), sum.Grant, "asked for"))
		if n := s.Unaccounted(); n != 0 {
			t.Errorf("%d grants unaccounted", n)
		}
		must(t, s.Close())
	})
	s = openStore(t, dir)
	record(t, s, "after", 3)
	kept(t, s, before, 40, store.StateSealed)
	kept(t, s, back, 40, store.StateSealed)
	oneEndEach(t, s)
	if got := orphans(t, s); len(got) != 0 {
		t.Errorf("files and entries: %v", got)
	}
	if found, _, err := s.Search(store.Query{Party: callerNumber}); err != nil || len(found) != 3 {
		t.Errorf("%d recordings are found, %v", len(found), err)
	}
	must(t, s.Close())
	if r := verify(t, dir); r.Unaccounted != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAClockSetBackInMidCallStopsNoRecording: times without the monotonic clock,
// as they come from elsewhere, may run back; a recording's don't.
func TestAClockSetBackInMidCallStopsNoRecording(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err, r.Format(consent.Remote, 0, "PCMU", 8000))
	now := time.Now().Round(0)
	for i := range 10 {
		must(t, r.WriteRTP(consent.Remote, now.Add(-time.Duration(i)*time.Hour), packet(uint16(i), uint32(i*160), 1, 0x11)))
	}
	must(t, r.Seal(now.Add(-24*time.Hour), "hang-up"))
	kept(t, s, r.ID(), 10, store.StateSealed)
	reading, err := s.Check(context.Background(), r.ID())
	if err != nil || reading.Length < 0 || reading.Length > time.Minute {
		t.Errorf("it is %s long: %v", reading.Length, err)
	}
}
