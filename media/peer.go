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
	Codec     Codec         // for prompts to it; zero: none can be played
	Codecs    []Codec       // what it may send; names the formats of a recording
	Events    []uint8       // payload types of its telephone-events at 8 kHz; at other rates, by Codecs
	Mute      bool          // it won't send now: it is on hold, or holds the other
	NAT       bool          // it may send from another address than RTP: the first heard is taken for its
	InBand    bool          // its keys are tones in its audio: telephone-event wasn't agreed on
	Ptime     time.Duration // of prompts to it, in whole ms; what isn't 5 to 100 ms is taken for 20 ms
	// Renumber are payload types that it sends by a number that the other party
	// doesn't know them by, with the number to pass them on by. Nil: none.
	Renumber map[uint8]uint8

	// In opens what the peer sends, Out seals what it is sent: SRTP. They stay the
	// same as long as the keys do. Nil: in the clear.
	In  *srtp.Receiver
	Out *srtp.Sender
}

// Names in SDP, in upper case, of the payloads of RFC 4733 and RFC 2198.
const (
	eventEncoding     = "TELEPHONE-EVENT"
	redundantEncoding = "RED"
)

// place is a Peer in force, and the addresses that it sends from.
type place struct {
	Peer
	rtp, rtcp latch
	plays     *codec.Codec // prompts to it; nil: none can be
	events    [128]int     // clock rate by payload type; 0: not telephone-events
	known     [128]Codec   // by payload type; zero: unknown
	numbers   *[128]uint8  // to pass payload types on by; nil: as they are
	redundant [128]bool    // by payload type: blocks of RFC 2198
}

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
	for pt, name := range staticNames {
		n.known[pt] = Codec{Name: name, PayloadType: pt, ClockRate: sampleRate}
	}
	for _, c := range p.Codecs {
		n.known[c.PayloadType&0x7f] = c
	}
	if len(p.Renumber) > 0 {
		n.numbers = new([128]uint8)
		for pt := range n.numbers {
			n.numbers[pt] = uint8(pt)
		}
		for from, to := range p.Renumber {
			n.numbers[from&0x7f] = to & 0x7f
		}
	}
	for _, pt := range p.Events {
		n.events[pt&0x7f] = sampleRate
	}
	for _, c := range p.Codecs {
		if strings.EqualFold(c.Name, eventEncoding) && c.ClockRate > 0 {
			n.events[c.PayloadType&0x7f] = c.ClockRate
		}
		n.redundant[c.PayloadType&0x7f] = strings.EqualFold(c.Name, redundantEncoding)
	}
	return n
}

// renumber gives a packet from this peer the payload type that the other party
// knows it by. Its marker stays.
func (p *place) renumber(packet []byte, pt uint8) {
	if p.numbers != nil {
		packet[1] = packet[1]&0x80 | p.numbers[pt]
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// clock is the rate of a payload type's timestamps, Hz; 0 where it isn't known.
func (p *place) clock(pt uint8) int {
	if rate := p.events[pt&0x7f]; rate != 0 {
		return rate
	}
	return p.known[pt&0x7f].ClockRate
}

// codec is what a payload type from this peer means.
func (p *place) codec(pt uint8) Codec {
	c := p.known[pt&0x7f]
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
	said     netip.AddrPort
	former   netip.AddrPort // the port's last call came from there: its packets may still
	until    time.Time      // end of the learning window
	anywhere bool           // another address may be learnt

	learnt  atomic.Pointer[netip.AddrPort]
	settled atomic.Bool // the source of this description is known: nothing else is learnt
}

// admits reports whether a packet from that address is the peer's.
func (l *latch) admits(from netip.AddrPort, at time.Time) bool {
	known := l.learnt.Load()
	if known != nil && *known == from {
		if !l.settled.Load() {
			l.settled.Store(true)
		}
		return true
	}
	// The address that was said is the peer's whatever was learnt before it.
	near := from.Addr() == l.said.Addr() || l.anywhere && known == nil
	if from != l.said && (l.settled.Load() || !near || from == l.former || at.After(l.until)) {
		return false
	}
	learnt := from // a copy, so that from itself needn't be on the heap for each packet
	l.learnt.Store(&learnt)
	l.settled.Store(true)
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
