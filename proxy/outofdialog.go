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
		if tx.to.by == nil && isOurPing(req) {
			t.answerOptions(tx)
			return
		}
	case sip.BYE, sip.PRACK, sip.UPDATE, sip.INFO: // make no sense without a dialog
		t.answer(tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	ways := tx.ways(t.side.other)
	if len(ways) == 0 {
		t.answer(tx, sip.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	if req.Method == sip.REGISTER {
		t.passRegister(tx, ways[0])
		return
	}
	o := onward{way: ways[0], uri: req.Recipient, routes: t.routesOn(req)}
	if req.Method == sip.SUBSCRIBE || req.Method == sip.REFER {
		o.heard = t.subscribe(tx, o)
	}
	t.passOn(tx, o)
}

// isOurPing tells whether a request asks whether the gate itself is there.
func isOurPing(req *sip.Request) bool {
	return req.Method == sip.OPTIONS && splitURI(req.Recipient.String()).user == ""
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

// onward is where a request outside of calls goes, and what else becomes of it.
type onward struct {
	way    way
	uri    sip.Uri
	routes []string
	cseq   uint32 // its number for the receiver; 0: as it is

	asking  func(contact string) func(string) string // makes Contact values of the request with our address; nil: as ever
	telling func(string) string                      // makes Contact values of responses; nil: our address
	without string                                   // a header that stays on its side; "": none
	heard   func(res, back *sip.Response)            // gets each response and what is passed back, before it is; nil, nil: none came
}

// passOn sends a request to the other side and its responses back.
func (t *transport) passOn(tx *serverTx, o onward) {
	out, w := o.way.by.side.compose(o.way, func(w way) *sip.Request { return t.onwards(tx, o, w) })
	heard := o.heard
	if heard == nil {
		heard = func(_, _ *sip.Response) {}
	}
	back := func(res *sip.Response) {
		if res == nil {
			heard(nil, nil)
			t.answer(tx, sip.StatusRequestTimeout, "Request Timeout")
			return
		}
		if res.StatusCode == sip.StatusTrying {
			return
		}
		out := relayResponse(res, hop{contact: t.contact, contacts: o.telling, vias: received(tx.req, tx.from),
			recorded: headers(tx.req, "record-route"), cseq: cseqOf(tx.req), body: res.Body()})
		heard(res, out)
		if err := tx.respond(out); err != nil {
			t.side.gate.log.Warn("passing back a response", "error", err)
		}
	}
	if _, err := w.by.tx.send(out, w.to, back); err != nil {
		heard(nil, nil)
		t.answer(tx, sip.StatusServiceUnavailable, "Service Unavailable")
	}
}

// onwards makes the other side's request.
func (t *transport) onwards(tx *serverTx, o onward, w way) *sip.Request {
	h := hop{via: w.via(), contact: w.by.contact, routes: o.routes, maxHops: maxHops(tx.req), cseq: o.cseq, body: t.registrantsIn(tx.req)}
	if o.asking != nil {
		h.contacts = o.asking(w.by.contact)
	}
	out := relayRequest(tx.req, o.uri, h)
	for _, x := range headers(out, o.without) {
		out.RemoveHeader(x.Name())
	}
	return out
}
