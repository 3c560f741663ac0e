package locate

import (
	"net/netip"
	"strconv"
)

// Peer is who a SIP URI names: sip:HOST[:PORT][;transport=TRANSPORT].
type Peer struct {
	Host      string // an IP address without brackets, or a domain
	Port      uint16 // 0: none
	Transport string // udp, tcp, tls, or "" for none
}

// At is a peer that needs no locating.
func At(transport string, at netip.AddrPort) Peer {
	return Peer{Host: at.Addr().String(), Port: at.Port(), Transport: transport}
}

// String is the peer's URI.
func (p Peer) String() string {
	out := "sip:" + p.Host
	if a, err := netip.ParseAddr(p.Host); err == nil && a.Is6() {
		out = "sip:[" + p.Host + "]"
	}
	if p.Port != 0 {
		out += ":" + strconv.Itoa(int(p.Port))
	}
	if p.Transport != "" {
		out += ";transport=" + p.Transport
	}
	return out
}

// Fixed is where a peer is that is named by its address; false if it is a domain.
func (p Peer) Fixed() (Hop, bool) {
	a, err := netip.ParseAddr(p.Host)
	if err != nil {
		return Hop{}, false
	}
	transport := p.transport()
	return Hop{transport, netip.AddrPortFrom(a.Unmap(), p.port(transport))}, true
}

// transport is the URI's, or what RFC 3263 section 4.1 has for one with an
// address or a port and without a transport.
func (p Peer) transport() string {
	if p.Transport == "" {
		return "udp"
	}
	return p.Transport
}

// port is the URI's, or the transport's own (RFC 3261 section 19.1.2).
func (p Peer) port(transport string) uint16 {
	switch {
	case p.Port != 0:
		return p.Port
	case transport == "tls":
		return 5061
	}
	return 5060
}

// Socket is a kind of socket that we have: what can't be reached by one isn't
// asked for.
type Socket struct {
	Transport string // udp, tcp or tls
	IPv6      bool
}

// Hop is one place to send to.
type Hop struct {
	Transport string
	Addr      netip.AddrPort
}
