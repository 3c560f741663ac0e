package proxy

import (
	"net/netip"
	"strings"
	"time"

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
	c.mail.post(event{kind: evConsent, consent: out})
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

// hasSDP reports whether a message's body is a session description.
func hasSDP(m message) bool {
	t, _, _ := strings.Cut(header(m, "content-type"), ";")
	return len(m.Body()) > 0 && strings.EqualFold(strings.TrimSpace(t), "application/sdp")
}

// describe parses the SDP of a message of l's peer, nil where we must leave it
// alone.
func (c *call) describe(l *leg, m message) *sdp.Session {
	if c.media.relay == nil || !hasSDP(m) {
		return nil
	}
	s, err := sdp.Parse(m.Body())
	if err != nil || s.Audio() == nil {
		// What we can't read we can't anchor: the parties' own addresses pass.
		c.log.Warn("a session description passes as it is", "side", l.side.name(), "error", err)
		return nil
	}
	c.notePreference(l, s.Audio())
	return s
}

// offerFrom notes an offer and returns the body for the other side.
func (c *call) offerFrom(l *leg, m message) []byte {
	s := c.describe(l, m)
	if s == nil {
		return m.Body()
	}
	l.offer = s
	change := sdp.Change{RTP: c.address(l.other())}
	if c.gate.cfg.Playable && c.policy != nil && c.policy.Action == consent.Ask {
		change.Keep = keepPlayable
	}
	to := l.other()
	to.offered = c.tell(to, s.Rewrite(change))
	return to.offered.body
}

// answerFrom notes an answer to the other leg's offer and returns the body for
// the other side. A message without SDP passes.
func (c *call) answerFrom(l *leg, m message) []byte {
	s := c.takeAnswer(l, m)
	if s == nil {
		return m.Body()
	}
	far := l.other()
	far.told = c.tell(far, s.Rewrite(sdp.Change{RTP: c.address(far)}))
	return far.told.body
}

// takeAnswer puts an answer and the offer that it is to into force; nil if there
// is none that we can read.
func (c *call) takeAnswer(l *leg, m message) *sdp.Session {
	s := c.describe(l, m)
	if s == nil {
		return nil
	}
	if far := l.other(); far.offer != nil {
		far.sdp = far.offer
	}
	l.sdp = s
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

// keepPlayable keeps what a prompt can be played in and what goes with it.
func keepPlayable(c sdp.Codec) bool {
	return playable(c) || c.Name == "TELEPHONE-EVENT" && c.ClockRate == 8000 || c.Name == "CN"
}

func playable(c sdp.Codec) bool { return (c.Name == "PCMU" || c.Name == "PCMA") && c.ClockRate == 8000 }

// applyMedia tells the relay what the descriptions in force say.
func (c *call) applyMedia() {
	for _, l := range []*leg{c.a, c.b} {
		if l.sdp != nil {
			c.media.relay.Leg(l.party).SetPeer(l.peer())
		}
	}
	c.onHold()
}

// peer is the leg's far end as the relay needs it.
func (l *leg) peer() media.Peer {
	m := l.sdp.Audio()
	p := media.Peer{RTP: m.Address(), RTCP: m.RTCP(), Ptime: m.Ptime(), Codec: l.promptCodec(), Mute: l.call.held()}
	if far := l.other().sdp; far != nil {
		for _, codec := range far.Audio().Codecs() {
			p.Codecs = append(p.Codecs, media.Codec{Name: codec.Name, PayloadType: codec.PayloadType, ClockRate: codec.ClockRate})
		}
	}
	// A party sends with the payload types of the other's description; some send
	// with those of their own.
	for _, d := range []*sdp.Session{l.other().sdp, l.sdp} {
		if d == nil {
			continue
		}
		for _, codec := range d.Audio().Codecs() {
			if codec.Name == "TELEPHONE-EVENT" && codec.ClockRate == 8000 {
				p.Events = append(p.Events, codec.PayloadType)
			}
		}
	}
	return p
}

// promptCodec is the codec for prompts to this leg's peer: the first that both
// sides have and we can encode, by its number in the peer's own description.
func (l *leg) promptCodec() media.Codec {
	m := l.sdp.Audio()
	if !m.Plain() {
		return media.Codec{}
	}
	far := l.other().sdp
	for _, codec := range m.Codecs() {
		if playable(codec) && (far == nil || hasCodec(far, codec)) {
			return media.Codec{Name: codec.Name, PayloadType: codec.PayloadType, ClockRate: codec.ClockRate}
		}
	}
	return media.Codec{}
}

func hasCodec(s *sdp.Session, want sdp.Codec) bool {
	for _, c := range s.Audio().Codecs() {
		if c.Name == want.Name && c.ClockRate == want.ClockRate {
			return true
		}
	}
	return false
}

// hears reports whether the leg's peer can be played a prompt now.
func (l *leg) hears() bool {
	if l.sdp == nil {
		return false
	}
	m := l.sdp.Audio()
	return m.Address().IsValid() && m.Direction().Receives() && l.promptCodec() != media.Codec{}
}

// held reports whether a side has put the other on hold.
func (c *call) held() bool {
	for _, l := range []*leg{c.a, c.b} {
		if l.sdp != nil && l.sdp.Audio().Direction() != sdp.SendRecv {
			return true
		}
	}
	return false
}

// onHold follows hold and resume: what plays on hold is nobody's consented
// speech, and who is on hold in mid-prompt hasn't heard it.
func (c *call) onHold() {
	if c.media.tap != nil {
		if c.held() {
			c.media.tap.Pause("hold")
		} else {
			c.media.tap.Resume("hold")
		}
	}
	if c.law.session == nil || c.law.session.State() != consent.Asking {
		return
	}
	for _, l := range []*leg{c.a, c.b} {
		if c.law.playing[l.party] && !l.hears() {
			c.consent(consent.Event{Kind: consent.PromptFailed, Party: l.party, At: time.Now(),
				Reason: "the party was put on hold during the prompt"})
		}
	}
}

// infoKey reads a key from SIP INFO: application/dtmf-relay or application/dtmf
// as PBXs send them (RFC 6086 knows no package for it).
func infoKey(req *sip.Request) (consent.Key, bool) {
	if req.Method != sip.INFO {
		return 0, false
	}
	body := strings.TrimSpace(string(req.Body()))
	switch t := strings.ToLower(strings.TrimSpace(header(req, "content-type"))); t {
	case "application/dtmf":
	case "application/dtmf-relay":
		signal := ""
		for _, line := range strings.Split(body, "\n") {
			if k, v, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(k), "signal") {
				signal = strings.TrimSpace(v)
			}
		}
		body = signal
	default:
		return 0, false
	}
	key, err := consent.ParseKey(strings.ToUpper(body))
	return key, err == nil
}
