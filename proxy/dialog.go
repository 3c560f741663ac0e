package proxy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
)

// byeGrace is how long a BYE waits for the far end's answer before we give our
// own: who hangs up is never kept on the line by a dead far end.
const byeGrace = time.Second

// lastWords is how long the gate waits for answers when it ends a call itself.
const lastWords = 2 * time.Second

// uriOf makes a Request-URI of a peer's Contact or the like.
func uriOf(s string) (sip.Uri, error) {
	u, ok := opaque(s)
	if !ok {
		return u, errors.New("it is no URI") // which may hold a number
	}
	return u, nil
}

// forward passes a request within the dialog on to the other leg; reply gets the
// final response, nil for none, on the call's goroutine. Provisional ones are
// passed back as they come.
func (c *call) forward(from *leg, tx *serverTx, body []byte, reply func(*sip.Response)) {
	to := from.other()
	uri, err := uriOf(to.target)
	if err != nil {
		c.respond(from, tx, newResponse(tx.req, tx.from, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist", ""))
		return
	}
	n := to.cseq.pass(tx.req)
	c.transact(to, func(w way) *sip.Request {
		out := relayRequest(tx.req, uri, hop{via: w.via(), contact: w.by.contact, routes: to.routes,
			maxHops: maxHops(tx.req), cseq: n, body: body})
		if c.re != nil && tx.req.Method == sip.PRACK {
			renumberRAck(out, cseqOf(c.re.tx.req), c.re.number)
		}
		return out
	}, func(res *sip.Response) {
		if res != nil && res.IsProvisional() {
			c.passBack(from, tx, res, nil)
			return
		}
		reply(res)
	}, func(err error) {
		c.log.Warn("passing on a request", "method", tx.req.Method, "error", err)
		c.respond(from, tx, newResponse(tx.req, tx.from, sip.StatusServiceUnavailable, "Service Unavailable", ""))
	})
}

// transact makes a request for a leg's peer and sends it; on gets its responses
// on the call's goroutine, nil if no final one came. It returns nil if the request
// can't be sent.
func (c *call) transact(to *leg, build func(way) *sip.Request, on func(*sip.Response), failed func(error)) *clientTx {
	out, w := to.side.compose(to.way(), func(w way) *sip.Request {
		out := build(w)
		c.exchangeTags(out, to)
		return out
	})
	client, err := w.by.tx.send(out, w.to, func(res *sip.Response) {
		c.postReply(res, event{kind: evReply, run: func() {
			if res != nil && to == c.b {
				c.focus(tagOf(header(res, "to")))
			} else if res != nil {
				c.focus(tagOf(header(res, "from")))
			}
			on(res)
		}})
	})
	if err != nil {
		failed(err)
	}
	return client
}

// passBack gives a response to who sent the request; nil is a timeout.
func (c *call) passBack(from *leg, tx *serverTx, res *sip.Response, body []byte) {
	if res == nil {
		c.respond(from, tx, newResponse(tx.req, tx.from, sip.StatusRequestTimeout, "Request Timeout", ""))
		return
	}
	if body == nil {
		body = res.Body()
	}
	out := relayResponse(res, hop{contact: tx.by.contact, vias: received(tx.req, tx.from),
		recorded: headers(tx.req, "record-route"), cseq: cseqOf(tx.req), body: body})
	c.exchangeTags(out, from)
	c.respond(from, tx, out)
}

// onRequest passes on whatever the gate has no business with, but for a key
// pressed by SIP INFO while its party is being asked.
func (c *call) onRequest(ev event) {
	if ev.tx.req.Method == sip.UPDATE && hasSDP(ev.tx.req) && c.own != nil {
		if ev.leg == c.own.to { // RFC 3311 section 5.2
			c.refuse(ev, sip.StatusRequestPending, "Request Pending")
		} else {
			c.await(ev)
		}
		return
	}
	if press, ok := infoKey(ev.tx.req); ok && c.law.session != nil {
		ours := c.law.keys[ev.leg.party] // before the key changes it
		c.consent(consent.Event{Kind: consent.KeyPressed, Party: ev.leg.party, Press: press})
		if ours {
			c.refuse(ev, sip.StatusOK, "OK")
			return
		}
	}
	another := ev.leg.recognise(ev.tx.req)
	if another {
		c.suspect("another identity is asserted")
	}
	if hasSDP(ev.tx.req) {
		c.onOfferInRequest(ev, another)
		return
	}
	if isTargetRefresh(ev.tx.req) {
		ev.leg.learn(ev.tx.req)
	}
	c.forward(ev.leg, ev.tx, ev.tx.req.Body(), func(res *sip.Response) {
		if res != nil && res.IsSuccess() && ev.tx.req.Method == sip.UPDATE {
			ev.leg.other().learn(res)
			c.timeSession(ev.leg, res)
		}
		c.subscribed(ev.leg, ev.tx.req, res)
		c.passBack(ev.leg, ev.tx, res, nil)
		c.settleParties(ev.leg, another, res)
		if ev.tx.req.Method == sip.REFER && res != nil && res.IsSuccess() {
			c.suspect("a transfer was accepted")
		}
		if transferFailed(ev.tx.req) && c.law.session != nil {
			c.consent(consent.Event{Kind: consent.Resume, Reason: consent.ByTransfer})
		}
	})
}

// settleParties acts on who speaks, once a request within the dialog has been
// answered: another is who its sender said it was, or who answered it.
func (c *call) settleParties(from *leg, another bool, res *sip.Response) {
	if another {
		c.partyChanged(from)
	}
	if res != nil && res.IsSuccess() && from.other().recognise(res) {
		c.partyChanged(from.other())
	}
}

// onOfferInRequest passes on an UPDATE (RFC 3311) or PRACK (RFC 3262) with SDP.
func (c *call) onOfferInRequest(ev event, another bool) {
	ev.leg.learn(ev.tx.req)
	from := ev.leg
	if far := from.other(); (far.offer != nil || far.direct) && ev.tx.req.Method == sip.PRACK {
		c.forward(from, ev.tx, c.answerFrom(from, ev.tx.req), func(res *sip.Response) { c.passBack(from, ev.tx, res, nil) })
		return
	}
	c.forward(from, ev.tx, c.offerFrom(from, ev.tx.req), func(res *sip.Response) {
		if res == nil || !res.IsSuccess() {
			from.offer = nil
			c.passBack(from, ev.tx, res, nil)
			c.settleParties(from, another, res)
			return
		}
		from.other().learn(res)
		if ev.tx.req.Method == sip.UPDATE {
			c.timeSession(from, res)
		}
		body := c.answerFrom(from.other(), res)
		from.offer = nil
		c.passBack(from, ev.tx, res, body)
		c.settleParties(from, another, res)
	})
}

func isTargetRefresh(req *sip.Request) bool {
	return req.Method == sip.UPDATE || req.Method == sip.INVITE
}

// onOffer passes on a re-INVITE. In every state: the far end is there, so it
// decides, also while a prompt plays.
func (c *call) onOffer(ev event) {
	switch {
	case c.re != nil && c.re.from == ev.leg && c.re.ok == nil: // RFC 3261 section 14.2
		c.refuse(ev, sip.StatusInternalServerError, "Server Internal Error", sip.NewHeader("Retry-After", "2"))
		return
	case c.unacknowledged(ev.leg), c.own != nil && c.own.to != ev.leg:
		c.await(ev)
		return
	case c.re != nil || !c.inv.acked || c.own != nil:
		c.refuse(ev, sip.StatusRequestPending, "Request Pending")
		return
	}
	from, to := ev.leg, ev.leg.other()
	another := from.recognise(ev.tx.req)
	if another {
		c.suspect("another identity is asserted")
	}
	uri, err := uriOf(to.target)
	if err != nil {
		c.refuse(ev, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	inv := &invite{from: from, to: to, tx: ev.tx, offered: hasSDP(ev.tx.req), another: another}
	body := c.offerFrom(from, ev.tx.req)
	inv.number = to.cseq.pass(ev.tx.req)
	c.re = inv
	if !c.sendInvite(inv, to.way(), func(w way) *sip.Request {
		return relayRequest(ev.tx.req, uri, hop{via: w.via(), contact: w.by.contact, routes: to.routes,
			maxHops: maxHops(ev.tx.req), cseq: inv.number, body: body})
	}, func(res *sip.Response) {
		c.postReply(res, event{kind: evReply, run: func() { c.offerReply(inv, res) }})
	}) {
		c.re = nil
		c.refuse(ev, sip.StatusServiceUnavailable, "Service Unavailable")
	}
}

// offerReply takes a re-INVITE's responses. A failed one leaves media as it was
// (RFC 3261 section 14.1).
func (c *call) offerReply(inv *invite, res *sip.Response) {
	switch {
	case res != nil && res.IsProvisional():
		first := !inv.provisional
		inv.provisional = true
		if inv.cancelled && first {
			c.sendCancel(inv)
		}
		if res.StatusCode != sip.StatusTrying {
			c.respond(inv.from, inv.tx, c.back(inv, res))
		}
	case inv.ok != nil: // a repetition
		if inv.ack != nil {
			inv.sendAck(c)
		}
	case res == nil || !res.IsSuccess():
		inv.from.offer = nil
		if c.re == inv {
			c.re = nil
		}
		c.passBack(inv.from, inv.tx, res, nil)
		c.settleParties(inv.from, inv.another, res)
	default:
		inv.to.learn(res)
		inv.from.learn(inv.tx.req)
		c.timeSession(inv.from, res)
		back := c.back(inv, res)
		if inv.offered {
			inv.from.offer = nil
			c.ackAnswer(inv, res, nil)
		} else {
			inv.unacked = res
		}
		c.accept(inv, back)
		if inv.offered {
			c.settleParties(inv.from, inv.another, res)
		}
	}
}

// onLaterCancel: a re-INVITE is being cancelled. The far end decides what it
// becomes, as without us.
func (c *call) onLaterCancel(ev event) {
	for i, w := range c.waiting {
		if w.tx == ev.tx {
			c.waiting = slices.Delete(c.waiting, i, i+1)
			c.refuse(w, sip.StatusRequestTerminated, "Request Terminated")
			return
		}
	}
	if c.re == nil || ev.tx != c.re.tx || c.re.ok != nil {
		return
	}
	c.re.reason, c.re.cancelled = header(ev.req, "reason"), true
	if c.re.provisional {
		c.sendCancel(c.re)
	}
}

// onBye: one side hangs up. Recording ends before anything else; the other side
// hears of it at once.
func (c *call) onBye(ev event) {
	if c.law.session != nil {
		c.consent(consent.Event{Kind: consent.HangUp})
	}
	if c.byeFrom != nil && c.byeFrom != ev.leg || c.inv.cancelled || c.ring != nil && !c.answered {
		c.refuse(ev, sip.StatusOK, "OK") // both hung up at once
		c.dropBye()
		return
	}
	c.byeFrom = ev.leg
	c.state = ending
	c.settleAck()
	c.after(byeGrace, func() { c.refuse(ev, sip.StatusOK, "OK") })
	if ev.leg == c.inv.to && c.inv.ok != nil && !c.inv.acked {
		// The caller may not have the 2xx yet, and would take a BYE for one of a
		// call that isn't there (RFC 3261 section 15).
		c.byeLater = func() { c.passBye(ev) }
		return
	}
	c.passBye(ev)
}

// settleAck acknowledges a 2xx whose ACK may not come any more.
func (c *call) settleAck() {
	for _, inv := range []*invite{c.inv, c.re} {
		if inv != nil && inv.unacked != nil {
			c.ackAnswer(inv, inv.unacked, nil)
		}
	}
}

// onEnd: the gate stops.
func (c *call) onEnd(event) { c.endBoth("SIP;cause=503;text=\"Shutting down\"") }

// endBoth hangs up on both sides.
func (c *call) endBoth(reason string) {
	switch c.state {
	case ending, ended:
		return
	case alone, calling:
		c.hangUpAlone(reason)
		return
	}
	if c.law.session != nil {
		c.consent(consent.Event{Kind: consent.HangUp, Reason: reason})
	}
	c.state = ending
	c.settleAck()
	left := 2
	done := func() {
		if left--; left == 0 {
			c.end()
		}
	}
	c.sendBye(c.a, reason, done)
	c.sendBye(c.b, reason, done)
	c.after(lastWords, c.endNow)
}

// sendBye sends a BYE of our own to a leg's peer, in the far end's name; done is
// called when it was answered or given up.
func (c *call) sendBye(l *leg, reason string, done func()) {
	uri, err := uriOf(l.target)
	if err != nil {
		c.log.Warn("hanging up", "error", "the remote target isn't a URI")
		done()
		return
	}
	cseq := l.cseq.next()
	c.transact(l, func(w way) *sip.Request {
		out := c.request(l, w, sip.BYE, uri, cseq)
		if reason != "" {
			out.AppendHeader(sip.NewHeader("Reason", reason))
		}
		return out
	}, func(res *sip.Response) {
		if res == nil || !res.IsProvisional() {
			done()
		}
	}, func(error) { done() })
}

// request is one of our own to a leg's peer, in the far end's name.
func (c *call) request(l *leg, w way, method sip.RequestMethod, uri sip.Uri, cseq uint32) *sip.Request {
	far := c.a.identity
	if l == c.a {
		far = c.asKnown(c.b)
	}
	out := sip.NewRequest(method, uri)
	out.AppendHeader(sip.NewHeader("Via", w.via()))
	for _, r := range l.routes {
		out.AppendHeader(sip.NewHeader("Route", r))
	}
	out.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	out.AppendHeader(sip.NewHeader("From", far))
	out.AppendHeader(sip.NewHeader("To", l.identity))
	out.AppendHeader(sip.NewHeader("Call-ID", c.callID))
	out.AppendHeader(sip.NewHeader("CSeq", fmt.Sprintf("%d %s", cseq, method)))
	out.SetBody(nil)
	return out
}
