package proxy

import "github.com/emiago/sipgo/sip"

// Offers that come too early for their receiver wait for a moment. Without the
// gate they would have come later, or not have met what they meet here.

// unacknowledged reports whether that leg's peer has had the ACK of its 2xx from
// us, while the other side's own is still under way: to the peer the INVITE is
// over (RFC 3261 section 14.1), to the other side it isn't.
func (c *call) unacknowledged(l *leg) bool {
	for _, inv := range []*invite{c.inv, c.re} {
		if inv != nil && inv.to == l && inv.ok != nil && inv.ack != nil && !inv.acked {
			return true
		}
	}
	return false
}

// await keeps an offer until resume. One at a time: who sends a second one before
// the first is answered is told to come again (RFC 3261 section 14.2).
func (c *call) await(ev event) {
	if len(c.waiting) > 0 {
		c.refuse(ev, sip.StatusInternalServerError, "Server Internal Error", sip.NewHeader("Retry-After", "2"))
		return
	}
	c.waiting = append(c.waiting, ev)
}

// resume has the offers that waited come anew.
func (c *call) resume() {
	waiting := c.waiting
	c.waiting = nil
	for _, ev := range waiting {
		c.post(ev)
	}
}
