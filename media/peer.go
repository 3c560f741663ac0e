package media

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"consentgate/media/codec"
	"consentgate/media/srtp"
)

// Peer is what the far end's description says. A zero RTP means that it can't be
// sent to now: it is on hold the old way, or refused the media.
type Peer struct {
	RTP, RTCP netip.AddrPort
	// In opens what the peer sends, Out seals what it is sent: SRTP. They stay the
	// same as long as the keys do. Nil: in the clear.
	In  *srtp.Receiver
	Out *srtp.Sender

	Codec  Codec         // for prompts to it; zero: none can be played
	Codecs []Codec       // what it may send; names the formats of a recording
	Events []uint8       // payload types of its telephone-events at 8 kHz; at other rates, by Codecs
	Mute   bool          // it won't send now: it is on hold, or holds the other
	NAT    bool          // it may send from another address than RTP: the first heard is taken for its
	InBand bool          // its keys are tones in its audio: telephone-event wasn't agreed on
	Ptime  time.Duration // of prompts to it, in whole ms; what isn't 5 to 100 ms is taken for 20 ms
	// Renumber are payload types that it sends by a number that the other party
	// doesn't know them by, with the number to pass them on by. Nil: none.
	Renumber map[uint8]uint8
}

// Names in SDP, in upper case, of the payloads of RFC 4733 and RFC 2198.
const (
	eventEncoding     = "TELEPHONE-EVENT"
	redundantEncoding = "RED"
)

// place is a Peer in force, and the addresses that it sends from. What each packet
// needs lies together: of a thousand calls' places each part that a packet touches
// has to be fetched from memory anew, which is half of what a packet costs.
type place struct {
	rtp latch
	Peer
	numbers  *[128]uint8 // to pass payload types on by; nil: as they are
	types    [128]uint8  // by payload type: which of payloads it is
	payloads []payload   // the first: what isn't known
	rtcp     latch
	plays    *codec.Codec // prompts to it; nil: none can be
}

// payload is what a payload type of a peer means.
type payload struct {
	Codec               // zero: unknown
	plays  *codec.Codec // that its audio can be decoded with; nil: none
	event  int          // clock rate of telephone-events; 0: they aren't
	blocks bool         // of RFC 2198
	speech bool         // it tells how well the other is heard: no event, no comfort noise
}

// clock is the rate of its timestamps, Hz; 0 where it isn't known.
func (y *payload) clock() int {
	if y.event != 0 {
		return y.event
	}
	return y.ClockRate
}

// payload is what one from this peer means.
func (p *place) payload(pt uint8) *payload { return &p.payloads[p.types[pt&0x7f]] }

// usualPtime is what RFC 3551 section 4.2 has for want of another.
const usualPtime = 20 * time.Millisecond

// mostPayload of our own packets, in bytes, so that none is fragmented: of L16 at
// 16 kHz 40 ms are 1,280. A ptime is a wish (RFC 8866 section 6.4).
const mostPayload = 1400

// samples of a prompt are in one packet.
func (p *place) samples() int {
	if p == nil {
		return int(usualPtime * sampleRate / time.Second)
	}
	return int(p.Ptime / time.Millisecond * sampleRate / 1000)
}

// newPlace puts a description into force after old, which may be nil.
func newPlace(p Peer, old *place, former [2]netip.AddrPort, until time.Time) *place {
	p.RTP, p.RTCP = unmap(p.RTP), unmap(p.RTCP)
	if p.Ptime < 5*time.Millisecond || p.Ptime > 100*time.Millisecond {
		p.Ptime = usualPtime
	}
	n := &place{Peer: p, plays: p.Codec.plays()}
	if c := n.plays; c != nil && bytesOf(c, n.samples()) > mostPayload {
		n.Ptime = usualPtime
	}
	n.rtp.said, n.rtp.former, n.rtp.until = p.RTP, former[0], until
	n.rtcp.said, n.rtcp.former, n.rtcp.until = p.RTCP, former[1], until
	n.rtp.anywhere, n.rtcp.anywhere = p.NAT, p.NAT
	if old != nil {
		n.rtp.follow(&old.rtp)
		n.rtcp.follow(&old.rtcp)
	}
	n.describe()
	return n
}

// describe makes the table of payload types.
func (p *place) describe() {
	var known [128]payload
	for pt, name := range staticNames {
		known[pt].Codec = Codec{Name: name, PayloadType: pt, ClockRate: sampleRate}
	}
	for _, c := range p.Codecs {
		known[c.PayloadType&0x7f].Codec = c
	}
	for _, pt := range p.Events {
		known[pt&0x7f].event = sampleRate
	}
	for _, c := range p.Codecs {
		y := &known[c.PayloadType&0x7f]
		if strings.EqualFold(c.Name, eventEncoding) && c.ClockRate > 0 {
			y.event = c.ClockRate
		}
		y.blocks = strings.EqualFold(c.Name, redundantEncoding)
	}
	p.payloads = append(p.payloads, payload{})
	for pt := range known {
		y := &known[pt]
		if *y == (payload{}) {
			continue
		}
		y.plays = y.Codec.plays()
		y.speech = y.event == 0 && y.ClockRate > 0 && y.Name != "CN"
		p.types[pt] = uint8(len(p.payloads))
		p.payloads = append(p.payloads, *y)
	}
	p.renumbering()
}

func (p *place) renumbering() {
	if len(p.Renumber) == 0 {
		return
	}
	p.numbers = new([128]uint8)
	for pt := range p.numbers {
		p.numbers[pt] = uint8(pt)
	}
	for from, to := range p.Renumber {
		p.numbers[from&0x7f] = to & 0x7f
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// codec is what a payload type from this peer means.
func (p *place) codec(pt uint8) Codec {
	c := p.payload(pt).Codec
	c.PayloadType = pt
	return c
}

// staticNames is RFC 3551 table 4, where the clock rate is 8 kHz. G722's is by
// an old mistake that section 4.5.2 keeps.
var staticNames = map[uint8]string{0: "PCMU", 3: "GSM", 4: "G723", 8: "PCMA", 9: "G722", 13: "CN", 15: "G728", 18: "G729"}

// latch is the one source that a socket takes packets from: the address that the
// peer's description names, or, for a peer behind a NAT, another port of the same
// address that was heard first within the learning window (RFC 4961 isn't
// everywhere). More would let others in: RTP Bleed, CVE-2017-14114. Only where the
// side is declared to be behind a NAT another address is learnt, too, once for all
// descriptions that name the same one.
type latch struct {
	// heard is a copy of what was learnt, for the thread that takes the packets; it
	// is valid once that has been heard since the description came into force.
	heard  netip.AddrPort
	learnt atomic.Pointer[netip.AddrPort]

	said     netip.AddrPort
	former   netip.AddrPort // the port's last call came from there: its packets may still
	until    time.Time      // end of the learning window
	anywhere bool           // another address may be learnt
}

// admits reports whether a packet from that address is the peer's. It is for the
// thread that takes the packets.
func (l *latch) admits(from netip.AddrPort, at time.Time) bool {
	if from == l.heard {
		return true
	}
	known := l.learnt.Load()
	if known == nil || *known != from {
		// The address that was said is the peer's whatever was learnt before it.
		near := from.Addr() == l.said.Addr() || l.anywhere && known == nil
		if from != l.said && (l.heard.IsValid() || !near || from == l.former || at.After(l.until)) {
			return false
		}
		learnt := from // a copy, so that from itself needn't be on the heap for each packet
		l.learnt.Store(&learnt)
	}
	l.heard = from
	return true
}

// follow keeps what old has learnt where the description names the same
// address. One that names none can't be sent to, but goes on being heard from
// where it was, for it may play music to whom it has put on hold.
func (l *latch) follow(old *latch) {
	if !l.said.IsValid() {
		l.said = old.said
	}
	if l.said == old.said {
		l.learnt.Store(old.learnt.Load())
	}
}

// target is where the peer is: where it sends from, or where it said.
func (l *latch) target() netip.AddrPort {
	if learnt := l.learnt.Load(); learnt != nil {
		return *learnt
	}
	return l.said
}

// towards is target for the thread that takes the packets.
func (l *latch) towards() netip.AddrPort {
	if l.heard.IsValid() {
		return l.heard
	}
	return l.target()
}
