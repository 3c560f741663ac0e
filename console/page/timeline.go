package page

import (
	"slices"
	"time"

	"consentgate/consent"
	"consentgate/console/office"
	"consentgate/store/evidence"
)

const (
	// shortGap is what isn't told one by one: a network that loses a packet here and
	// there would fill pages.
	shortGap = 500 * time.Millisecond
	// gapsMost are told one by one.
	gapsMost = 100
)

// events is the timeline in words.
func (v *visit) events(r office.Recording) (out []event) {
	for i := range r.Records {
		rec := &r.Records[i]
		at := rec.At.Sub(r.Started)
		switch rec.Kind {
		case consent.Granted:
			for _, a := range rec.Answers {
				out = append(out, event{a.Press.At.Sub(r.Started), "check", "agreed", v.heard(a.Heard) + "; " + v.t("event.key", string(rune(a.Press.Key)), v.ways(a.Press.Via)), v.side(&a.Party)})
			}
		case consent.Paused:
			out = append(out, event{at, "pause", "gap", v.t("event.paused"), v.whose(rec)})
		case consent.Resumed:
			out = append(out, event{at, "play", "", v.t("event.resumed"), v.whose(rec)})
		case consent.Withdrawn:
			out = append(out, event{at, "cross", "stopped", v.t("event.withdrawn"), v.whose(rec)})
		}
	}
	out = append(out, event{0, "dot", "agreed", v.t("event.started"), ""})
	out = append(out, v.gaps(r.Gaps)...)
	if !r.Ended.IsZero() {
		out = append(out, event{r.Length, "cross", "stopped", v.t("event.ended"), word(v.language, "ended", r.Outcome())})
	}
	slices.SortStableFunc(out, func(a, b event) int { return int(a.At - b.At) })
	return out
}

// whose an act is: a party's by a key, or a user's from the console.
func (v *visit) whose(rec *evidence.Logged) string {
	if rec.By != "" {
		return rec.By
	}
	return v.side(rec.Party)
}

// ways says how a key came, by one way or by more.
func (v *visit) ways(via string) string { return word(v.language, "via", via) }

// gaps tells the long ones; the others as one.
func (v *visit) gaps(all []evidence.Gap) (out []event) {
	short, lost, from := 0, time.Duration(0), time.Duration(0)
	for i, g := range all {
		if g.To-g.From < shortGap || len(out) >= gapsMost {
			if short++; short == 1 {
				from = g.From
			}
			lost += g.To - g.From
			continue
		}
		who := v.side(&g.Party)
		if twin := func(o evidence.Gap) bool {
			return o.From == g.From && o.To == g.To && o.Cause == g.Cause && o.Party != g.Party
		}; slices.ContainsFunc(all[:i], twin) {
			continue // told with the other party's
		} else if slices.ContainsFunc(all[i+1:], twin) {
			who = v.t("party.both")
		}
		out = append(out, event{g.From, "alert", "gap", v.t("event.gap", length(g.To), word(v.language, "cause", g.Cause)), who})
	}
	if short > 0 {
		out = append(out, event{from, "alert", "gap", v.t("event.gaps", short, v.decimal(lost.Seconds())), ""})
	}
	return out
}

const (
	fieldWidth = 1000.0
	laneOfUs   = 34.0
	laneOfThem = 8.0
)

// draw makes the timeline's drawing; nil where there is nothing to draw.
func draw(r office.Recording) *drawing {
	if r.Length <= 0 {
		return nil
	}
	x := func(d time.Duration) float64 {
		return float64(int(min(1, max(0, float64(d)/float64(r.Length)))*fieldWidth*10)) / 10
	}
	lane := func(p consent.Party) float64 {
		if p == consent.Remote {
			return laneOfThem
		}
		return laneOfUs
	}
	d := &drawing{Lanes: []rect{{"remote", 0, laneOfThem, fieldWidth}, {"local", 0, laneOfUs, fieldWidth}}}
	for _, g := range r.Gaps {
		if w := x(g.To) - x(g.From); w >= 1 || len(d.Gaps) < gapsMost {
			d.Gaps = append(d.Gaps, rect{"", x(g.From), lane(g.Party), max(1, w)})
		}
	}
	for i := range r.Records {
		switch at := x(r.Records[i].At.Sub(r.Started)); r.Records[i].Kind {
		case consent.Granted, consent.Paused, consent.Resumed:
			d.Marks = append(d.Marks, line{"event", at})
		case consent.Withdrawn:
			d.Marks = append(d.Marks, line{"stop", at})
		}
	}
	return d
}
