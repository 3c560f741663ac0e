package store

import (
	"time"

	"consentgate/consent"
	"consentgate/media/codec"
)

const (
	// pointEvery is how far the points of an index lie apart at first.
	pointEvery = 10 * time.Second
	// pointsMost bounds them: one more, and every other goes.
	pointsMost = 256
	// formsMost bounds the formats that an index tells.
	formsMost = 128
	// runUp is how long before a sound reading must begin for the sound to be as
	// if everything had been read: longer than packets may be early, and than
	// a decoder remembers.
	runUp = 6 * time.Second
)

// timeIndex says where to begin to read for a time, and what was known there.
type timeIndex struct {
	Forms  []formAt `json:"formats,omitempty"`
	Points []point  `json:"points,omitempty"`
}

// formAt is a format and the offset from which on it is in force.
type formAt struct {
	Offset int64         `json:"o"`
	Party  consent.Party `json:"party"`
	PT     uint8         `json:"pt"`
	coding
}

// point is a block's offset in the capture, the time when its packet came, in
// microseconds, and how the streams' RTP times were tied to the clock.
type point struct {
	Offset  int64       `json:"o"`
	At      int64       `json:"t"`
	Anchors [2]anchorAt `json:"a"`
}

type anchorAt struct {
	coding
	SSRC uint32 `json:"ssrc"`
	TS   uint32 `json:"ts"`
	At   int64  `json:"at"` // ticks, 16,000 a second
}

// indexer makes the index of a capture while it is written, and its gap map: both
// need the places of the packets, which are found once.
type indexer struct {
	gaps  gapMap
	index timeIndex
	every time.Duration
	next  time.Duration
	full  bool // there were too many formats: there is no index
}

// take notes a record that will be written at an offset.
func (x *indexer) take(c content, offset int64) {
	if c.kind == recFormat {
		if x.full = x.full || len(x.index.Forms) >= formsMost || len(c.text) > 64; !x.full {
			x.index.Forms = append(x.index.Forms, formAt{offset, c.party, c.pt, coding{c.text, c.clockRate}})
		}
	}
	if c.kind == recRTP {
		x.gaps.stage.due(ticksOf(c.at), x.gaps.put)
		if c.at >= x.next && x.gaps.stage.quiet() {
			x.point(c.at, offset)
		}
	}
	x.gaps.take(c)
}

func (x *indexer) point(at time.Duration, offset int64) {
	p := point{Offset: offset, At: at.Microseconds()}
	for i, placer := range x.gaps.stage.placers {
		if a := placer.anchor; a.placed {
			p.Anchors[i] = anchorAt{coding{a.codec.Name, a.codec.Clock}, a.ssrc, a.base, a.at}
		}
	}
	x.index.Points = append(x.index.Points, p)
	if x.every == 0 {
		x.every = pointEvery
	}
	if len(x.index.Points) > pointsMost {
		x.every *= 2
		for i := range pointsMost/2 + 1 {
			x.index.Points[i] = x.index.Points[2*i]
		}
		x.index.Points = x.index.Points[:pointsMost/2+1]
	}
	x.next = at + x.every
}

func (x *indexer) done() timeIndex {
	if x.full {
		return timeIndex{}
	}
	return x.index
}

// before finds the last point before a time; ok is false where reading must
// begin at the beginning.
func (x timeIndex) before(at time.Duration) (found point, ok bool) {
	for _, p := range x.Points {
		if micros(p.At) > at {
			break
		}
		found, ok = p, p.Offset > 0
	}
	return found, ok
}

// stage is what was known at a point.
func (x timeIndex) stage(p point) (s stage) {
	for _, f := range x.Forms {
		if f.Offset < p.Offset {
			s.learn(content{party: f.Party, pt: f.PT, text: f.Encoding, clockRate: f.Rate})
		}
	}
	for i, a := range p.Anchors {
		if c := codec.Lookup(a.Encoding, a.Rate); c != nil {
			s.placers[i].anchor = anchor{codec: c, ssrc: a.SSRC, base: a.TS, at: a.At, placed: true}
		}
	}
	return s
}
