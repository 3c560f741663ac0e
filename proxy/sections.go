package proxy

import (
	"net/netip"

	"consentgate/media"
	"consentgate/proxy/sdp"
)

// The sections of a description: its audio goes by the relay's legs, the others
// by ports of their own, untouched. What the relay can't carry is refused.

// maxOpaque bounds the sections that a call gets ports for beside its audio:
// nobody has as many, and a description may be a hostile one.
const maxOpaque = 8

// anchorsFor are our addresses towards a leg's peer for each section of a
// description. take takes ports for sections that are new; an answer's are there.
func (c *call) anchorsFor(to *leg, s *sdp.Session, take bool) []netip.AddrPort {
	own := c.address(to)
	out := make([]netip.AddrPort, len(s.Media))
	for i, m := range s.Media {
		switch {
		case m == s.Audio():
			out[i] = own
		case m.Port == 0, !m.Carried(), m.Clear() && (to.strict() || to.other().strict()):
		default:
			if o := c.opaque(i, take); o != nil {
				out[i] = netip.AddrPortFrom(own.Addr(), o.Addr(to.party).Port())
			}
		}
	}
	return out
}

// opaque is the section of that index; nil where it has no ports, and can't get
// any. That costs the section, never the call.
func (c *call) opaque(index int, take bool) *media.Opaque {
	have := c.media.relay.Opaques()
	if !take || have[index] != nil {
		return have[index]
	}
	if len(have) >= maxOpaque {
		c.gate.metrics.sectionsRefused.Inc()
		c.log.Warn("a further section of media is refused: the call has too many")
		return nil
	}
	o, err := c.media.relay.TakeOpaque(index)
	if err != nil {
		c.gate.metrics.sectionsRefused.Inc()
		c.log.Warn("a further section of media is refused", "error", err)
		return nil
	}
	return o
}

// applyOpaque tells the relay what the descriptions in force say of the sections
// beside the audio. Media flow only in those that both have.
func (c *call) applyOpaque() {
	for i, o := range c.media.relay.Opaques() {
		a, b := c.a.section(i), c.b.section(i)
		if a == nil || b == nil {
			o.Refuse()
			continue
		}
		var peers [2]media.Peer
		peers[c.a.party] = media.Peer{RTP: a.Address(), RTCP: a.RTCP(), NAT: c.a.side.conf.NAT}
		peers[c.b.party] = media.Peer{RTP: b.Address(), RTCP: b.RTCP(), NAT: c.b.side.conf.NAT}
		o.Agree(peers)
	}
}

// section is the leg's section of that index in force, nil where it is the
// audio, refused, or not there.
func (l *leg) section(i int) *sdp.Media {
	if l.sdp == nil || i >= len(l.sdp.Media) {
		return nil
	}
	if m := l.sdp.Media[i]; m != l.sdp.Audio() && m.Port != 0 && m.Carried() {
		return m
	}
	return nil
}

// Payload types: a party sends by the numbers of the description that it was
// given, which is the other party's, so that packets pass as they are. The one
// exception is a caller that was answered by us, until an offer has gone end to
// end: it knows our answer, whose numbers are those of its own offer.

// sends are the codecs by the numbers that the leg's peer sends them by.
func (l *leg) sends() []sdp.Codec {
	by := l.other()
	if l.answeredByUs() {
		by = l
	}
	if m := by.audio(); m != nil {
		return m.Codecs()
	}
	return nil
}

func (l *leg) answeredByUs() bool { return l.call.ring != nil && l.call.ring.ours && l == l.call.a }

// renumbering is the numbers that the peer sends by and the other party doesn't
// know them by, with those that it does.
func (l *leg) renumbering() map[uint8]uint8 {
	theirs := l.other().audio()
	if !l.answeredByUs() || theirs == nil {
		return nil
	}
	out := map[uint8]uint8{}
	for _, mine := range l.sends() {
		for _, k := range theirs.Codecs() {
			if k.Name == mine.Name && k.ClockRate == mine.ClockRate && k.Channels == mine.Channels && k.PayloadType != mine.PayloadType {
				out[mine.PayloadType] = k.PayloadType
			}
		}
	}
	return out
}

// endToEnd: both parties know each other's description, not one of ours.
func (c *call) endToEnd() {
	if c.ring != nil {
		c.ring.ours = false
	}
}
