package store_test

import (
	"crypto/sha256"
	"os"
	"strings"
	"testing"

	"consentgate/store"
	"consentgate/store/archive"
	"consentgate/store/archive/archivetest"
)

// TestErasedIsGoneFromARealObjectStore: with every version and marker, except while
// the store has a legal hold on one, which is said and owed until it hasn't.
func TestErasedIsGoneFromARealObjectStore(t *testing.T) {
	t.Parallel()
	real := archivetest.NewReal(t)
	a := newArchived(t)
	place := bucketOf(t, real.URL)
	a.place = place
	all := func() (out []archive.Version) {
		t.Helper()
		must(t, place.List(ctx, "", func(page []archive.Version) error { out = append(out, page...); return nil }))
		return out
	}
	s := a.quiet(t)
	victim, locked, kept := record(t, s, "victim", 5), record(t, s, "locked", 5), record(t, s, "kept", 50)
	idle(t, s)
	for range 2 {
		real.Forget(t, object(victim))
		must(t, place.Put(ctx, archive.ObjectOf(victim), strings.NewReader("another"), 7, sha256.Sum256([]byte("another"))))
	}
	if n := len(all()); n != 5+2 {
		t.Fatalf("%d versions and markers", n)
	}
	real.Hold(t, object(locked), true)
	must(t, eraseID(s, victim), eraseID(s, locked), s.Rotate(ctx))
	soon(t, "what is held is refused", func() bool {
		e, err := s.Erasure(locked)
		must(t, err)
		return e.State == store.ErasureShredded && len(e.Archive) == 1 && e.Archive[0].Why != ""
	})
	soon(t, "the other is gone", func() bool { return len(all()) == 2 })
	if c := a.certificateOf(t, s, locked); c.Archive[0].Proof != nil {
		t.Error("it is said to be gone")
	}
	real.Hold(t, object(locked), false)
	idle(t, s)
	for _, id := range []string{victim, locked} {
		if c := a.certificateOf(t, s, id); len(c.Archive) != 1 || c.Archive[0].Proof == nil {
			t.Errorf("the certificate says %+v", c.Archive)
		}
	}
	if left := all(); len(left) != 1 || left[0].Object != archive.ObjectOf(kept) {
		t.Errorf("left: %+v", left)
	}
	must(t, os.Remove(a.file(kept)))
	if _, err := s.Check(ctx, kept); err != nil {
		t.Error(err)
	}
	if got := looked(t, s); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	a.close(t, s)
}
