package proxy

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Place is one place to send SIP to.
type Place struct {
	Transport string // udp, tcp or tls
	Addr      netip.AddrPort
	Name      string // the domain that a certificate must be for (RFC 5922 section 4); "" without TLS
}

// String is the place as metrics and logs name it.
func (p Place) String() string {
	if p.Transport == "udp" {
		return p.Addr.String()
	}
	return p.Addr.String() + ";transport=" + p.Transport
}

// way is how a request reaches a peer: by which of our sockets, and where to.
type way struct {
	by *transport
	to Place
}

// placeOf is where a URI points, if it names an IP address: transport and port
// default as RFC 3263 sections 4.1 and 4.2 say.
func placeOf(uri string) (Place, bool) {
	u := splitURI(uri)
	at, explicit, ok := u.address()
	if !ok {
		return Place{}, false
	}
	params, _, _ := strings.Cut(u.rest, "?")
	p := Place{Transport: strings.ToLower(param(params, "transport")), Addr: at}
	switch {
	case strings.EqualFold(u.scheme, "sips"):
		p.Transport = "tls"
	case p.Transport == "":
		p.Transport = "udp"
	}
	if p.Transport == "tls" && !explicit {
		p.Addr = netip.AddrPortFrom(at.Addr(), 5061)
	}
	return p, true
}

// endpoint is the side's socket that can reach a place; nil if it has none.
func (s *side) endpoint(p Place) *transport {
	for _, t := range s.endpoints {
		if t.transport == p.Transport && t.local.Addr().Is4() == p.Addr.Addr().Is4() {
			return t
		}
	}
	return nil
}

// way is how a request reaches the leg's peer now: by the first route or the
// remote target if that is an IP address that a socket of ours can reach, else
// where its messages come from. A connection that its messages come by is used
// again rather than another opened to the same host (RFC 5923).
func (l *leg) way() way {
	here := way{l.socket, l.source}
	if l.side.conf.NAT {
		return here // what it calls itself leads nowhere (RFC 3581)
	}
	uri := l.target
	if len(l.routes) > 0 {
		uri = parseNameAddr(l.routes[0]).uri
	}
	to, ok := placeOf(uri)
	if !ok {
		return here
	}
	if to.Transport == l.source.Transport && to.Addr.Addr() == l.source.Addr.Addr() && l.socket.sock.connected(l.source.Addr) {
		return here
	}
	by := l.side.endpoint(to)
	if by == nil {
		return here
	}
	if to.Transport == "tls" {
		to.Name = l.side.nameOf(to.Addr.Addr())
	}
	return way{by, to}
}

// nameOf is the domain that a peer's certificate must be for.
func (s *side) nameOf(a netip.Addr) string {
	name := ""
	for _, p := range s.places() {
		if p.Addr.Addr() == a && p.Name != "" {
			return p.Name
		}
		if name == "" {
			name = p.Name
		}
	}
	return name
}

// via is our Via for a request that goes that way.
func (w way) via() string {
	return "SIP/2.0/" + strings.ToUpper(w.by.transport) + " " + w.by.hostport + ";branch=" + newBranch() + ";rport"
}

// maxUDP is the size over which a request should go by a stream, in bytes (RFC
// 3261 section 18.1.1).
const maxUDP = 1300

// compose makes a request for its way. A large one takes a stream where the peer
// offers one; else it is sent as it is, and IP cuts it into fragments.
func (s *side) compose(w way, build func(way) *sip.Request) (*sip.Request, way) {
	out := build(w)
	if w.to.Transport != "udp" || len(wire(out)) <= maxUDP {
		return out, w
	}
	for _, p := range s.places() {
		if p.Transport == "udp" || p.Addr.Addr() != w.to.Addr.Addr() {
			continue
		}
		if by := s.endpoint(p); by != nil {
			w = way{by, p}
			return build(w), w
		}
	}
	return out, w
}

// routes are the ways to the side's peers in the order in which a call tries them:
// those that answer first. Those believed to be down come last, for belief may be
// wrong.
func (s *side) routes(callID string) []way {
	var up, down []way
	for _, p := range s.inOrder(callID) {
		by := s.endpoint(p)
		switch {
		case by == nil: // of a transport or family that we don't listen on
		case s.up.is(p):
			up = append(up, way{by, p})
		default:
			down = append(down, way{by, p})
		}
	}
	return append(up, down...)
}
