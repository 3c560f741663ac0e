package store

import (
	"cmp"
	"slices"
	"time"

	"consentgate/consent"
)

// Causes of gaps that are found when a recording is read. The others were noted
// when they came to be: pause, hold, writer-drop and so on.
const (
	CauseLoss  = "loss"   // the network lost packets: their sequence numbers are missing
	CauseNoRTP = "no-rtp" // the party sent none
)

const (
	// shortest is the least span without packets that is told: what is shorter
	// than a packet is of the clocks. A lost packet is told whatever its length.
	shortest = ticks / 50
	// apart is how far packets that can't be rendered may lie apart without a gap.
	apart = ticks / 5
)

// gapMap finds where a recording has no audio, and why.
type gapMap struct {
	stage  stage
	covers [2]cover
}

func (g *gapMap) take(c content) { g.stage.take(c, g.put) }

func (g *gapMap) put(p consent.Party, a arrived) {
	c := &g.covers[p]
	if a.codec != nil {
		c.add(a.at, a.at+a.length(), a)
		return
	}
	from := a.at
	if from-c.end < apart {
		from = min(from, c.end)
	}
	c.add(from, a.at+shortest, a)
}

// gaps adds to those that were noted the ones that are found, up to the
// recording's end, in the order of their beginnings.
func (g *gapMap) gaps(noted []Gap, length time.Duration) []Gap {
	g.stage.end(g.put)
	all := slices.Clone(noted)
	for p := range g.covers {
		c := &g.covers[p]
		end := ticksOf(length)
		if end > c.end {
			c.holes = append(c.holes, hole{c.end, end, CauseNoRTP})
		}
		for _, n := range noted {
			if int(n.Party) == p {
				c.fill(ticksOf(n.From), ticksOf(n.To), CauseNoRTP) // what is left of it beside the gap wasn't lost
			}
		}
		for _, h := range c.holes {
			h.to = min(h.to, end)
			if h.to-h.from >= shortest || h.cause == CauseLoss && h.to > h.from {
				all = append(all, Gap{consent.Party(p), h.cause, timeOf(h.from), timeOf(h.to)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Gap) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Party, b.Party)) })
	return all
}

// cover is what of the time a party's packets cover: all up to end, but for the
// holes.
type cover struct {
	end   int64 // ticks
	holes []hole
	begun bool
	ssrc  uint32
	seq   uint16 // of the packet that ends at end
}

type hole struct {
	from, to int64
	cause    string
}

func (c *cover) add(from, to int64, a arrived) {
	switch ahead := a.seq - c.seq; {
	case from <= c.end:
		c.fill(from, to, "")
	case c.begun && a.ssrc == c.ssrc && ahead > 1 && ahead < 1<<15:
		c.holes = append(c.holes, hole{c.end, from, CauseLoss})
	default:
		c.holes = append(c.holes, hole{c.end, from, CauseNoRTP})
	}
	if to > c.end {
		c.end, c.begun, c.ssrc, c.seq = to, true, a.ssrc, a.seq
	}
}

// fill takes a span out of the holes. What is left of those that it cuts has the
// cause rest, or the same as before where that is "".
func (c *cover) fill(from, to int64, rest string) {
	for i := len(c.holes) - 1; i >= 0 && c.holes[i].to > from; i-- {
		h := c.holes[i]
		if h.from >= to {
			continue
		}
		var left []hole
		cause := cmp.Or(rest, h.cause)
		if h.from < from {
			left = append(left, hole{h.from, from, cause})
		}
		if to < h.to {
			left = append(left, hole{to, h.to, cause})
		}
		c.holes = slices.Replace(c.holes, i, i+1, left...)
	}
}
