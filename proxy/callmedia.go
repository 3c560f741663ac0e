package proxy

import (
	"net/netip"
	"slices"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/proxy/sdp"
)

// callMedia is the call's RTP. Without a relay the parties' media go directly,
// as they described them, and nothing can be played or recorded: a lack of
// ports must not cost a call.
type callMedia struct {
	relay *media.Relay
	tap   *media.Tap
}

// anchor takes ports for the call. Until somebody is asked, packets pass: early
// media and ringback tones are not ours to hold back.
func (c *call) anchor() {
	if c.gate.cfg.Media == nil {
		return
	}
	sides := media.Sides{Trunk: c.a.side.trunk.Name}
	for _, l := range []*leg{c.a, c.b} {
		if l.party == consent.Remote {
			sides.Remote = l.mediaAddr()
		} else {
			sides.Local = l.mediaAddr()
		}
	}
	relay, err := c.gate.cfg.Media.NewRelay(c.id, sides, c.onMedia)
	if err != nil {
		c.gate.metrics.unanchored.Inc()
		c.log.Warn("media goes directly: this call cannot be recorded", "error", err)
		return
	}
	c.media.relay = relay
	relay.Bridge()
}

// mediaAddr is the address that the leg's RTP is bound to: the configured one,
// else that of the socket its signalling uses, so that both are of one family.
func (l *leg) mediaAddr() netip.Addr {
	if l.side.media.IsValid() {
		return l.side.media
	}
	return l.socket.local.Addr()
}

// onMedia takes what the relay sees, on the relay's goroutines.
func (c *call) onMedia(ev media.Event) {
	out := consent.Event{Party: ev.Party, Press: ev.Press}
	switch ev.Kind {
	case media.AudioMissing:
		l := c.legOf(ev.Party)
		c.gate.metrics.audioMissing.WithLabelValues(l.side.trunk.Name, l.side.name()).Inc()
		c.log.Warn("no audio comes from a party", "side", l.side.name())
		return
	case media.MediaLost:
		c.mail.post(event{kind: evReply, run: c.loseMedia})
		return
	case media.KeyPressed:
		out.Kind = consent.KeyPressed
	case media.TapFailed:
		out.Kind, out.Reason = consent.RecorderFailed, ev.Err.Error()
	}
	c.post(event{kind: evConsent, consent: out})
}

// loseMedia ends a call that nothing is heard of any more: one side may be gone
// without a word.
func (c *call) loseMedia() {
	if c.state != bridged {
		return
	}
	c.log.Warn("no media any more")
	c.outcome = "media_lost"
	c.endBoth("SIP;cause=408;text=\"Media timeout\"")
}

// describe parses the SDP of a message of l's peer, nil where we must leave it
// alone.
func (c *call) describe(l *leg, m message) *sdp.Session {
	if c.media.relay == nil || !hasSDP(m) {
		return nil
	}
	s, err := sdp.Parse(sdpOf(m))
	if err != nil || !s.Carried() {
		// What we can't read or carry we can't anchor: the parties' own addresses pass.
		c.log.Warn("a session description passes as it is", "side", l.side.name(), "error", err)
		return nil
	}
	c.unseal(l, s)
	c.notePreference(l, s.Audio())
	return s
}

// offerFrom notes an offer and returns the body for the other side.
func (c *call) offerFrom(l *leg, m message) []byte {
	s := c.describe(l, m)
	if s == nil {
		if hasSDP(m) {
			l.offer, l.direct = nil, true
		}
		return m.Body()
	}
	l.offer, l.direct = s, false
	c.noteOffer(l)
	to := l.other()
	change := sdp.Change{Own: c.address(to).Addr(), At: c.anchorsFor(to, s, true)}
	if c.gate.cfg.Playable && c.policy != nil && c.policy.Action == consent.Ask {
		change.Keep = keepPlayable
	}
	to.offered = c.tell(to, s.Rewrite(change))
	return withSDP(m, to.offered.body)
}

// answerFrom notes an answer to the other leg's offer and returns the body for
// the other side. A message without SDP passes, and so does the answer to an
// offer that passed as it is. One that ends the call goes no further.
func (c *call) answerFrom(l *leg, m message) []byte {
	if c.endsInsecure(l, m) {
		return []byte{}
	}
	s := c.takeAnswer(l, m)
	if s == nil {
		return m.Body()
	}
	far := l.other()
	change := sdp.Change{Own: c.address(far).Addr(), At: c.anchorsFor(far, s, false)}
	far.told = c.tell(far, s.Rewrite(change))
	return withSDP(m, far.told.body)
}

// takeAnswer puts an answer and the offer that it is to into force; nil if there
// is none that we can read.
func (c *call) takeAnswer(l *leg, m message) *sdp.Session {
	far := l.other()
	if far.direct {
		return nil
	}
	s := c.describe(l, m)
	if s == nil {
		return nil
	}
	if far.offer != nil {
		far.sdp = far.offer
		far.seal.agree()
		c.endToEnd()
	}
	if far.sdp != nil {
		s.Follow(far.sdp)
	}
	l.sdp = s
	l.seal.noteAnswer()
	l.answered()
	c.applyMedia()
	return s
}

// replyBody is the body of an INVITE's response for its sender: the answer if
// the INVITE made the offer, else an offer.
func (c *call) replyBody(inv *invite, res *sip.Response) []byte {
	if res.StatusCode >= 300 || !hasSDP(res) {
		return res.Body()
	}
	if inv.offered {
		return c.answerFrom(inv.to, res)
	}
	return c.offerFrom(inv.to, res)
}

// address is ours in SDP towards a leg's peer.
func (c *call) address(l *leg) netip.AddrPort {
	at := c.media.relay.Leg(l.party).Addr()
	if l.side.conf.Media.IsValid() {
		return netip.AddrPortFrom(l.side.conf.Media, at.Port())
	}
	return at
}

// telephoneEvent is RFC 4733's payload in a description.
const telephoneEvent = "TELEPHONE-EVENT"

// keepPlayable keeps what a prompt can be played in and what goes with it.
func keepPlayable(c sdp.Codec) bool {
	return playable(c) || c.Name == telephoneEvent && (c.ClockRate == 8000 || c.ClockRate == 16000) || c.Name == "CN"
}

func playable(c sdp.Codec) bool { return mediaCodec(c).Playable() }

func mediaCodec(c sdp.Codec) media.Codec {
	return media.Codec{Name: c.Name, PayloadType: c.PayloadType, ClockRate: c.ClockRate, Channels: c.Channels}
}

// applyMedia tells the relay what the descriptions in force say.
func (c *call) applyMedia() {
	for _, l := range []*leg{c.a, c.b} {
		if l.sdp != nil {
			c.media.relay.Leg(l.party).SetPeer(l.peer())
		}
	}
	c.applyOpaque()
	c.onHold()
}

// audio is the leg's audio section in force, nil where there is none, or it's
// refused.
func (l *leg) audio() *sdp.Media {
	if l.sdp == nil {
		return nil
	}
	if m := l.sdp.Audio(); m != nil && m.Port != 0 {
		return m
	}
	return nil
}

// peer is the leg's far end as the relay needs it; nobody's, where it has no audio.
func (l *leg) peer() media.Peer {
	in, out := l.contexts()
	m := l.audio()
	if m == nil {
		return media.Peer{Mute: true, NAT: l.side.conf.NAT, In: in, Out: out}
	}
	p := media.Peer{RTP: m.Address(), RTCP: m.RTCP(), NAT: l.side.conf.NAT, Ptime: m.Ptime(), Codec: l.promptCodec(),
		Mute: l.call.held() || l.call.silent(), Renumber: l.renumbering(), In: in, Out: out}
	known := map[uint8]bool{}
	for _, codec := range l.sends() {
		known[codec.PayloadType] = true
		p.Codecs = append(p.Codecs, mediaCodec(codec)) // telephone-events, too
	}
	for _, codec := range m.Codecs() { // some send keys by the number of their own description
		if codec.Name == telephoneEvent && codec.ClockRate == 8000 && !known[codec.PayloadType] {
			p.Events = append(p.Events, codec.PayloadType)
		}
	}
	l.keyFormats(&p, known)
	return p
}

// promptCodec is the codec for prompts to this leg's peer: the first that both
// sides have and we can encode, by its number in the peer's own description.
func (l *leg) promptCodec() media.Codec {
	m := l.audio()
	if m == nil {
		return media.Codec{}
	}
	for _, codec := range m.Codecs() {
		if playable(codec) && l.agreed(codec) {
			return mediaCodec(codec)
		}
	}
	return media.Codec{}
}

// agreed reports whether the other side has a codec of this leg's description,
// too. While the gate is the other side that is the one it answered with.
func (l *leg) agreed(codec sdp.Codec) bool {
	if far := l.other(); far.sdp != nil {
		return hasCodec(far.audio(), codec)
	}
	return l.call.ring == nil || codec == l.call.ring.codec
}

func hasCodec(m *sdp.Media, want sdp.Codec) bool {
	return m != nil && slices.ContainsFunc(m.Codecs(), func(c sdp.Codec) bool {
		return c.Name == want.Name && c.ClockRate == want.ClockRate && c.Channels == want.Channels
	})
}

// hears reports whether the leg's peer can be played a prompt now.
func (l *leg) hears() bool {
	m := l.audio()
	return m != nil && m.Address().IsValid() && m.Direction().Receives() && l.promptCodec() != media.Codec{}
}

// held reports whether a side has put the other on hold.
func (c *call) held() bool {
	for _, l := range []*leg{c.a, c.b} {
		if m := l.audio(); m != nil && m.Direction() != sdp.SendRecv {
			return true
		}
	}
	return false
}

// silent reports whether the descriptions in force have no audio: a fax, or
// nothing but video.
func (c *call) silent() bool {
	return c.a.sdp != nil && c.b.sdp != nil && (c.a.audio() == nil || c.b.audio() == nil)
}

// gaps are why nothing is recorded now, by cause.
func (c *call) gaps() map[string]bool {
	return map[string]bool{"hold": c.held(), "no-audio": c.silent()}
}

// onHold follows hold and resume, and audio that goes and comes: what plays on
// hold is nobody's consented speech, and who is on hold in mid-prompt hasn't
// heard it. Who has no audio can't say yes.
func (c *call) onHold() {
	if c.media.tap != nil {
		for cause, now := range c.gaps() {
			if now {
				c.media.tap.Pause(cause)
			} else {
				c.media.tap.Resume(cause)
			}
		}
	}
	if c.law.session == nil || c.law.session.State() != consent.Asking {
		return
	}
	for _, l := range []*leg{c.a, c.b} {
		switch {
		case c.silent():
			c.consent(consent.Event{Kind: consent.PromptFailed, Party: l.party, Reason: "the call has no audio any more"})
		case c.law.playing[l.party] && !l.hears():
			c.consent(consent.Event{Kind: consent.PromptFailed, Party: l.party, Reason: "the party was put on hold during the prompt"})
		}
	}
}
