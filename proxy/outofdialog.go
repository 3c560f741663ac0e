package proxy

import (
	"github.com/emiago/sipgo/sip"
)

// outOfDialog handles requests that belong to no call: an OPTIONS to the gate
// itself is answered with the truth about the other side, anything else is
// passed on as it is.
func (t *transport) outOfDialog(tx *serverTx) {
	req := tx.req
	switch req.Method {
	case sip.OPTIONS:
		if splitURI(req.Recipient.String()).user == "" {
			t.answerOptions(tx)
			return
		}
	case sip.BYE, sip.PRACK, sip.UPDATE, sip.INFO: // make no sense without a dialog
		t.answer(tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	t.passOn(tx)
}

// answerOptions says whether calls are taken (RFC 3261 section 11.2).
func (t *transport) answerOptions(tx *serverTx) {
	g := t.side.gate
	if g.draining.Load() || !t.side.other.anyUp() {
		t.answer(tx, sip.StatusServiceUnavailable, "Service Unavailable", sip.NewHeader("Retry-After", "30"))
		return
	}
	t.answer(tx, sip.StatusOK, "OK",
		sip.NewHeader("Contact", "<sip:"+t.contact+">"),
		sip.NewHeader("Accept", "application/sdp"),
		sip.NewHeader("Allow", allowed))
}

// passOn sends a request to the other side's peer and its responses back.
func (t *transport) passOn(tx *serverTx) {
	far := t.side.other
	ways := far.routes()
	if len(ways) == 0 {
		t.answer(tx, sip.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	out, w := far.compose(ways[0], func(w way) *sip.Request {
		return relayRequest(tx.req, tx.req.Recipient, hop{via: w.via(), contact: w.by.contact,
			routes: t.routesOn(tx.req), maxHops: maxHops(tx.req), body: tx.req.Body()})
	})
	back := func(res *sip.Response) {
		if res == nil {
			t.answer(tx, sip.StatusRequestTimeout, "Request Timeout")
			return
		}
		if res.StatusCode == sip.StatusTrying {
			return
		}
		out := relayResponse(res, hop{contact: t.contact, vias: received(tx.req, tx.from),
			recorded: headers(tx.req, "record-route"), body: res.Body()})
		if err := tx.respond(out); err != nil {
			t.side.gate.log.Warn("passing back a response", "error", err)
		}
	}
	if _, err := w.by.tx.send(out, w.to, back); err != nil {
		t.answer(tx, sip.StatusServiceUnavailable, "Service Unavailable")
	}
}
