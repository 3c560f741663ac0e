package main

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strconv"
	"strings"

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
