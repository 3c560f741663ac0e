package proxy

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// resolve gives a request to one who registered through us the Request-URI that
// was registered, and the route there; it returns the way, or the zero way if it
// isn't for one of them. Called on the reader's goroutine, before anybody else
// has the request.
func (t *transport) resolve(req *sip.Request) way {
	u := splitURI(req.Recipient.String())
	if req.Method == sip.REGISTER || isOurPing(req) || !isOneOf(u, t.side.addresses()) {
		return way{}
	}
	far := t.side.other
	b, ok := t.side.gate.registrar.of(far).called(u)
	if !ok {
		return way{}
	}
	uri, err := uriOf(b.target(u))
	if err != nil {
		return way{}
	}
	req.Recipient = uri
	takes(req, retargeted)
	if len(b.Path) > 0 {
		routes := t.routesOn(req)
		for _, h := range headers(req, "route") {
			req.RemoveHeader(h.Name())
		}
		for _, p := range slices.Concat(b.Path, routes) {
			req.AppendHeader(sip.NewHeader("Route", p))
		}
	}
	return b.way(far)
}

// target is the registrant's URI for a request to u, with those parameters of u
// that the Contact didn't have.
func (b *Binding) target(u uriParts) string {
	own := splitURI(b.Contact)
	user, params := own.user, uriParams(own)
	if b.Alias.Bulk { // RFC 6140 section 7.1.1
		user, params = u.user, ""
		for _, p := range strings.Split(uriParams(own), ";") {
			if k, _, _ := strings.Cut(p, "="); k != "" && !strings.EqualFold(k, "bnc") {
				params += ";" + p
			}
		}
	}
	for _, p := range strings.Split(uriParams(u), ";") {
		k, _, _ := strings.Cut(p, "=")
		k = strings.ToLower(k)
		switch {
		case k == "", k == "transport", k == "maddr", k == "ttl": // of our address, not of the registrant's
		case b.Alias.Bulk && (k == "bnc" || k == tokenParam), hasParam(params, k):
		default:
			params += ";" + p
		}
	}
	return joinURI(own.scheme, user, own.hostport, params)
}

// way is how a registrant is reached: by its first Path or its Contact where that
// is an address of a peer, else where its REGISTER came from. The zero way if we
// don't listen there any more.
func (b *Binding) way(s *side) way {
	by := s.endpoint(b.Source)
	if by == nil {
		return way{}
	}
	l := &leg{side: s, socket: by, source: b.Source, target: b.Contact, routes: b.Path}
	if w := l.way(); s.accepts(w.to.Addr.Addr()) {
		return w
	}
	return way{by, b.Source}
}

// ways are those that a request may go: to the registrant that it is for, then to
// the side's peers. A PBX may have others that answer for one that is down.
func (s *serverTx) ways(far *side) []way {
	peers := far.routes(header(s.req, "call-id"))
	if s.to.by == nil {
		return peers
	}
	ways := []way{s.to}
	for _, w := range peers {
		if w.to.Addr != s.to.to.Addr {
			ways = append(ways, w)
		}
	}
	return ways
}
