package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/proxy"
)

// listenURL reads udp://ADDRESS:PORT, tcp:// or tls://.
func listenURL(v string) (proxy.Listen, error) {
	wrong := errors.New("udp://ADDRESS:PORT, tcp://… or tls://… with an IP address, for instance udp://192.0.2.10:5060 or udp://[2001:db8::10]:5060")
	transport, rest, ok := strings.Cut(v, "://")
	if !ok || transport != "udp" && transport != "tcp" && transport != "tls" {
		return proxy.Listen{}, wrong
	}
	at, err := netip.ParseAddrPort(rest)
	switch {
	case err != nil:
		return proxy.Listen{}, wrong
	case at.Addr().IsUnspecified():
		return proxy.Listen{}, errors.New("name the address itself: it goes into Via, Contact and SDP")
	case at.Addr().Zone() != "":
		return proxy.Listen{}, errors.New("a link-local address has no meaning in SIP; name a global or unique local one")
	}
	return proxy.Listen{Transport: transport, Addr: netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}, nil
}

// peerURI reads sip:HOST[:PORT][;transport=…] and resolves a name.
func peerURI(v string) (proxy.Place, error) {
	wrong := errors.New("sip:ADDRESS[:PORT][;transport=udp|tcp|tls], for instance sip:192.0.2.20:5060")
	host, ok := strings.CutPrefix(v, "sip:")
	transport := "udp"
	if h, params, found := strings.Cut(host, ";"); found {
		if transport, found = strings.CutPrefix(params, "transport="); !found {
			return proxy.Place{}, wrong
		}
		host = h
	}
	if !ok || host == "" || strings.ContainsAny(host, "@;?<>") || transport != "udp" && transport != "tcp" && transport != "tls" {
		return proxy.Place{}, wrong
	}
	port := uint64(5060)
	if transport == "tls" {
		port = 5061
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		n, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil || n == 0 {
			return proxy.Place{}, wrong
		}
		host, port = host[:i], n
	}
	name := ""
	if transport == "tls" {
		name = strings.Trim(host, "[]")
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return proxy.Place{Transport: transport, Addr: netip.AddrPortFrom(a.Unmap(), uint16(port)), Name: name}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	as, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(as) == 0 {
		return proxy.Place{}, fmt.Errorf("the name can't be resolved to an address: %v", err)
	}
	return proxy.Place{Transport: transport, Addr: netip.AddrPortFrom(as[0].Unmap(), uint16(port)), Name: name}, nil
}

func advertised(v string) (string, error) {
	wrong := errors.New("HOST or HOST:PORT, as the peers of this side reach us; an IPv6 address stands in brackets")
	if v == "" {
		return v, nil
	}
	host := v
	if i := strings.LastIndexByte(v, ':'); i > strings.LastIndexByte(v, ']') {
		if n, err := strconv.ParseUint(v[i+1:], 10, 16); err != nil || n == 0 {
			return "", wrong
		}
		host = v[:i]
	}
	if strings.HasPrefix(host, "[") {
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil || !a.Is6() || a.IsUnspecified() {
			return "", wrong
		}
		return v, nil
	}
	if host == "" || strings.ContainsAny(host, " <>@;,:[]") {
		return "", wrong
	}
	return v, nil
}

func mediaAddress(v string) (netip.Addr, error) {
	if v == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil || a.IsUnspecified() || a.Zone() != "" {
		return netip.Addr{}, errors.New("an IP address, as the peers of this side reach us")
	}
	return a.Unmap(), nil
}

func wholeNumber(v string) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, errors.New("a whole number; 0 is no limit")
	}
	return int(n), nil
}

func perSecond(v string) (float64, error) {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= 0 && n <= 1e6) {
		return 0, errors.New("a number of calls a second; 0 is no limit")
	}
	return n, nil
}

// sideTLS reads a side's certificates, and finds out now whether they can be used.
func (p *parser) sideTLS(n *yaml.Node, path string) *proxy.TLS {
	var t proxy.TLS
	p.mapping(n, path, fields{"cert": p.text(&t.Cert), "key": p.text(&t.Key), "ca": p.text(&t.CA),
		"client_cert": parsed(p.reader, &t.ClientCert, parseBool)})
	if t == (proxy.TLS{}) {
		return nil
	}
	switch {
	case t.Cert == "" || t.Key == "":
		p.errorf(n, path, "cert and key are both needed: PEM files of our certificate and its key")
	case t.ClientCert && t.CA == "":
		p.errorf(n, path+".client_cert", "needs ca: a PEM file of who signs the peers' certificates")
	default:
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			p.errorf(n, path, "the certificate can't be used: %v", err)
		}
	}
	return &t
}

// checkTransports finds peers that no socket of their side can reach, and TLS
// without certificates.
func (p *parser) checkTransports(n *yaml.Node, path string, s SideConfig) {
	for _, at := range s.Listen {
		if at.Transport == "tls" && s.TLS == nil {
			p.errorf(n, path+".tls", "is missing: listening with TLS needs {cert: FILE, key: FILE}")
			break
		}
	}
	for i, peer := range s.Peers {
		reached := len(s.Listen) == 0 // another error
		for _, at := range s.Listen {
			reached = reached || at.Transport == peer.Transport && at.Addr.Addr().Is4() == peer.Addr.Addr().Is4()
		}
		if !reached {
			p.errorf(n, fmt.Sprintf("%s.peers[%d]", path, i), "%s needs a %s:// address of its family in listen: requests to it leave from there, and its own come in there",
				peer, peer.Transport)
		}
	}
}
