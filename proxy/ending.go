package proxy

import (
	"time"

	"github.com/emiago/sipgo/sip"
)

// A call's end. Its parties may part while something that one of them asked is
// still unanswered: a re-INVITE that met a BYE, an INFO that the far end is slow
// to answer. Who asked is owed an answer, the far end's if it gives one.

// end: nothing is left to be done for the parties. The call goes as soon as all
// that was passed on is answered, and the 2xx among the answers acknowledged.
func (c *call) end() {
	if c.over || c.state == ended {
		return
	}
	c.over, c.state = true, ending
	c.resume()
	c.after(lifetime, c.endNow)
}

// limit ends the call when it has lasted for so long.
func (c *call) limit(most time.Duration) {
	c.after(most, func() {
		c.log.Info("the call is as long as calls may be")
		c.endBoth("SIP;cause=480;text=\"Call duration limit\"")
	})
}

// endNow is the call's last transition. What is unanswered by now gets 487 (RFC
// 3261 section 15.1.2).
func (c *call) endNow() { c.state = ended }

// conclude ends a call that waits for nothing any more.
func (c *call) conclude() {
	if !c.over || c.state == ended {
		return
	}
	for tx := range c.asked {
		if tx.final.Load() == 0 {
			return
		}
	}
	if c.own != nil {
		return // its 2xx is owed an ACK
	}
	for _, inv := range []*invite{c.inv, c.re} {
		if inv != nil && inv.ok != nil && !inv.acked {
			return // who sent it may not have the 2xx yet, though it hang up: its BYE may be of the early dialog
		}
	}
	c.endNow()
}

// ask notes a request that is owed an answer.
func (c *call) ask(l *leg, tx *serverTx) {
	for old := range c.asked {
		if old.final.Load() != 0 {
			delete(c.asked, old)
		}
	}
	c.asked[tx] = l
}

// abandon answers what nobody else will answer any more, and sees to it that no
// INVITE of the call waits for ever: one that rings has no end by itself.
func (c *call) abandon(status int, reason string) {
	for tx, l := range c.asked {
		if tx.final.Load() == 0 {
			l.socket.answer(tx, status, reason)
		}
	}
	if c.own != nil {
		c.own.client.leave()
	}
	for _, inv := range []*invite{c.inv, c.re} {
		if inv == nil {
			continue
		}
		inv.client.leave()
		for _, g := range inv.given {
			g.client.leave()
		}
	}
}

// leave ends a transaction that isn't answered within 64*T1: nobody waits for it
// (RFC 3261 section 9.1).
func (c *clientTx) leave() {
	if c != nil && !c.final.Load() {
		time.AfterFunc(lifetime, c.tx.Terminate)
	}
}

// onGone answers who hasn't heard yet that the call is over.
func (c *call) onGone(ev event) {
	c.refuse(ev, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
}

// sendByeLater passes on the BYE that waited for the caller's ACK.
func (c *call) sendByeLater() {
	if pass := c.byeLater; pass != nil {
		c.byeLater = nil
		pass()
	}
}

// dropBye: the caller hung up itself while the called party's BYE waited.
func (c *call) dropBye() {
	if c.byeLater != nil {
		c.byeLater = nil
		c.end()
	}
}

// passBye passes a BYE on; the call ends with its answer.
func (c *call) passBye(ev event) {
	c.forward(ev.leg, ev.tx, ev.tx.req.Body(), func(res *sip.Response) {
		if res == nil {
			c.refuse(ev, sip.StatusOK, "OK")
		} else {
			c.passBack(ev.leg, ev.tx, res, nil)
		}
		if res != nil && (res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired) {
			return // it will come again with credentials
		}
		c.end()
	})
	c.after(lifetime, c.endNow)
}
