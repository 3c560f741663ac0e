package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rights"
)

// TestTheLogReadsFromItsEnd: the newest first, from the end or before an entry, all
// of them or those of a type, and each once.
func TestTheLogReadsFromItsEnd(t *testing.T) {
	s, _ := kit(t)
	for range 300 { // more than are read at a time
		must(t, s.Audit().Note(context.Background(), store.Login{By: "dana"}), s.Audit().Note(context.Background(), store.LoginFailed{Reason: "password"}))
	}
	read := func(before int64, kind string) (out []int64) {
		must(t, s.EntriesBefore(before, kind, func(e store.Entry) bool {
			if kind != "" && e.Type != kind || e.Payload == nil {
				t.Errorf("entry %d is of type %s, with %d bytes", e.Seq, e.Type, len(e.Payload))
			}
			out = append(out, e.Seq)
			return true
		}))
		return out
	}
	var forth, logins []int64
	must(t, s.Entries(0, func(e store.Entry) bool {
		forth = append(forth, e.Seq)
		if e.Type == store.TypeLogin {
			logins = append(logins, e.Seq)
		}
		return true
	}))
	slices.Reverse(forth)
	slices.Reverse(logins)
	if got := read(-1, ""); !slices.Equal(got, forth) {
		t.Errorf("%d entries back, %d forth", len(got), len(forth))
	}
	if got := read(-1, store.TypeLogin); !slices.Equal(got, logins) {
		t.Errorf("%d logins back, %d forth", len(got), len(logins))
	}
	if got := read(100, ""); !slices.Equal(got, forth[len(forth)-100:]) {
		t.Errorf("before entry 100: %v", got)
	}
	if got := read(0, ""); got != nil {
		t.Errorf("before the first entry: %v", got)
	}
	n := 0
	must(t, s.EntriesBefore(-1, "", func(store.Entry) bool { n++; return n < 3 }))
	if n != 3 {
		t.Errorf("after a no came %d more", n-3)
	}
}

// TestASearchFindsWhatIsKept: what a hold keeps, and what is restricted, and nothing
// else.
func TestASearchFindsWhatIsKept(t *testing.T) {
	s, _ := kit(t)
	var ids []string
	for range 3 {
		r := begin(t, s, consent.Call{Trunk: "main", Direction: consent.Inbound, Remote: callerNumber, Local: calledNumber}, "training")
		must(t, r.Seal(time.Now(), "hang-up"))
		ids = append(ids, r.ID())
	}
	by := rights.Act{By: "dana", At: time.Now(), Reason: "a claim"}
	_, err := s.Hold(context.Background(), ids[0], by, "")
	must(t, err)
	_, err = s.Restrict(context.Background(), ids[1], rights.Restriction{Act: by, Ground: rights.Accuracy})
	must(t, err)
	for _, c := range []struct {
		q    store.Query
		want []string
	}{
		{store.Query{Held: true}, ids[:1]}, {store.Query{Restricted: true}, ids[1:2]}, {store.Query{Held: true, Restricted: true}, nil},
	} {
		page, next, err := s.Search(c.q)
		must(t, err)
		var got []string
		for _, sum := range page {
			got = append(got, sum.ID)
		}
		if !slices.Equal(got, c.want) || next != "" {
			t.Errorf("held %t, restricted %t: found %v, want %v", c.q.Held, c.q.Restricted, got, c.want)
		}
	}
}
