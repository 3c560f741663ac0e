package proxy

import (
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// maxRinging is timer C (RFC 3261 section 16.6 item 11): an INVITE that rings
// for longer without any news is given up.
const maxRinging = 3*time.Minute + 5*time.Second

// start passes the INVITE on.
func (c *call) start(tx *serverTx) {
	c.respond(c.a, tx, newResponse(tx.req, tx.from, sip.StatusTrying, "Trying", ""))
	c.log.Info("call", "direction", string(c.dir), "policy", c.policyName())
	if c.untried = tx.ways(c.b.side); len(c.untried) > 0 {
		c.b.socket = c.untried[0].by
	}
	c.anchor()
	c.inv = &invite{from: c.a, to: c.b, tx: tx, offered: hasSDP(tx.req)}
	c.inv.number = c.b.cseq.pass(tx.req)
	if c.refusesInsecure(event{leg: c.a, tx: tx}) {
		c.outcome = "refused"
		c.end()
		return
	}
	if c.ringsFirst(tx.req) {
		c.startAlone(tx)
		return
	}
	body := c.offerFrom(c.a, tx.req)
	c.inv.build = func(w way) *sip.Request {
		return relayRequest(tx.req, tx.req.Recipient, hop{via: w.via(), contact: w.by.contact,
			routes: c.a.socket.routesOn(tx.req), maxHops: maxHops(tx.req), body: body})
	}
	if !c.attempt() {
		c.unreachable()
	}
}

// unreachable: no peer can even be sent to.
func (c *call) unreachable() {
	c.respond(c.a, c.inv.tx, newResponse(c.inv.tx.req, c.inv.tx.from, sip.StatusServiceUnavailable, "Service Unavailable", ""))
	c.end()
}

// attempt sends the INVITE the next way there is. If nothing is heard within
// the trunk's patience and there is another, that is tried (RFC 3263 section
// 4.3).
func (c *call) attempt() bool {
	for len(c.untried) > 0 {
		w := c.untried[0]
		c.untried = c.untried[1:]
		c.inv.attempt++
		n := c.inv.attempt
		c.b.source, c.b.socket = w.to, w.by
		reply := func(res *sip.Response) { c.inviteReply(n, res) }
		if !c.sendInvite(c.inv, w, c.inv.build, reply) {
			continue
		}
		c.restartTimerC()
		if len(c.untried) > 0 {
			c.inv.patience = c.after(c.b.side.trunk.patience(), func() {
				if c.inv.attempt == n && (c.state == setup || c.state == calling) && !c.inv.provisional {
					c.failOver("no answer", 0)
				}
			})
		}
		return true
	}
	return false
}

// failOver tries the next way; false if there is none. down is for how long the
// peer is to be left alone.
func (c *call) failOver(why string, down time.Duration) bool {
	if len(c.untried) == 0 {
		return false
	}
	at := c.inv.way.to
	c.log.Warn("trying another peer", "peer", at.String(), "why", why)
	c.b.side.up.failed(at, down)
	c.inv.given = append(c.inv.given, given{c.inv.client, c.inv.way, c.inv.attempt, false})
	c.gate.metrics.failovers.WithLabelValues(c.b.side.trunk.Name, c.b.side.name()).Inc()
	return c.attempt()
}

func (c *call) policyName() string {
	if c.policy == nil {
		return ""
	}
	return c.policy.Name
}

// routesOn returns a request's Route set without the entry that led to us
// (RFC 3261 section 16.4).
func (t *transport) routesOn(req *sip.Request) []string {
	routes := list(req, "route")
	if len(routes) > 0 {
		if at := splitURI(parseNameAddr(routes[0]).uri).hostport; at == t.hostport || at == t.local.String() {
			return routes[1:]
		}
	}
	return routes
}

// inviteReply turns the responses of an attempt into events of the call.
func (c *call) inviteReply(attempt int, res *sip.Response) {
	kind := evRefusal
	switch {
	case res != nil && res.IsProvisional():
		kind = evProvisional
	case res != nil && res.IsSuccess():
		kind = evAnswer
	}
	c.postReply(res, event{kind: kind, leg: c.b, res: res, attempt: attempt})
}

// lateReply takes what a peer says that was given up for another: it is
// cancelled, and hung up if it answered all the same.
func (c *call) lateReply(attempt int, res *sip.Response) {
	for i := range c.inv.given {
		g := &c.inv.given[i]
		switch {
		case g.attempt != attempt || res == nil:
		case res.IsProvisional() && !g.cancelled:
			g.cancelled = true
			c.cancelOf(g.client, g.way, "")
		case res.IsSuccess():
			c.hangUpFork(res, g.way)
		}
	}
}

func (c *call) restartTimerC() {
	if c.inv.timerC != nil {
		c.inv.timerC.Stop()
	}
	c.inv.timerC = c.after(maxRinging, func() {
		switch c.state {
		case setup, ringing:
			c.giveUp(sip.StatusRequestTimeout, "Request Timeout", "")
		case calling:
			c.hangUpAlone("SIP;cause=408;text=\"Request Timeout\"")
		}
	})
}

func (c *call) onProvisional(ev event) {
	c.inv.provisional = true
	if ev.res.StatusCode == sip.StatusTrying {
		return // hop by hop; the caller has ours
	}
	c.restartTimerC()
	c.meet(ev.res)
	c.state = ringing
	back := c.back(c.inv, ev.res)
	c.keepAnswer(ev.res)
	c.respond(c.a, c.inv.tx, back)
}

func reversed(in []string) []string {
	out := make([]string, 0, len(in))
	for i := len(in) - 1; i >= 0; i-- {
		out = append(out, in[i])
	}
	return out
}

// back makes the response for who sent the INVITE from the one that came.
func (c *call) back(inv *invite, res *sip.Response) *sip.Response {
	out := relayResponse(res, hop{contact: inv.tx.by.contact, vias: received(inv.tx.req, inv.tx.from),
		recorded: headers(inv.tx.req, "record-route"), cseq: cseqOf(inv.tx.req), body: c.replyBody(inv, res)})
	c.exchangeTags(out, inv.from)
	return out
}

// onAnswer: the called party is there. The caller gets the 2xx at once, so
// that both can hear us; who must consent is asked when both dialogs stand.
func (c *call) onAnswer(ev event) {
	c.inv.timerC.Stop()
	c.meet(ev.res)
	c.b.asserted = asserted(ev.res)
	c.answered, c.outcome = true, "answered"
	body := c.back(c.inv, ev.res)
	c.win(ev.res)
	c.timeSession(c.a, ev.res)
	if c.asks() {
		c.media.relay.Gate()
	}
	c.state = answered
	if c.inv.offered {
		c.ackAnswer(c.inv, ev.res, nil)
	} else {
		c.inv.unacked = ev.res // the answer to its offer is in the caller's ACK
	}
	c.accept(c.inv, body)
}

func (c *call) onRefusal(ev event) {
	c.inv.timerC.Stop()
	if c.state == setup && c.failsOver(ev.res) {
		return
	}
	switch {
	case ev.res == nil && c.inv.client.broken.Load():
		c.outcome = "failed"
		c.respond(c.a, c.inv.tx, newResponse(c.inv.tx.req, c.inv.tx.from, sip.StatusServiceUnavailable, "Service Unavailable", ""))
	case ev.res == nil:
		c.outcome = "timeout"
		c.respond(c.a, c.inv.tx, newResponse(c.inv.tx.req, c.inv.tx.from, sip.StatusRequestTimeout, "Request Timeout", ""))
	default:
		c.outcome = outcomeOf(ev.res.StatusCode)
		c.respond(c.a, c.inv.tx, c.back(c.inv, ev.res))
	}
	c.end()
}

// failsOver reports whether a failure is the peer's, not the call's, and another
// peer was found to try (RFC 3263 section 4.3: a 503, or no answer at all).
func (c *call) failsOver(res *sip.Response) bool {
	switch {
	case res == nil:
		return c.failOver("no answer", 0)
	case res.StatusCode == sip.StatusServiceUnavailable:
		return c.failOver("503", retryAfter(res))
	}
	return false
}

// retryAfter is for how long a peer wants to be left alone; 0 if it doesn't say
// (RFC 3261 section 20.33).
func retryAfter(res *sip.Response) time.Duration {
	digits, _, _ := strings.Cut(header(res, "retry-after"), ";")
	digits, _, _ = strings.Cut(digits, "(")
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// outcomeOf sorts a final status into a metric's few labels.
func outcomeOf(status int) string {
	switch {
	case status < 400:
		return "redirected"
	case status == sip.StatusUnauthorized, status == sip.StatusProxyAuthRequired:
		return "challenged"
	case status == sip.StatusRequestTerminated:
		return "cancelled"
	case status >= 500 && status < 600:
		return "failed"
	}
	return "refused"
}

// onCancel: the caller gave up. It gets its 487 at once; the called party is
// cancelled as soon as that is allowed (RFC 3261 section 9.1).
func (c *call) onCancel(ev event) {
	c.outcome = "cancelled"
	c.inv.reason = header(ev.req, "reason")
	c.giveUp(sip.StatusRequestTerminated, "Request Terminated", c.inv.reason)
}

// giveUp ends a call that wasn't answered: a final response to the caller and a
// CANCEL to the called party.
func (c *call) giveUp(status int, reason, cause string) {
	c.inv.timerC.Stop()
	c.inv.reason = cause
	tag := tagOf(c.b.identity) // of the early dialog the caller knows, if any
	c.respond(c.a, c.inv.tx, newResponse(c.inv.tx.req, c.inv.tx.from, status, reason, tag))
	c.state = ending
	c.inv.cancelled = true
	if c.inv.provisional {
		c.sendCancel(c.inv)
	}
	c.after(lifetime, c.endNow)
}

func (c *call) onEndEarly(ev event) {
	c.giveUp(sip.StatusServiceUnavailable, "Service Unavailable", "")
	c.onEndEnding(ev)
}

// onEndEnding: the gate stops, so a far end that is dead isn't waited for as
// long as the protocol would.
func (c *call) onEndEnding(event) { c.after(lastWords, c.endNow) }

// onEarlyBye: a caller may end an early dialog with BYE (RFC 3261 section 15).
func (c *call) onEarlyBye(ev event) {
	if ev.leg != c.a {
		c.refuse(ev, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	c.refuse(ev, sip.StatusOK, "OK")
	c.outcome = "cancelled"
	c.giveUp(sip.StatusRequestTerminated, "Request Terminated", header(ev.tx.req, "reason"))
}

func (c *call) onProvisionalEnding(event) {
	if c.inv.cancelled && !c.inv.provisional {
		c.inv.provisional = true
		c.sendCancel(c.inv)
	}
}

// onAnswerEnding: the answer crossed the CANCEL. Nobody is there to talk to, so
// the answer is taken and the call ended (RFC 3261 section 9.1).
func (c *call) onAnswerEnding(ev event) {
	if !c.inv.cancelled {
		c.onFurtherAnswer(ev)
		return
	}
	c.meet(ev.res)
	c.ackAnswer(c.inv, ev.res, nil)
	c.sendBye(c.b, c.inv.reason, c.end)
}

func (c *call) onRefusalEnding(event) {
	if c.inv.cancelled {
		c.end()
	}
}
