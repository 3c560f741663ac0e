package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"consentgate/consent"
	"consentgate/store/evidence"
)

// gapsMost is how many gaps the log tells one by one. The longest are; of the
// others it has what they come to.
const gapsMost = 100

// loggedGaps is what the log says of where a sealed recording has no audio.
type loggedGaps struct {
	List []loggedGap `json:"list"`           // by their beginnings
	Rest []loggedGap `json:"rest,omitempty"` // of more, all of one party and cause as one
}

// loggedGap is a gap, or several that are told as one: seconds since the
// recording's start.
type loggedGap struct {
	Party   consent.Party `json:"party"`
	Cause   string        `json:"cause"`
	From    float64       `json:"from"`
	To      float64       `json:"to"`
	Times   int           `json:"times,omitempty"`   // how many they are; left out: one
	Missing float64       `json:"missing,omitempty"` // in all, of several
}

// tellGaps is what the log says of a recording's gaps, which are in the order of
// their beginnings. Check makes it anew: whoever changes what is found, joined or
// left out has to give the entry's member another name, or what was sealed before
// is taken to be damaged.
func tellGaps(gaps []Gap) *loggedGaps {
	all := make([]evidence.Gap, 0, len(gaps))
	for _, g := range gaps {
		cause := strings.ToValidUTF8(g.Cause, "\uFFFD") // as in the sealed file
		all = append(all, evidence.Gap{Party: g.Party, Cause: cause, From: g.From, To: g.To, Missing: g.To - g.From})
	}
	all = evidence.Joined(all)
	told, rest := all, []evidence.Gap(nil)
	if len(all) > gapsMost {
		slices.SortStableFunc(all, func(a, b evidence.Gap) int { return cmp.Compare(b.Missing, a.Missing) })
		told, rest = all[:gapsMost], all[gapsMost:]
		slices.SortStableFunc(told, byBeginning)
		rest = totals(rest)
	}
	return &loggedGaps{List: logged(told), Rest: logged(rest)}
}

func byBeginning(a, b evidence.Gap) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Party, b.Party), cmp.Compare(a.Cause, b.Cause))
}

// totals makes one of all gaps of a party and cause.
func totals(gaps []evidence.Gap) (out []evidence.Gap) {
	for _, g := range gaps {
		g.Times = max(g.Times, 1)
		i := slices.IndexFunc(out, func(o evidence.Gap) bool { return o.Party == g.Party && o.Cause == g.Cause })
		if i < 0 {
			out = append(out, g)
			continue
		}
		o := &out[i]
		o.From, o.To, o.Times, o.Missing = min(o.From, g.From), max(o.To, g.To), o.Times+g.Times, o.Missing+g.Missing
	}
	slices.SortStableFunc(out, byBeginning)
	return out
}

func logged(gaps []evidence.Gap) []loggedGap {
	out := make([]loggedGap, 0, len(gaps))
	for _, g := range gaps {
		l := loggedGap{Party: g.Party, Cause: g.Cause, From: g.From.Seconds(), To: g.To.Seconds()}
		if g.Times > 0 {
			l.Times, l.Missing = g.Times, g.Missing.Seconds()
		}
		out = append(out, l)
	}
	return out
}

// differ says where the log's gaps aren't the file's; "" where they are, or the
// log, of an earlier version, has none.
func (l *loggedGaps) differ(file []Gap) string {
	if l == nil {
		return ""
	}
	f := tellGaps(file)
	if slices.Equal(l.List, f.List) && slices.Equal(l.Rest, f.Rest) {
		return ""
	}
	for i := range min(len(l.List), len(f.List)) {
		if l.List[i] != f.List[i] {
			return fmt.Sprintf("the gap at %.3f s of the file isn't the one at %.3f s of the log", f.List[i].From, l.List[i].From)
		}
	}
	return fmt.Sprintf("the file has %d gaps, the log tells of %d", f.count(), l.count())
}

// count is how many gaps there are.
func (l *loggedGaps) count() (n int) {
	for _, g := range slices.Concat(l.List, l.Rest) {
		n += max(g.Times, 1)
	}
	return n
}
