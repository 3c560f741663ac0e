package rights

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func request(t *testing.T, k Kind) *Request {
	t.Helper()
	r, err := NewRequest("r1", k, "+442079460123", day(t, "2026-11-25"), []byte("salt"), nil, someone)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingIsDisclosedOrErasedBeforeWhoAsksIsKnown: random walks never come to
// an end of such a request without an identity.
func TestNothingIsDisclosedOrErasedBeforeWhoAsksIsKnown(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	done := 0
	for range 5000 {
		r := request(t, Kinds[rnd.IntN(len(Kinds))])
		for range 12 {
			before := *r
			err := []func() error{
				func() error { return r.AskIdentity(someone) },
				func() error { return r.Identify(someone) },
				func() error { return r.Start(someone, []string{"a", "b"}[:rnd.IntN(3)]) },
				func() error { r.Carry([]string{"a", "b", "c"}[rnd.IntN(3)]); return nil },
				func() error { return r.Settle(someone) },
				func() error { return r.Refuse(someone, "12(5)") },
			}[rnd.IntN(6)]()
			if err != nil && (r.State != before.State || len(r.Steps) != len(before.Steps)) {
				t.Fatalf("an error changed it: %v: %+v", err, r)
			}
			if !before.State.Open() && r.State != before.State {
				t.Fatalf("it went on after %s: %+v", before.State, r)
			}
			begun := r.State == InProgress || r.State == Held || r.State == Done
			if begun && r.Kind != Restricting && r.Identity == nil {
				t.Fatalf("nobody knows who asked: %+v", r)
			}
			if r.State == Done && len(r.Outstanding) > 0 {
				t.Fatalf("done, and not: %+v", r)
			}
		}
		if r.State == Done {
			done++
		}
	}
	if done < 100 {
		t.Errorf("only %d were carried out", done)
	}
}

func TestARestrictionNeedNotWaitForProof(t *testing.T) {
	r := request(t, Restricting)
	must(t, r.Start(someone, []string{"a"}))
	r.Carry("a")
	must(t, r.Settle(someone))
	if r.State != Done {
		t.Errorf("%s", r.State)
	}
}

// TestARequestWaitsForAHoldAndIsDoneWhenItEnds: and owes an answer until the
// subject was told that it waits.
func TestARequestWaitsForAHoldAndIsDoneWhenItEnds(t *testing.T) {
	r := request(t, Erasure)
	must(t, r.Identify(someone), r.Start(someone, []string{"a", "b"}))
	r.Carry("a")
	must(t, r.Settle(someone), r.Settle(someone))
	if r.State != Held || !slices.Equal(r.Outstanding, []string{"b"}) || !r.Owed() || r.Told != nil {
		t.Fatalf("%+v", r)
	}
	late := r.Due.End(time.UTC)
	if !r.Overdue(late, time.UTC) || r.Overdue(late.Add(-time.Second), time.UTC) {
		t.Error("it is due at the end of its last day")
	}
	must(t, r.Tell(someone))
	if r.Overdue(late, time.UTC) {
		t.Error("who was told that it waits still waits for an answer")
	}
	r.Carry("b")
	must(t, r.Settle(someone))
	if r.State != Done || len(r.Carried) != 2 || r.Carried[1] != Commitment(r.Salt, "b") || r.Carried[0] == r.Carried[1] {
		t.Errorf("%+v", r)
	}
}

func TestAnExtensionIsForAReasonOnceAndWithinTheMonth(t *testing.T) {
	for _, c := range []struct {
		today string
		err   error
	}{{"2026-11-26", nil}, {"2026-12-25", nil}, {"2026-12-26", ErrTooLate}} {
		r := request(t, Access)
		if err := r.Extend(someone, day(t, c.today), nil); !errors.Is(err, c.err) {
			t.Errorf("on %s: %v", c.today, err)
		} else if want := "2027-02-25"; err == nil && r.Due.String() != want {
			t.Errorf("due %s, want %s", r.Due, want)
		}
		if err := r.Extend(someone, day(t, c.today), nil); err == nil {
			t.Error("extended twice")
		}
	}
	r := request(t, Access)
	if err := r.Extend(Act{By: "dana", At: someone.At}, day(t, "2026-11-26"), nil); !errors.Is(err, ErrIncomplete) || r.Extension != nil {
		t.Errorf("without a reason: %v", err)
	}
	must(t, r.Refuse(someone, "12(5)"))
	if err := r.Extend(someone, day(t, "2026-11-26"), nil); !errors.Is(err, ErrOutOfOrder) {
		t.Errorf("after its end: %v", err)
	}
}

func TestARefusalNamesItsArticle(t *testing.T) {
	r := request(t, Erasure)
	if err := r.Refuse(someone, "99"); !errors.Is(err, ErrIncomplete) || r.State != Received {
		t.Errorf("%v, %s", err, r.State)
	}
	must(t, r.Refuse(someone, "17(3)"))
	if r.State != Refused || r.Refusal.By != "dana" {
		t.Errorf("%+v", r)
	}
}

func TestARequestSaysWhatAndWhen(t *testing.T) {
	received := day(t, "2026-11-25")
	for name, f := range map[string]func() (*Request, error){
		"kind":   func() (*Request, error) { return NewRequest("r", "gossip", "+44", received, nil, nil, someone) },
		"party":  func() (*Request, error) { return NewRequest("r", Access, " ", received, nil, nil, someone) },
		"future": func() (*Request, error) { return NewRequest("r", Access, "+44", received.next(), nil, nil, someone) },
		"nobody": func() (*Request, error) {
			return NewRequest("r", Access, "+44", received, nil, nil, Act{At: someone.At})
		},
	} {
		if _, err := f(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
