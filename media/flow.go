package media

import (
	"net/netip"
	"time"

	"consentgate/media/srtp"
)

// Nearly every packet is like the one before it: of the same description, source
// and payload type. What was found out about that one lies within the leg, small
// and in one place, so that of a thousand calls' memory each packet touches little:
// to fetch the rest would cost a tenth of its relay. Both are for the thread that
// takes the packets.

// inward is of packets from the peer.
type inward struct {
	place   *place // nil: nothing is known
	from    netip.AddrPort
	opens   *srtp.Receiver
	numbers *[128]uint8 // likewise place's
	inBand  bool
	typed   bool // pt and kind are known
	pt      uint8
	kind    payload
}

// outward is of packets to the peer.
type outward struct {
	place *place // nil: nothing is known
	to    netip.AddrPort
	seals *srtp.Sender
}

// admits looks whether a packet from an address is the peer's.
func (l *Leg) admits(p *place, from netip.AddrPort, at time.Time) bool {
	if f := &l.inward; f.place == p && f.from == from {
		return true
	}
	if !p.rtp.admits(from, at) {
		return false
	}
	l.inward = inward{place: p, from: from, opens: p.In, numbers: p.numbers, inBand: p.InBand}
	l.outward.place = nil // for where it is may have been learnt
	return true
}

// means is what a payload type of the peer means.
func (l *Leg) means(pt uint8) *payload {
	f := &l.inward
	if !f.typed || f.pt != pt {
		f.typed, f.pt, f.kind = true, pt, *f.place.payload(pt)
	}
	return &f.kind
}

// towards is where packets to the peer go; false: it can't be sent to now.
func (l *Leg) towards(p *place) (*outward, bool) {
	f := &l.outward
	if f.place != p {
		*f = outward{p, p.rtp.towards(), p.Out}
		if !p.RTP.IsValid() {
			f.to = netip.AddrPort{}
		}
	}
	return f, f.to.IsValid()
}
