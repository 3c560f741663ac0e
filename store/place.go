package store

import (
	"bytes"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media/codec"
)

// Where a packet's audio belongs on the recording's clock is found from its RTP
// time, which the sender's clock made even, and its arrival, which the network
// made uneven. Positions are in ticks of the finest rate that is rendered.
const (
	ticks = 16000 // a second

	// slack is how far RTP time and arrival may part: more than a jitter buffer
	// bears.
	slack = ticks / 4
	// judged is how long packets that don't fit are held until it is decided
	// whether they were late or their sender's clock jumped.
	judged = ticks
	// latest is how late a packet may be and still be put where it belongs.
	latest = 10 * ticks
	// heldMost bounds the packets that are held.
	heldMost = 1000

	// settledBy is how long after an instant nothing can be placed before it.
	settledBy = latest + judged + slack
)

func ticksOf(d time.Duration) int64 { return d.Microseconds() * ticks / 1e6 }

func timeOf(n int64) time.Duration { return time.Duration(n) * (time.Second / ticks) }

// arrived is a packet of a party, and when it came.
type arrived struct {
	codec   *codec.Codec // nil: it can't be rendered
	ssrc    uint32
	ts      uint32
	seq     uint16
	at      int64 // ticks since the recording's start; once it has its place, that
	payload []byte
}

// anchor ties a stream's RTP time to the clock.
type anchor struct {
	codec  *codec.Codec // nil: there is none
	ssrc   uint32
	base   uint32 // RTP time of at
	at     int64
	placed bool
}

// place is where a packet of the anchor's stream belongs by its RTP time.
func (a anchor) place(ts uint32) int64 {
	return a.at + int64(int32(ts-a.base))*ticks/int64(a.codec.Clock)
}

func (a anchor) of(p arrived) bool { return a.codec == p.codec && a.ssrc == p.ssrc }

// fits tells whether a packet is where its arrival lets one expect it.
func (a anchor) fits(p arrived) bool {
	at := a.place(p.ts)
	return a.of(p) && at >= p.at-slack && at <= p.at+slack
}

// placer places one party's packets. While they fit their stream's anchor they
// are placed at once. One that doesn't is held, and those behind it: if one comes
// that fits again they were late (a burst after a stall) and belong where their
// RTP time says; if none comes within a second the sender's clock has jumped, and
// they are tied to the clock anew, by the one that was under way the shortest.
type placer struct {
	anchor anchor
	held   []arrived
	run    anchor // of what is held: as early as any of it lets it be
}

// take gives the packets that have their place now, in the order of arrival.
func (p *placer) take(a arrived, put func(arrived)) {
	if len(p.held) == 0 {
		if p.anchor.placed && p.anchor.fits(a) {
			p.put(a, put)
			return
		}
		p.hold(a)
		return
	}
	if p.anchor.placed && p.anchor.fits(a) && p.anchor.of(p.held[0]) && p.belated() {
		p.release(p.anchor, put)
		p.put(a, put)
		return
	}
	if !p.joins(a) {
		p.settle(put)
		p.take(a, put)
		return
	}
	a.payload = bytes.Clone(a.payload)
	p.held = append(p.held, a)
	if at := p.run.place(a.ts); at > a.at { // it was faster than those before it
		p.run.at -= at - a.at
	}
	if len(p.held) >= heldMost {
		p.settle(put)
	}
}

func (p *placer) hold(a arrived) {
	a.payload = bytes.Clone(a.payload)
	p.held = append(p.held[:0], a)
	p.run = anchor{codec: a.codec, ssrc: a.ssrc, base: a.ts, at: a.at, placed: true}
}

// joins tells whether a packet continues the run that is held.
func (p *placer) joins(a arrived) bool {
	at := p.run.place(a.ts)
	return p.run.of(a) && at >= a.at-latest && at <= a.at+latest
}

// belated tells whether what is held can have been late, by the anchor of before.
func (p *placer) belated() bool {
	first := p.held[0]
	at := p.anchor.place(first.ts)
	return at >= first.at-latest && at <= first.at+slack
}

// settle ties what is held to the clock by itself.
func (p *placer) settle(put func(arrived)) {
	if len(p.held) > 0 {
		p.release(p.run, put)
	}
}

func (p *placer) release(by anchor, put func(arrived)) {
	p.anchor = by
	for _, a := range p.held {
		p.put(a, put)
	}
	p.held = p.held[:0]
}

// put places a packet by the anchor, and moves the anchor on to it: RTP time wraps.
func (p *placer) put(a arrived, put func(arrived)) {
	a.at = p.anchor.place(a.ts)
	p.anchor.at, p.anchor.base = a.at, a.ts
	put(a)
}

// quiet tells whether the anchor says all that there is to say.
func (p *placer) quiet() bool { return len(p.held) == 0 }

// form is what a payload type means.
type form struct {
	codec *codec.Codec // nil: it can't be rendered
	coding
}

// coding is how packets are coded, in SDP's words.
type coding struct {
	Encoding string `json:"encoding"`
	Rate     int    `json:"rate"` // of the clock, Hz
}

// stage gives the packets of a recording, by party, with their places. Records
// come in the order of the file.
type stage struct {
	forms   [2][128]form
	placers [2]placer
}

// take gives on what has its place now. What can't be rendered stands where it
// arrived. Payloads are valid until put returns.
func (s *stage) take(c content, put func(consent.Party, arrived)) {
	switch c.kind {
	case recFormat:
		s.learn(c)
	case recRTP:
		var h rtp.Packet
		if h.Unmarshal(c.data) != nil {
			return
		}
		s.due(ticksOf(c.at), put)
		a := arrived{codec: s.form(c).codec, ssrc: h.SSRC, ts: h.Timestamp, seq: h.SequenceNumber, at: ticksOf(c.at), payload: h.Payload}
		if a.codec == nil {
			put(c.party, a)
			return
		}
		s.placers[c.party].take(a, func(a arrived) { put(c.party, a) })
	}
}

// due gives on what need not be held any longer at a tick. Nothing that comes
// then or later has its place before settledBy of it.
func (s *stage) due(now int64, put func(consent.Party, arrived)) {
	for p := range s.placers {
		if held := s.placers[p].held; len(held) > 0 && now-held[0].at >= judged {
			s.placers[p].settle(func(a arrived) { put(consent.Party(p), a) })
		}
	}
}

func (s *stage) learn(c content) {
	s.forms[c.party][c.pt&0x7f] = form{codec.Lookup(c.text, c.clockRate), coding{c.text, c.clockRate}}
}

// form is that of a packet.
func (s *stage) form(c content) form {
	if len(c.data) < 2 {
		return form{}
	}
	return s.forms[c.party][c.data[1]&0x7f]
}

// end gives on what is held.
func (s *stage) end(put func(consent.Party, arrived)) {
	for p := range s.placers {
		s.placers[p].settle(func(a arrived) { put(consent.Party(p), a) })
	}
}

func (s *stage) quiet() bool { return s.placers[0].quiet() && s.placers[1].quiet() }

// length is how long a packet's audio is, in ticks.
func (a arrived) length() int64 {
	return int64(len(a.payload)/a.codec.Width) * ticks / int64(a.codec.Clock)
}
