package proxy

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
	"consentgate/proxy/sdp"
)

// While the caller alone is there, the gate is its far end and answers for it.

// allowed are the methods that the gate itself can do something with.
const allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE"

// onByeAlone: the caller hangs up.
func (c *call) onByeAlone(ev event) {
	c.refuse(ev, sip.StatusOK, "OK")
	c.outcome = "cancelled"
	if c.law.session != nil {
		c.consent(consent.Event{Kind: consent.HangUp})
	}
	underWay := c.state == calling
	c.state = ending
	c.cancelCalled(header(ev.tx.req, "reason"))
	if !underWay {
		c.end()
		return
	}
	c.after(lifetime, c.endNow)
}

// onOfferAlone answers a re-INVITE: hold, resume, another address. One without
// an offer is put off, for our answer would have to be one.
func (c *call) onOfferAlone(ev event) {
	if c.re != nil || !c.inv.acked {
		c.refuse(ev, sip.StatusRequestPending, "Request Pending")
		return
	}
	s := c.describe(c.a, ev.tx.req)
	if s == nil {
		c.later(ev)
		return
	}
	inv := &invite{from: c.a, to: c.b, tx: ev.tx, offered: true}
	ok, ready := c.answerAlone(ev, s)
	if !ready {
		return
	}
	c.re = inv
	c.accept(inv, ok)
}

// answerAlone answers an offer within the caller's dialog.
func (c *call) answerAlone(ev event, s *sdp.Session) (*sip.Response, bool) {
	if !c.ring.fits(s) {
		c.refuse(ev, sip.StatusNotAcceptableHere, "Not Acceptable Here")
		return nil, false
	}
	c.noteOffer(c.a)
	ok, err := c.ownAnswer(ev.tx, s)
	if err != nil {
		c.refuse(ev, sip.StatusNotAcceptableHere, "Not Acceptable Here")
		return nil, false
	}
	ev.leg.learn(ev.tx.req)
	c.a.sdp = s
	c.a.seal.agree()
	c.applyMedia()
	return ok, true
}

// fits reports whether an offer still has the codec that was agreed on.
func (r *ringFirst) fits(s *sdp.Session) bool {
	if s.Audio() == nil {
		return false
	}
	for _, k := range s.Audio().Codecs() {
		if k == r.codec {
			return true
		}
	}
	return false
}

// later refuses what only the called party could answer.
func (c *call) later(ev event) {
	c.refuse(ev, sip.StatusInternalServerError, "Server Internal Error", sip.NewHeader("Retry-After", "5"))
}

// onRequestAlone answers what the caller asks meanwhile.
func (c *call) onRequestAlone(ev event) {
	req := ev.tx.req
	if press, ok := infoKey(req); ok && c.law.session != nil {
		c.consent(consent.Event{Kind: consent.KeyPressed, Party: ev.leg.party, Press: press})
		c.refuse(ev, sip.StatusOK, "OK")
		return
	}
	switch {
	case req.Method == sip.UPDATE && hasSDP(req):
		s := c.describe(c.a, req)
		if s == nil {
			c.later(ev)
		} else if ok, ready := c.answerAlone(ev, s); ready {
			c.respond(c.a, ev.tx, ok)
		}
	case req.Method == sip.UPDATE:
		ev.leg.learn(req)
		c.refuse(ev, sip.StatusOK, "OK", sip.NewHeader("Contact", "<sip:"+ev.tx.by.contact+">"))
	case req.Method == sip.OPTIONS, req.Method == sip.INFO:
		c.refuse(ev, sip.StatusOK, "OK")
	case req.Method == sip.PRACK:
		c.refuse(ev, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
	default:
		c.later(ev)
	}
}

func (c *call) onEndAlone(event) { c.hangUpAlone("SIP;cause=503;text=\"Shutting down\"") }

// asKnown is a leg's identity as the other leg's peer knows it: to a caller that
// was answered by us, the called party has our tag.
func (c *call) asKnown(l *leg) string {
	if c.ring == nil || l != c.b {
		return l.identity
	}
	return retagged(l.identity, tagOf(l.identity), c.ring.tag)
}

// exchangeTags gives a message the tags that its receiver knows.
func (c *call) exchangeTags(m message, to *leg) {
	takes(m, c.keysTaken())
	if to.aware || to.origin.shift > 0 {
		takes(m, toldOfRecording)
	}
	if c.ring == nil {
		return
	}
	takes(m, ownDialog)
	theirs, ours := tagOf(c.b.identity), c.ring.tag
	if to == c.b {
		theirs, ours = ours, theirs
	}
	for _, h := range m.Headers() {
		switch fullName(h) {
		case "from", "to":
			m.ReplaceHeader(spelled(h, retagged(h.Value(), theirs, ours)))
		case "replaces", "refer-to", "target-dialog":
			if theirs != "" && strings.Contains(h.Value(), c.callID) {
				m.ReplaceHeader(spelled(h, strings.ReplaceAll(h.Value(), theirs, ours)))
			}
		}
	}
}

// retagged puts another tag into a From or To value that has that one, or none.
func retagged(v, was, is string) string {
	na := parseNameAddr(v)
	switch tag := tagOf(v); {
	case tag == "" && was == "" && is != "":
		return v + ";tag=" + is
	case tag == was && was != "":
		at := len(v) - len(na.params)
		return v[:at] + strings.Replace(na.params, was, is, 1)
	}
	return v
}
