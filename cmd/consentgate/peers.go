package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/proxy"
	"consentgate/proxy/locate"
)

// peerURI reads sip:HOST[:PORT][;transport=…]. It asks nobody where that is.
func peerURI(v string) (locate.Peer, error) {
	wrong := errors.New("sip:HOST[:PORT][;transport=udp|tcp|tls], for instance sip:192.0.2.20:5060 or sip:carrier.example")
	var p locate.Peer
	host, ok := strings.CutPrefix(v, "sip:")
	if !ok {
		return p, wrong
	}
	if h, params, found := strings.Cut(host, ";"); found {
		if p.Transport, found = strings.CutPrefix(params, "transport="); !found || p.Transport != "udp" && p.Transport != "tcp" && p.Transport != "tls" {
			return p, wrong
		}
		host = h
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		n, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil || n == 0 {
			return p, wrong
		}
		host, p.Port = host[:i], uint16(n)
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(inner)
	switch {
	case err == nil && a.Is6() == bracketed && a.Zone() == "":
		p.Host = a.Unmap().String()
	case !domainName(host):
		return p, wrong
	default:
		p.Host = strings.TrimSuffix(host, ".")
	}
	return p, nil
}

// domainName tells a domain from a mistyped address and from what no DNS can
// know (RFC 1123 section 2.1; an underscore does no harm).
func domainName(v string) bool {
	v = strings.TrimSuffix(v, ".")
	labels := strings.Split(v, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return len(v) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// dnsServer reads ADDRESS[:PORT].
func dnsServer(v string) (string, error) {
	if a, err := netip.ParseAddr(v); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	at, err := netip.ParseAddrPort(v)
	if err != nil || at.Port() == 0 {
		return "", errors.New("an address, or an address and a port, for instance 192.0.2.53 or 192.0.2.53:53")
	}
	return at.String(), nil
}

func (p *parser) dns(n *yaml.Node, path string) {
	p.mapping(n, path, fields{"servers": func(n *yaml.Node, path string) {
		p.each(n, path, func(n *yaml.Node, path string) {
			var at string
			if parsed(p.reader, &at, dnsServer)(n, path); at != "" {
				p.config.DNSServers = append(p.config.DNSServers, at)
			}
		})
	}})
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
		transport, family := neededFor(peer)
		reached := len(s.Listen) == 0 || transport == "" // the first is another error
		for _, at := range s.Listen {
			reached = reached || at.Transport == transport && (family == "" || at.Addr.Addr().Is4() == (family == "4"))
		}
		if !reached {
			which := map[bool]string{true: "", false: " of its family"}[family == ""]
			p.errorf(n, fmt.Sprintf("%s.peers[%d]", path, i), "%s needs a %s:// address%s in listen: requests to it leave from there, and its own come in there",
				peer, transport, which)
		}
	}
}

// neededFor is the transport and family that a peer is reached by; "" is any, for
// DNS tells.
func neededFor(p locate.Peer) (transport, family string) {
	if hop, fixed := p.Fixed(); fixed {
		return hop.Transport, map[bool]string{true: "4", false: "6"}[hop.Addr.Addr().Is4()]
	}
	if p.Port != 0 && p.Transport == "" {
		return "udp", "" // RFC 3263 section 4.1
	}
	return p.Transport, ""
}

// peerDomain is a peer that DNS has to find, for 'check' to try.
type peerDomain struct {
	at      Problem // its line and key
	peer    locate.Peer
	sockets []locate.Socket
}

func (p *parser) peerDomains(found []peerDomain, listen []proxy.Listen) {
	for _, d := range found {
		for _, at := range listen {
			d.sockets = append(d.sockets, locate.Socket{Transport: at.Transport, IPv6: at.Addr.Addr().Is6()})
		}
		p.config.domains = append(p.config.domains, d)
	}
}

// tryDomains says where the peers are that DNS has to find. Not to find one is a
// warning: 'serve' starts all the same and goes on asking.
func (c *Config) tryDomains(ctx context.Context, out, errs io.Writer) {
	client := locate.NewClient(c.DNSServers...)
	for _, d := range c.domains {
		once, cancel := context.WithTimeout(ctx, 10*time.Second)
		a, err := d.peer.Locate(once, client, d.sockets)
		cancel()
		if err != nil {
			d.at.Text += fmt.Sprintf(": %s: %v; serve starts all the same, asks again, and sends no call there before it knows", d.peer, err)
			fmt.Fprintln(errs, d.at)
		}
		for _, h := range a.Hops() {
			fmt.Fprintf(out, "%s is at %s by %s\n", d.peer, h.Addr, h.Transport)
		}
	}
}
