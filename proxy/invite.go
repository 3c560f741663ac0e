package proxy

import (
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
)

// lifetime is 64*T1: how long anything unanswered is waited for (RFC 3261
// section 17, table 4).
const lifetime = 32 * time.Second

// invite is an INVITE passing through: the call's first or a later one.
type invite struct {
	from, to *leg
	tx       *serverTx // from its sender
	client   *clientTx // to its receiver
	way      way       // that it went
	build    func(way) *sip.Request
	attempt  int     // counts the ways tried
	given    []given // attempts that were given up
	patience *time.Timer
	number   uint32 // its CSeq for its receiver
	offered  bool   // it carries the offer; otherwise the 2xx does, and the ACK the answer

	provisional bool // something was heard, so it may be cancelled
	cancelled   bool
	reason      string // Reason of the CANCEL, for the other side
	timerC      *time.Timer

	ok      *sip.Response // our 2xx, repeated until acked
	again   time.Duration // to its next repetition
	waited  time.Duration
	repeat  *time.Timer
	acked   bool
	unacked *sip.Response // the far 2xx that waits for the ACK's answer
	ack     *sip.Request  // our ACK, repeated for each repeated 2xx
	ackTo   *path
	tag     string // of the 2xx that won
	another bool   // its sender says that somebody else speaks now
}

// given is an attempt that was given up for another.
type given struct {
	client    *clientTx
	way       way
	attempt   int
	cancelled bool
}

// sendInvite makes an INVITE for its way and sends it; reply gets its responses
// and must only post.
func (c *call) sendInvite(inv *invite, w way, build func(way) *sip.Request, reply func(*sip.Response)) bool {
	out, w := inv.to.side.compose(w, func(w way) *sip.Request {
		out := build(w)
		c.exchangeTags(out, inv.to)
		return out
	})
	client, err := w.by.tx.send(out, w.to, reply)
	if err != nil {
		c.log.Warn("passing on an INVITE", "error", err)
		return false
	}
	inv.client, inv.way = client, w
	return true
}

// respond sends a response to a leg's peer.
func (c *call) respond(l *leg, tx *serverTx, res *sip.Response) {
	if err := tx.respond(res); err != nil {
		c.log.Warn("passing back a response", "side", l.side.name(), "status", res.StatusCode, "error", err)
	}
}

// accept passes a 2xx back and repeats it until its ACK comes (RFC 3261 section
// 13.3.1.4: T1, doubled up to T2, for 64*T1; then the call is ended).
func (c *call) accept(inv *invite, ok *sip.Response) {
	inv.ok, inv.again = ok, sip.T1
	c.respond(inv.from, inv.tx, ok)
	inv.repeat = c.after(inv.again, func() { c.repeat2xx(inv) })
}

func (c *call) repeat2xx(inv *invite) {
	if inv.acked {
		return
	}
	inv.waited += inv.again
	if inv.waited >= 64*sip.T1 {
		c.log.Warn("a 2xx was never acknowledged")
		inv.acked = true // it is waited for no more
		c.sendByeLater()
		c.endBoth("SIP;cause=408;text=\"ACK timeout\"")
		return
	}
	c.respond(inv.from, inv.tx, inv.ok)
	inv.again = min(2*inv.again, sip.T2)
	inv.repeat = c.after(inv.again, func() { c.repeat2xx(inv) })
}

// ackAnswer acknowledges a 2xx of inv's receiver. ack is the sender's own ACK
// where it has come: its headers and its answer go along.
func (c *call) ackAnswer(inv *invite, res *sip.Response, ack *sip.Request) {
	l := inv.to
	if ack == nil {
		ack = bareAck(inv.tx.req, res)
	}
	uri, err := uriOf(l.target)
	if err != nil {
		uri = inv.tx.req.Recipient
	}
	body := c.answerFrom(inv.from, ack)
	out, w := l.side.compose(l.way(), func(w way) *sip.Request {
		out := relayRequest(ack, uri, hop{via: w.via(), contact: w.by.contact, routes: l.routes,
			maxHops: maxHops(ack), cseq: inv.number, body: body})
		c.exchangeTags(out, l)
		return out
	})
	inv.tag = tagOf(header(res, "to"))
	inv.ack, inv.ackTo, inv.unacked = out, w.by.endpoint.to(w.to), nil
	if inv.client != nil {
		inv.client.ack.Store(&ack2xx{inv.tag, out, inv.ackTo})
	}
	inv.sendAck(c)
}

func (inv *invite) sendAck(c *call) {
	if err := inv.ackTo.WriteMsg(inv.ack); err != nil {
		c.log.Warn("sending an ACK", "error", err)
	}
}

// bareAck is an ACK of our own (RFC 3261 section 13.2.2.4): CSeq number and
// credentials of the INVITE, To of the response.
func bareAck(invite *sip.Request, res *sip.Response) *sip.Request {
	ack := sip.NewRequest(sip.ACK, invite.Recipient)
	for _, h := range invite.Headers() {
		switch fullName(h) {
		case "from", "call-id", "authorization", "proxy-authorization":
			ack.AppendHeader(h)
		}
	}
	ack.AppendHeader(sip.NewHeader("To", header(res, "to")))
	ack.AppendHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(cseqOf(invite)), 10)+" ACK"))
	return ack
}

// sendCancel cancels an INVITE sent on: its Request-URI, Via, route set and tags
// (RFC 3261 section 9.1).
func (c *call) sendCancel(inv *invite) { c.cancelOf(inv.client, inv.way, inv.reason) }

func (c *call) cancelOf(client *clientTx, w way, reason string) {
	req := client.req
	out := sip.NewRequest(sip.CANCEL, req.Recipient)
	for _, h := range req.Headers() {
		switch fullName(h) {
		case "via", "route", "from", "to", "call-id", "max-forwards":
			out.AppendHeader(h)
		case "cseq":
			out.AppendHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(cseqOf(req)), 10)+" CANCEL"))
		}
	}
	if reason != "" {
		out.AppendHeader(sip.NewHeader("Reason", reason))
	}
	out.SetBody(nil)
	if _, err := w.by.tx.send(out, w.to, func(*sip.Response) {}); err != nil {
		c.log.Warn("sending a CANCEL", "error", err)
	}
}

// onAck: the sender has our 2xx.
func (c *call) onAck(ev event) {
	inv := c.inv
	if c.re != nil && cseqOf(ev.req) == cseqOf(c.re.tx.req) && ev.leg == c.re.from {
		inv = c.re
	}
	if ev.leg != inv.from || cseqOf(ev.req) != cseqOf(inv.tx.req) || inv.acked || inv.ok == nil {
		return // a repeated ACK, or one of a transaction that is long over
	}
	inv.acked = true
	inv.repeat.Stop()
	if res := inv.unacked; res != nil {
		c.ackAnswer(inv, res, ev.req)
		if inv == c.re {
			c.settleParties(inv.from, inv.another, res)
		}
	}
	inv.from.offer, inv.to.offer = nil, nil // whoever made it, it is answered
	c.resume()
	if inv == c.re {
		c.re = nil
		c.last = inv
		return
	}
	if c.state == answered || c.state == alone {
		c.talk()
	}
	c.sendByeLater()
}

// onFurtherAnswer takes 2xx that come after the first: the same once more gets
// its ACK once more; another fork's is accepted and hung up at once, for there
// is nobody to talk to it (RFC 3261 section 13.2.2.4).
func (c *call) onFurtherAnswer(ev event) {
	if tag := tagOf(header(ev.res, "to")); tag == c.inv.tag || c.inv.tag == "" {
		if c.inv.ack != nil {
			c.inv.sendAck(c)
		}
		return
	}
	c.hangUpFork(ev.res, c.inv.way)
}

// hangUpFork accepts a 2xx that nobody will talk to, and hangs up.
func (c *call) hangUpFork(res *sip.Response, w way) {
	fork := &leg{call: c, side: c.b.side, socket: w.by, party: c.b.party, source: w.to,
		identity: header(res, "to"), routes: reversed(list(res, "record-route")), cseq: &numbers{sent: c.inv.number}}
	fork.learn(res)
	extra := &invite{from: c.inv.from, to: fork, tx: c.inv.tx, number: c.inv.number}
	c.ackAnswer(extra, res, nil)
	c.sendBye(fork, "", func() {})
}

// onStray2xx repeats the ACK of a 2xx that is repeated after its transaction.
func (c *call) onStray2xx(ev event) {
	for _, inv := range []*invite{c.inv, c.re, c.last} {
		if inv != nil && inv.ack != nil && ev.leg == inv.to && cseqOf(ev.res) == inv.number {
			inv.sendAck(c)
			return
		}
	}
	if c.said != nil && ev.leg == c.said.to && cseqOf(ev.res) == c.said.number {
		c.repeatAck(c.said)
	}
}
