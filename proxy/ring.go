package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/proxy/sdp"
)

// Calls of `when: ring` policies: the gate answers the caller, asks, and only
// then rings the called party. The caller's dialog was made with a To tag and a
// description of ours; the called party's has its own. From then on the tags are
// exchanged in every message, and the caller sees one session whose o= line is
// ours throughout.

// ringing is what such a call has beyond others.
type ringFirst struct {
	tag     string // the caller's dialog's, in place of the called party's
	codec   sdp.Codec
	keys    int    // clock rate of the caller's telephone events, Hz; 0: it has none
	id      uint64 // of our o= line
	version uint64
	ours    bool          // the caller knows our answer, not the called party's
	begun   bool          // the called party is being rung
	heard   bool          // it rings
	grant   consent.Grant // recording waits for the answer
}

// ringsFirst decides whether the caller is answered before the called party is
// rung. Where that can't be done properly the call is set up in the other order:
// asking later is better than not at all, and trouble of ours delays nobody.
func (c *call) ringsFirst(req *sip.Request) bool {
	if c.policy == nil || c.policy.When != consent.Ring || !c.asks() || len(c.policy.Parties) != 1 ||
		!c.policy.Asks(c.a.party) || len(c.b.side.routes(c.callID)) == 0 || header(req, "replaces") != "" ||
		c.gate.cfg.Prompts.Consent(c.policy) == nil || c.unready() != "" {
		return false
	}
	for _, v := range list(req, "require") {
		if v != "timer" && v != "100rel" {
			return false
		}
	}
	s := c.describe(c.a, req)
	if s == nil || s.Audio() == nil || !s.Audio().Address().IsValid() {
		return false
	}
	codec, ok := agreeable(s.Audio().Codecs())
	if !ok {
		return false
	}
	keys, _ := s.Audio().Keys(codec.ClockRate)
	c.ring = &ringFirst{tag: randomToken(), codec: codec, keys: keys.ClockRate, id: randomID(), ours: true}
	c.a.sdp = s
	c.noteOffer(c.a)
	c.a.seal.agree()
	return true
}

// agreeable is the codec that a caller is answered with: the first that prompts
// have, but G.711 before others, for the called party must take it, too, and
// nobody has asked it.
func agreeable(offered []sdp.Codec) (first sdp.Codec, ok bool) {
	for _, codec := range offered {
		if (codec.Name == "PCMU" || codec.Name == "PCMA") && playable(codec) {
			return codec, true
		}
		if playable(codec) && !ok {
			first, ok = codec, true
		}
	}
	return first, ok
}

// randomID is for an o= line: a number that fits any reader's integer.
func randomID() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) >> 34
}

// startAlone answers the caller.
func (c *call) startAlone(tx *serverTx) {
	c.state = alone
	c.media.relay.Gate()
	c.applyMedia()
	ok, err := c.ownAnswer(tx, c.a.sdp)
	if err != nil { // ringsFirst looked at all that can go wrong
		c.log.Error("answering the caller", "error", err)
		c.respond(c.a, tx, newResponse(tx.req, tx.from, sip.StatusInternalServerError, "Server Internal Error", ""))
		c.end()
		return
	}
	c.accept(c.inv, ok)
}

// ownAnswer is a 200 of ours with our answer to an offer.
func (c *call) ownAnswer(tx *serverTx, offer *sdp.Session) (*sip.Response, error) {
	body, err := offer.Answer(c.address(c.a), c.ring.codec, c.ring.id, c.ring.version)
	if err != nil {
		return nil, err
	}
	c.a.told = c.tell(c.a, body)
	ok := newResponse(tx.req, tx.from, sip.StatusOK, "OK", c.ring.tag)
	for _, h := range headers(tx.req, "record-route") {
		ok.AppendHeader(h)
	}
	ok.AppendHeader(sip.NewHeader("Contact", "<sip:"+tx.by.contact+">"))
	ok.AppendHeader(sip.NewHeader("Allow", allowed))
	ok.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	ok.SetBody(c.a.told.body)
	return ok, nil
}

// ringOut rings the called party, once the caller was asked.
func (c *call) ringOut() {
	if c.ring.begun || c.state != alone {
		return
	}
	c.ring.begun = true
	c.state = calling
	c.untried = c.b.side.routes(c.callID)
	tx := c.inv.tx
	c.b.offered = c.tell(c.b, c.ringOffer())
	offer := withSDP(tx.req, c.b.offered.body)
	c.inv.build = func(w way) *sip.Request {
		out := relayRequest(tx.req, tx.req.Recipient, hop{via: w.via(), contact: w.by.contact,
			routes: c.a.socket.routesOn(tx.req), maxHops: maxHops(tx.req), body: offer})
		out = withoutOurs(out)
		takes(out, ownDialog|ownBody) // the offer may be of a later description than the INVITE's
		return out
	}
	if !c.attempt() {
		c.hangUpAlone("SIP;cause=503;text=\"Service Unavailable\"")
	}
}

// ringOffer has what the caller was answered with: its audio and nothing else.
func (c *call) ringOffer() []byte {
	change := sdp.Change{Own: c.address(c.b).Addr(), At: make([]netip.AddrPort, len(c.a.sdp.Media)), Keep: c.ring.keeps}
	change.At[slices.Index(c.a.sdp.Media, c.a.sdp.Audio())] = c.address(c.b)
	return c.a.sdp.Rewrite(change)
}

// keeps narrows the offer to what the caller was answered with.
func (r *ringFirst) keeps(k sdp.Codec) bool {
	return k == r.codec || k.Name == telephoneEvent && k.ClockRate == r.keys
}

// withoutOurs takes out of an INVITE what the caller can't have any more, for
// its call is answered: reliable provisional responses (RFC 3262) and a session
// timer that it doesn't know of (RFC 4028).
func withoutOurs(req *sip.Request) *sip.Request {
	out := sip.NewRequest(req.Method, req.Recipient)
	for _, h := range req.Headers() {
		switch fullName(h) {
		case "content-length", "session-expires", "min-se":
		case "supported", "require":
			var kept []string
			for _, v := range splitList(h.Value()) {
				if v != "100rel" && v != "timer" && v != "" {
					kept = append(kept, v)
				}
			}
			if len(kept) > 0 {
				out.AppendHeader(sip.NewHeader(h.Name(), strings.Join(kept, ", ")))
			}
		default:
			out.AppendHeader(h)
		}
	}
	out.SetBody(req.Body())
	return out
}

// onRinging: the called party's phone rings, or something is to be heard from
// there. The caller hears that, else a ringing tone of ours.
func (c *call) onRinging(ev event) {
	c.inv.provisional = true
	if ev.res.StatusCode == sip.StatusTrying {
		return
	}
	c.restartTimerC()
	c.meet(ev.res)
	first := !c.ring.heard
	c.ring.heard = true
	if hasSDP(ev.res) {
		c.takeAnswer(c.b, ev.res)
		c.keepAnswer(ev.res)
		c.media.relay.Bridge()
		return
	}
	if first && ev.res.StatusCode != sip.StatusSessionInProgress {
		c.ringTone()
	}
}

// ringTone plays the ringing tone to the caller until something else is heard.
func (c *call) ringTone() {
	c.media.relay.Leg(c.a.party).Play(c.gate.cfg.Prompts.Ringing(), func(p media.Played) {
		c.post(event{kind: evReply, run: func() {
			if p.Complete && c.state == calling {
				c.ringTone()
			}
		}})
	})
}

// onConnect: the called party is there.
func (c *call) onConnect(ev event) {
	c.inv.timerC.Stop()
	c.meet(ev.res)
	c.b.asserted = asserted(ev.res)
	c.answered, c.outcome = true, "answered"
	if most := c.b.side.trunk.MaxDuration; most > 0 {
		c.limit(most)
	}
	c.takeAnswer(c.b, ev.res)
	c.win(ev.res)
	c.timeSession(c.a, ev.res)
	c.ackAnswer(c.inv, ev.res, nil)
	c.state = bridged
	c.media.relay.Bridge()
	if g := c.ring.grant; g.Valid() {
		c.ring.grant = consent.Grant{}
		c.law.outstanding++
		c.law.scribe.create(g)
	}
}

// onUnanswered: the called party doesn't come to the phone. The caller is hung
// up on, with the reason that it would have had for an answer (RFC 3326).
func (c *call) onUnanswered(ev event) {
	c.inv.timerC.Stop()
	if !c.ring.heard && c.failsOver(ev.res) {
		return
	}
	status, text := sip.StatusRequestTimeout, "Request Timeout"
	c.outcome = "timeout"
	if ev.res != nil {
		status, text, c.outcome = ev.res.StatusCode, ev.res.Reason, outcomeOf(ev.res.StatusCode)
	}
	c.state = alone // nothing is left to cancel
	c.hangUpAlone(fmt.Sprintf("SIP;cause=%d;text=%q", status, text))
}

// hangUpAlone ends the call while the caller alone is there.
func (c *call) hangUpAlone(reason string) {
	if c.law.session != nil && c.law.session.State() != consent.Ended {
		c.consent(consent.Event{Kind: consent.HangUp, Reason: reason})
	}
	underWay := c.state == calling
	c.state = ending
	c.cancelCalled("")
	c.sendBye(c.a, reason, func() {
		if !underWay {
			c.end()
		}
	})
	if underWay {
		c.after(lifetime, c.endNow)
		return
	}
	c.after(lastWords, c.endNow)
}

// cancelCalled gives up the INVITE that rings the called party.
func (c *call) cancelCalled(reason string) {
	if c.inv.client == nil {
		return
	}
	if c.inv.timerC != nil {
		c.inv.timerC.Stop()
	}
	c.inv.reason, c.inv.cancelled = reason, true
	if c.inv.provisional {
		c.sendCancel(c.inv)
	}
}
