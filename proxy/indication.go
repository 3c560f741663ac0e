package proxy

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/emiago/sipgo/sip"
)

// indication is a re-INVITE of our own. It tells a telephone that knows of
// recording that the call's state has changed (RFC 7866 section 9.1.2).
type indication struct {
	to     *leg
	number uint32
	client *clientTx
	ack    *sip.Request
	ackTo  *path
}

// indicate sends an indication if one is due and nothing else is under way that
// offers something: a second offer would be refused (RFC 3261 section 14.1).
func (c *call) indicate() {
	if c.state != gated && c.state != bridged || c.own != nil || c.spell != nil || c.re != nil || !c.inv.acked || c.inv.ack == nil {
		return
	}
	for _, l := range []*leg{c.a, c.b} {
		if l.offer != nil {
			return
		}
	}
	for _, l := range []*leg{c.a, c.b} {
		if l.told.body != nil && !l.deaf && (l.refresh || l.aware && !c.silent() && l.told.says() != c.recording()) {
			c.sendIndication(l)
			return
		}
	}
}

func (c *call) sendIndication(l *leg) {
	uri, err := uriOf(l.target)
	if err != nil {
		l.deaf = true
		return
	}
	own := &indication{to: l, number: l.cseq.next()}
	l.seal.owes = false
	l.offered = c.tell(l, l.told.from)
	l.refresh = false
	c.own = own
	own.client = c.transact(l, func(w way) *sip.Request {
		out := c.request(l, w, sip.INVITE, uri, own.number)
		out.AppendHeader(sip.NewHeader("Contact", ourContact("<"+l.other().target+">", w.by.contact)))
		c.keepTimer(out, l)
		out.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		out.SetBody(l.offered.body)
		return out
	}, func(res *sip.Response) { c.indicated(own, res) }, func(err error) {
		c.log.Warn("sending a re-INVITE", "error", err)
		c.indicated(own, nil)
	})
}

// keepTimer refreshes the session timer with what was agreed on (RFC 4028
// section 7.4): a re-INVITE that doesn't name it would end it.
func (c *call) keepTimer(out *sip.Request, to *leg) {
	if c.expiry == nil {
		return
	}
	refresher := "uac"
	if c.refresher == to {
		refresher = "uas"
	}
	out.AppendHeader(sip.NewHeader("Supported", "timer"))
	out.AppendHeader(sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=%s", int(c.interval.Seconds()), refresher)))
}

// indicated takes the responses. Who refuses isn't told again, but for glare:
// then it is tried again after the time of RFC 3261 section 14.1.
func (c *call) indicated(own *indication, res *sip.Response) {
	l := own.to
	switch {
	case res != nil && res.IsProvisional():
		return
	case c.own != own: // a repeated 2xx
		c.repeatAck(own)
		return
	case res != nil && res.IsSuccess():
		l.learn(res)
		c.acknowledge(own, res)
		c.agreed(own, res)
	case res != nil && res.StatusCode == sip.StatusRequestPending:
		l.offered = told{}
		c.spell = c.after(glareTime(l == c.b), func() { c.spell = nil })
	default:
		l.offered, l.deaf = told{}, true
		c.log.Warn("a party's telephone refused to be told of recording", "side", l.side.name())
	}
	c.own, c.said = nil, own
	c.resume()
}

// agreed puts the answer into force.
func (c *call) agreed(own *indication, res *sip.Response) {
	l := own.to
	if c.endsInsecure(l, res) {
		return
	}
	if s := c.describe(l, res); s != nil {
		if far := l.other().sdp; far != nil {
			s.Follow(far)
		}
		l.sdp = s
		l.seal.noteAnswer()
		c.applyMedia()
	}
	l.answered()
	if c.expiry == nil {
		return
	}
	c.restartExpiry(c.interval)
	// Who refreshes counts from here on; who waits for refreshes must, too.
	l.other().refresh = c.refresher == l
}

// glareTime is how long to wait after 491. Towards the called party the gate
// stands for who made the Call-ID.
func glareTime(owner bool) time.Duration {
	const unit = 10 * time.Millisecond
	if owner {
		return 2100*time.Millisecond + time.Duration(rand.IntN(191))*unit
	}
	return time.Duration(rand.IntN(201)) * unit
}

// acknowledge sends the ACK of a 2xx to an indication.
func (c *call) acknowledge(own *indication, res *sip.Response) {
	l := own.to
	uri, err := uriOf(l.target)
	if err != nil {
		return // the 2xx had no Contact that can be read, nor had any before
	}
	w := l.way()
	own.ack, own.ackTo = c.request(l, w, sip.ACK, uri, own.number), w.by.endpoint.to(w.to)
	if own.client != nil {
		own.client.ack.Store(&ack2xx{tagOf(header(res, "to")), own.ack, own.ackTo})
	}
	c.repeatAck(own)
}

func (c *call) repeatAck(own *indication) {
	if own.ack == nil {
		return
	}
	if err := own.ackTo.WriteMsg(own.ack); err != nil {
		c.log.Warn("sending an ACK", "error", err)
	}
}
