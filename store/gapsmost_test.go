package store

import (
	"math"
	"slices"
	"testing"
	"time"
)

// TestTheLogTellsTheLongestGapsAndWhatTheOthersComeTo: a thousand make an entry of
// bounded size, and neither number nor time is lost.
func TestTheLogTellsTheLongestGapsAndWhatTheOthersComeTo(t *testing.T) {
	var gaps []Gap
	missing := 0.0
	for n := range 1000 {
		from := time.Duration(n) * 5 * time.Second
		g := Gap{Party: 0, Cause: CauseLoss, From: from, To: from + time.Duration(20+n%7)*time.Millisecond}
		if n%100 == 99 {
			g = Gap{Party: 1, Cause: "pause", From: from, To: from + 3*time.Second}
		}
		gaps, missing = append(gaps, g), missing+(g.To-g.From).Seconds()
	}
	got := tellGaps(gaps)
	if len(got.List) != gapsMost || len(got.Rest) != 1 || got.count() != len(gaps) {
		t.Fatalf("%d gaps and %d totals, %d in all", len(got.List), len(got.Rest), got.count())
	}
	pauses := 0
	for _, g := range got.List {
		if g.Cause == "pause" {
			pauses++
		}
		missing -= g.To - g.From
	}
	for _, g := range got.Rest {
		missing -= g.Missing
	}
	if pauses != 10 || math.Abs(missing) > 1e-6 || !slices.IsSortedFunc(got.List, func(a, b loggedGap) int { return int(1000 * (a.From - b.From)) }) {
		t.Errorf("%d pauses of 10 are told, %v s are missing, %+v", pauses, missing, got.List)
	}
	if got.differ(gaps) != "" || got.differ(gaps[:999]) == "" || got.differ(nil) == "" || (*loggedGaps)(nil).differ(gaps) != "" {
		t.Errorf("compared with the same: %q; with one less: %q; with none: %q", got.differ(gaps), got.differ(gaps[:999]), got.differ(nil))
	}
}
