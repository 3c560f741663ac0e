package evidence

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"consentgate/consent"
)

// TestShortGapsCloseTogetherAreToldAsOne, of one party and one cause: the others are
// told as they are, between them as well.
func TestShortGapsCloseTogetherAreToldAsOne(t *testing.T) {
	const ms = time.Millisecond
	gap := func(p consent.Party, cause string, from, to time.Duration) Gap {
		return Gap{Party: p, Cause: cause, From: from * ms, To: to * ms}
	}
	several := func(g Gap, times int, missing time.Duration) Gap {
		g.Times, g.Missing = times, missing*ms
		return g
	}
	got := Joined([]Gap{
		gap(0, "loss", 0, 20), gap(1, "loss", 10, 30), gap(0, "pause", 100, 5000), gap(0, "loss", 1000, 1100), gap(0, "loss", 2100, 3100),
		gap(0, "loss", 4101, 4200), // more than a second behind the one before
		gap(0, "loss", 4300, 5301), // longer than a second
		gap(0, "loss", 5400, 5500), // has no neighbour: a long one is between
		gap(1, "no-rtp", 5600, 5700), gap(1, "no-rtp", 5650, 5800),
	})
	want := []Gap{
		several(gap(0, "loss", 0, 3100), 3, 1120), gap(1, "loss", 10, 30), gap(0, "pause", 100, 5000),
		gap(0, "loss", 4101, 4200), gap(0, "loss", 4300, 5301), gap(0, "loss", 5400, 5500), several(gap(1, "no-rtp", 5600, 5800), 2, 200),
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}

// TestJoiningGapsLosesNone: neither time nor number, and each lies in one that is
// told.
func TestJoiningGapsLosesNone(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var gaps []Gap
		var ends [2]time.Duration
		for range r.IntN(60) {
			p := r.IntN(2)
			from := ends[p] + time.Duration(r.Int64N(int64(2*time.Second)))
			to := from + 1 + time.Duration(r.Int64N(int64(1500*time.Millisecond)))
			gaps, ends[p] = append(gaps, Gap{Party: consent.Party(p), Cause: []string{"loss", "no-rtp"}[r.IntN(2)], From: from, To: to}), to
		}
		slices.SortStableFunc(gaps, func(a, b Gap) int { return int(a.From - b.From) })
		told := Joined(gaps)
		var times int
		var missing, before time.Duration
		for _, g := range gaps {
			before += g.To - g.From
			if !slices.ContainsFunc(told, func(o Gap) bool { return o.Party == g.Party && o.Cause == g.Cause && o.From <= g.From && g.To <= o.To }) {
				t.Errorf("%+v isn't told", g)
			}
		}
		for _, g := range told {
			if g.Times == 0 {
				g.Times, g.Missing = 1, g.To-g.From
			}
			times, missing = times+g.Times, missing+g.Missing
		}
		if times != len(gaps) || missing != before || !slices.IsSortedFunc(told, func(a, b Gap) int { return int(a.From - b.From) }) {
			t.Errorf("%d of %d gaps, %s of %s", times, len(gaps), missing, before)
		}
	}
}
