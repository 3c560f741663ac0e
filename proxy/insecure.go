package proxy

import (
	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
	"consentgate/proxy/sdp"
)

// What becomes of descriptions without the keys that a side must have.

// strict reports whether a leg must not be without SRTP. Calls of bypass
// policies may: an emergency call isn't refused for want of keys.
func (l *leg) strict() bool {
	p := l.call.policy
	return l.mode() == SRTPRequired && (p == nil || p.Action != consent.Bypass)
}

// admissible reports whether a description of l's peer, if there is one in m,
// may be put into force. answers says that it answers an offer of ours.
func (c *call) admissible(l *leg, m message, answers bool) bool {
	far := l.other()
	if l.mode() == SRTPOff && far.mode() == SRTPOff || !hasSDP(m) {
		return true
	}
	strict := l.strict() || far.strict()
	s, err := sdp.Parse(sdpOf(m))
	if err != nil {
		return !strict && c.standing != between
	}
	p, ok := s.Protection()
	if !ok || p.Refused {
		return true
	}
	sealed := p.Sealed() && len(p.Crypto) > 0
	if !s.Carried() { // it passes as it is
		return c.standing != between && (!strict || sealed)
	}
	said := l.usable(p)
	c.decide(l, p, said)
	switch {
	case c.standing == aside:
		return !strict || sealed
	case len(said) > 0 && (!answers || !l.seal.answered(said).ours.Zero()):
		return true
	}
	return p.Clear() && !l.strict()
}

const insecure = "SIP;cause=488;text=\"SRTP is required\""

// refusesInsecure answers a request whose description may not be put into force.
func (c *call) refusesInsecure(ev event) bool {
	if ev.tx == nil || ev.leg == nil || c.admissible(ev.leg, ev.tx.req, false) {
		return false
	}
	c.countInsecure(ev.leg)
	c.refuse(ev, sip.StatusNotAcceptableHere, "Not Acceptable Here")
	return true
}

func (c *call) countInsecure(l *leg) {
	c.gate.metrics.rejected.WithLabelValues("no_srtp").Inc()
	c.log.Warn("a session description without keys for SRTP is refused", "side", l.side.name())
}

// dropsInsecure gives a call up that the called party answers without keys: it
// is hung up on, and the caller gets a 488.
func (c *call) dropsInsecure(ev event) bool {
	if ev.res == nil || ev.kind != evProvisional && ev.kind != evAnswer || c.state > calling || c.admissible(c.b, ev.res, c.inv.offered) {
		return false
	}
	c.countInsecure(c.b)
	c.outcome, c.inv.provisional = "refused", true
	if ev.kind == evAnswer {
		c.inv.timerC.Stop()
		c.hangUpFork(ev.res, c.inv.way)
	}
	switch {
	case c.state == calling && ev.kind == evAnswer:
		c.state = alone // nothing is left to cancel
		c.hangUpAlone(insecure)
	case c.state == calling:
		c.hangUpAlone(insecure)
	case ev.kind == evAnswer:
		c.respond(c.a, c.inv.tx, newResponse(c.inv.tx.req, c.inv.tx.from, sip.StatusNotAcceptableHere, "Not Acceptable Here", ""))
		c.end()
	default:
		c.giveUp(sip.StatusNotAcceptableHere, "Not Acceptable Here", "")
	}
	return true
}

// endsInsecure ends a call within which an answer comes without keys: it can't
// be refused any more.
func (c *call) endsInsecure(l *leg, m message) bool {
	if c.admissible(l, m, true) {
		return false
	}
	c.countInsecure(l)
	c.insecure = true
	c.post(event{kind: evTimer, run: func() {
		if c.state == setup || c.state == ringing {
			c.giveUp(sip.StatusNotAcceptableHere, "Not Acceptable Here", "")
			return
		}
		c.endBoth(insecure)
	}})
	return true
}
