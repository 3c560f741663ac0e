package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/proxy"
	"consentgate/proxy/locate"
)

// zone is a DNS whose records a test changes: SRV of _sip._udp.pbx.test, and
// whether it fails.
type zone struct {
	mu    sync.Mutex
	srv   []locate.SRV
	hosts map[string]netip.Addr
	fails bool
}

// serve puts peers in it, with priorities in their order.
func (z *zone) serve(peers ...*peer) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.srv, z.hosts = nil, map[string]netip.Addr{}
	for i, p := range peers {
		host := fmt.Sprintf("h%d.test", i)
		z.srv = append(z.srv, locate.SRV{Priority: uint16(i), Port: p.place.Addr.Port(), Target: host})
		z.hosts[host] = p.place.Addr.Addr()
	}
}

func (z *zone) fail(fails bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.fails = fails
}

func (z *zone) Lookup(_ context.Context, name string, t locate.Type) (r locate.Records, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case z.fails:
		return r, errors.New("no DNS today")
	case t == locate.TypeSRV && name == "_sip._udp.pbx.test":
		r.SRV = z.srv
	case t == locate.TypeA && z.hosts[name].IsValid():
		r.Addrs = []netip.Addr{z.hosts[name]}
	}
	return r, nil // TTL 0: asked again as soon as that is allowed
}

// inDNS is a gate with the PBX side's peers in a zone, and only these accepted.
func inDNS(t *testing.T, z *zone, carrier *peer, fixed ...*peer) *rawGate {
	t.Helper()
	pbx := sideOf(fixed...)
	pbx.Listen = []proxy.Listen{{Transport: "udp", Addr: netip.MustParseAddrPort("127.0.0.1:0")}}
	pbx.Peers = append([]locate.Peer{{Host: "pbx.test"}}, pbx.Peers...)
	return newRawGate(t, sideOf(carrier), pbx, func(c *proxy.Config) {
		c.DNS, c.Trunks[0].PBX.AcceptFrom = z, nil
	})
}

// ring sends an INVITE of the carrier's and returns which of the peers gets it
// first, and what it got.
func ring(t *testing.T, g *rawGate, carrier *peer, id string, cseq int, peers ...*peer) (who *peer, inv got) {
	t.Helper()
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", id, cseq))
	eventually(t, "the INVITE of "+id, func() bool {
		for _, p := range peers {
			select {
			case m := <-p.in:
				if strings.HasPrefix(m.text, "INVITE") && head(m.text, "Call-ID") == id && head(m.text, "CSeq") == fmt.Sprintf("%d INVITE", cseq) {
					who, inv = p, m
					return true
				}
			default:
			}
		}
		return false
	})
	return who, inv
}

// refused waits for the refusal of a call at the carrier, and acknowledges it.
func refused(t *testing.T, g *rawGate, carrier *peer, id, status string) {
	t.Helper()
	for {
		select {
		case m := <-carrier.in:
			if strings.HasPrefix(m.text, "SIP/2.0 "+status) && head(m.text, "Call-ID") == id {
				cseq := 0
				if _, err := fmt.Sscan(head(m.text, "CSeq"), &cseq); err != nil {
					t.Fatal(err)
				}
				ack := carrier.request("ACK", "sip:1@h", head(m.text, "To"), id, cseq)
				carrier.sendTo(g.carrier(), strings.Replace(ack, fmt.Sprintf("%s%dACK", id, cseq), fmt.Sprintf("%s%dINVITE", id, cseq), 1))
				return
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("%s: no %s came", id, status)
		}
	}
}

// invite is a whole call: it returns which of the peers got it; that one is busy.
func invite(t *testing.T, g *rawGate, carrier *peer, id string, peers ...*peer) *peer {
	t.Helper()
	who, inv := ring(t, g, carrier, id, 1, peers...)
	inv.reply(answer(inv.text, "486 Busy Here", "b"))
	refused(t, g, carrier, id, "486")
	return who
}

// up is the series of a peer's state; -1 if there is none.
func (g *rawGate) up(t *testing.T, p *peer) float64 {
	families, err := g.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_peer_up" && m.GetLabel()[0].GetValue() == p.place.String() {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// at is a UDP peer at one of loopback's addresses.
func at(t *testing.T, ip string) *peer { return newPeer(t, "udp", ip, nil) }

// TestACallFailsOverAmongADomainsServers: past one that is silent and one that is
// full, and the next call begins with who is up.
func TestACallFailsOverAmongADomainsServers(t *testing.T) {
	t.Parallel()
	z, carrier, mute, full, good := &zone{}, at(t, "127.0.0.1"), at(t, "127.0.0.2"), at(t, "127.0.0.3"), at(t, "127.0.0.4")
	z.serve(mute, full, good)
	g := inDNS(t, z, carrier)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	mute.next("INVITE") // given up after the default of 3 s
	inv := full.next("INVITE")
	inv.reply(answer(inv.text, "503 Service Unavailable", "b"))
	inv = good.next("INVITE")
	inv.reply(answer(inv.text, "486 Busy Here", "b"))
	refused(t, g, carrier, "c1", "486")
	if g.up(t, mute) != 0 || g.up(t, full) != 0 || g.up(t, good) != 1 {
		t.Errorf("up: %v, %v, %v", g.up(t, mute), g.up(t, full), g.up(t, good))
	}
	if who := invite(t, g, carrier, "c2", mute, full, good); who != good {
		t.Errorf("the next call began with %s", who.place)
	}
}

// TestEachServerOfADomainIsAskedWhetherItIsThere: it is down by its own answer and
// comes back by its own.
func TestEachServerOfADomainIsAskedWhetherItIsThere(t *testing.T) {
	t.Parallel()
	z, carrier, one, two := &zone{}, at(t, "127.0.0.1"), at(t, "127.0.0.2"), at(t, "127.0.0.3")
	z.serve(one, two)
	g := newRawGate(t, sideOf(carrier), proxy.Side{Listen: sideOf(carrier).Listen, Peers: []locate.Peer{{Host: "pbx.test"}}}, func(c *proxy.Config) {
		c.DNS, c.Trunks[0].OptionsPing = z, 50*time.Millisecond
	})
	pinged := func(p *peer, status string) {
		ping := nextOf(p, "OPTIONS")
		ping.reply(answer(ping.text, status, "o"))
	}
	for g.up(t, two) != 0 {
		pinged(one, "200 OK")
		pinged(two, "503 Service Unavailable")
	}
	if g.up(t, one) != 1 {
		t.Error("the other is down, too")
	}
	for g.up(t, two) != 1 {
		pinged(two, "200 OK")
	}
}

// TestRequestsOfOneCallGoTheSameWay: the retry of an INVITE that was challenged has
// to find who challenged it, whatever the weights.
func TestRequestsOfOneCallGoTheSameWay(t *testing.T) {
	t.Parallel()
	z, carrier, one, two := &zone{}, at(t, "127.0.0.1"), at(t, "127.0.0.2"), at(t, "127.0.0.3")
	z.serve(one, two)
	for i := range z.srv {
		z.srv[i].Priority = 1
	}
	g := inDNS(t, z, carrier)
	first := map[*peer]int{}
	for i := range 24 {
		id := fmt.Sprintf("c%d", i)
		who, inv := ring(t, g, carrier, id, 1, one, two)
		inv.reply(answer(inv.text, "407 Proxy Authentication Required", "b"))
		refused(t, g, carrier, id, "407")
		again, inv := ring(t, g, carrier, id, 2, one, two)
		if again != who {
			t.Errorf("the retry went to %s instead of %s", again.place, who.place)
		}
		inv.reply(answer(inv.text, "486 Busy Here", "b"))
		refused(t, g, carrier, id, "486")
		first[who]++
	}
	if len(first) != 2 { // one in 2^23 by chance
		t.Error("all calls went one way")
	}
}

// TestADomainThatMovesIsFollowed: calls go to the new server, which may send to
// us; the old one still may for a while, its series ends; a stranger never may.
func TestADomainThatMovesIsFollowed(t *testing.T) {
	t.Parallel()
	z, carrier, before, after, stranger := &zone{}, at(t, "127.0.0.1"), at(t, "127.0.0.2"), at(t, "127.0.0.3"), at(t, "127.0.0.4")
	z.serve(before)
	g := inDNS(t, z, carrier)
	if who := invite(t, g, carrier, "c1", before); who != before || g.up(t, before) != 1 || g.up(t, after) != -1 {
		t.Errorf("the call went to %s; up: %v, %v", who.place, g.up(t, before), g.up(t, after))
	}
	after.sendTo(g.pbx(), after.request("OPTIONS", "sip:gate", "<sip:gate>", "early", 1))
	eventually(t, "it is dropped", func() bool { return g.counted(t, "consentgate_sip_rejected_total", "not_a_peer") == 1 })
	z.serve(after)
	eventually(t, "the new server's series is there", func() bool { return g.up(t, after) == 1 })
	if g.up(t, before) != -1 {
		t.Error("the old server's series is there")
	}
	if who := invite(t, g, carrier, "c2", before, after); who != after {
		t.Errorf("the call went to %s", who.place)
	}
	for _, p := range []*peer{after, before} {
		p.sendTo(g.pbx(), p.request("OPTIONS", "sip:gate", "<sip:gate>", "ping", 1))
		nextOf(p, "SIP/2.0 200")
	}
	stranger.sendTo(g.pbx(), stranger.request("OPTIONS", "sip:gate", "<sip:gate>", "s", 1))
	eventually(t, "it is dropped", func() bool { return g.counted(t, "consentgate_sip_rejected_total", "not_a_peer") == 2 })
}

// TestCallsGoOnWhileDNSFails: from the start to the other peers, later to where the
// domain was last.
func TestCallsGoOnWhileDNSFails(t *testing.T) {
	t.Parallel()
	z, carrier, domain, fixed := &zone{}, at(t, "127.0.0.1"), at(t, "127.0.0.2"), at(t, "127.0.0.3")
	z.serve(domain)
	z.fail(true)
	g := inDNS(t, z, carrier, fixed)
	if who := invite(t, g, carrier, "c1", domain, fixed); who != fixed {
		t.Errorf("without DNS the call went to %s", who.place)
	}
	z.fail(false)
	eventually(t, "it is located", func() bool { return g.up(t, domain) == 1 })
	if who := invite(t, g, carrier, "c2", domain, fixed); who != domain {
		t.Errorf("with DNS the call went to %s", who.place)
	}
	z.fail(true)
	failures := func() float64 { return g.counted(t, "consentgate_dns_failures_total", "pbx") }
	n := failures()
	eventually(t, "DNS has failed again", func() bool { return failures() > n })
	if who := invite(t, g, carrier, "c3", domain, fixed); who != domain {
		t.Errorf("after DNS failed the call went to %s", who.place)
	}
}

// tlsZone has a domain whose server by TLS has another name.
type tlsZone struct {
	domain, target string
	port           uint16
}

func (z tlsZone) Lookup(_ context.Context, name string, t locate.Type) (r locate.Records, err error) {
	switch {
	case t == locate.TypeSRV && name == "_sips._tcp."+z.domain:
		r.SRV = []locate.SRV{{Port: z.port, Target: z.target}}
	case t == locate.TypeA && name == z.target:
		r.Addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	}
	return r, nil
}

// TestTLSMustShowTheDomainAndNotWhatDNSMadeOfIt (RFC 5922 section 4): who forges
// an SRV record can't name the certificate as well.
func TestTLSMustShowTheDomainAndNotWhatDNSMadeOfIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		domain, target string
		proves         bool
	}{{"peer.test", "h.test", true}, {"other.test", "peer.test", false}} {
		ca := newAuthority(t)
		carrier, pbx := at(t, "127.0.0.1"), newPeer(t, "tls", "127.0.0.1", ca.peerTLS())
		side := proxy.Side{Listen: sideOf(pbx).Listen, TLS: ca.gateTLS(), Peers: []locate.Peer{{Host: c.domain}}}
		g := newRawGate(t, sideOf(carrier), side, func(cfg *proxy.Config) { cfg.DNS = tlsZone{c.domain, c.target, pbx.place.Addr.Port()} })
		carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
		if c.proves {
			inv := pbx.next("INVITE")
			inv.reply(answer(inv.text, "486 Busy Here", "b"))
			refused(t, g, carrier, "c1", "486")
			continue
		}
		refused(t, g, carrier, "c1", "503")
		if n := g.counted(t, "consentgate_sip_rejected_total", "tls_handshake"); n == 0 {
			t.Error("no handshake failed")
		}
	}
}
