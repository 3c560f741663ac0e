package e2e

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameserver is a DNS server whose zone a test changes.
type nameserver struct {
	t     *testing.T
	addr  string
	mu    sync.Mutex
	zone  []dns.RR
	close func()
}

// startNameserver serves a zone, given as lines of a zone file, by UDP at an
// address; with port 0 the system chooses.
func startNameserver(t *testing.T, at string, zone ...string) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	n := &nameserver{t: t, addr: conn.LocalAddr().String()}
	n.set(zone...)
	started, ended := make(chan struct{}), make(chan struct{})
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(n.answer), NotifyStartedFunc: func() { close(started) }}
	go func() { defer close(ended); _ = srv.ActivateAndServe() }()
	<-started
	n.close = sync.OnceFunc(func() { _ = srv.Shutdown(); <-ended })
	t.Cleanup(n.close)
	return n
}

// set replaces the zone.
func (n *nameserver) set(zone ...string) {
	var rrs []dns.RR
	for _, l := range zone {
		rr, err := dns.NewRR(l)
		if err != nil {
			n.t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	n.mu.Lock()
	n.zone = rrs
	n.mu.Unlock()
}

func (n *nameserver) answer(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg).SetReply(r)
	n.mu.Lock()
	for _, rr := range n.zone {
		if strings.EqualFold(rr.Header().Name, r.Question[0].Name) && rr.Header().Rrtype == r.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	n.mu.Unlock()
	_ = w.WriteMsg(m) // who asked may be gone
}

// sipSocket is a SIP element in the raw, by UDP.
type sipSocket struct {
	t    *testing.T
	conn *net.UDPConn
}

func newSIPSocket(t *testing.T, ip string) *sipSocket {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &sipSocket{t, conn}
}

func (s *sipSocket) addr() string { return s.conn.LocalAddr().String() }

func (s *sipSocket) port() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// next is the next message of a call that begins so; others are passed over.
func (s *sipSocket) next(begins, callID string) (text string, from *net.UDPAddr) {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	buf := make([]byte, 65536)
	for {
		n, from, err := s.conn.ReadFromUDP(buf)
		if err != nil {
			s.t.Fatalf("%s: waiting for %s of %s: %v", s.addr(), begins, callID, err)
		}
		if text := string(buf[:n]); strings.HasPrefix(text, begins) && headerOf(text, "Call-ID") == callID {
			return text, from
		}
	}
}

func headerOf(text, name string) string {
	for line := range strings.SplitSeq(text, "\r\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// say sends a request to the gate.
func (s *sipSocket) say(to, method, callID, toHeader string, cseq int) {
	s.t.Helper()
	text := fmt.Sprintf("%[1]s sip:%[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]s;branch=z9hG4bK%[4]s%[5]d%[1]s\r\nMax-Forwards: 70\r\nFrom: <sip:a@a.test>;tag=a\r\n"+
		"To: %[6]s\r\nCall-ID: %[4]s\r\nCSeq: %[5]d %[1]s\r\nContact: <sip:a@%[3]s>\r\nContent-Length: 0\r\n\r\n", method, to, s.addr(), callID, cseq, toHeader)
	at, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.conn.WriteToUDP([]byte(text), at); err != nil {
		s.t.Fatal(err)
	}
}

// answer answers a request.
func (s *sipSocket) answer(req string, to *net.UDPAddr, status string) {
	s.t.Helper()
	toHeader := headerOf(req, "To")
	if !strings.Contains(toHeader, "tag=") {
		toHeader += ";tag=b"
	}
	text := fmt.Sprintf("SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:b@%s>\r\nContent-Length: 0\r\n\r\n", status,
		headerOf(req, "Via"), headerOf(req, "From"), toHeader, headerOf(req, "Call-ID"), headerOf(req, "CSeq"), s.addr())
	if _, err := s.conn.WriteToUDP([]byte(text), to); err != nil {
		s.t.Fatal(err)
	}
}

// callTo is a whole call from the carrier, which that PBX must get and end.
func (s *sipSocket) callTo(g *gate, pbx *sipSocket, callID string) {
	s.t.Helper()
	s.say(g.Carrier, "INVITE", callID, "<sip:1@b.test>", 1)
	s.takenBy(g, pbx, callID)
}

// takenBy is a call from its arrival at a PBX on.
func (s *sipSocket) takenBy(g *gate, pbx *sipSocket, callID string) {
	s.t.Helper()
	invite, from := pbx.next("INVITE", callID)
	pbx.answer(invite, from, "200 OK")
	ok, _ := s.next("SIP/2.0 200", callID)
	s.say(g.Carrier, "ACK", callID, headerOf(ok, "To"), 1)
	pbx.next("ACK", callID)
	s.say(g.Carrier, "BYE", callID, headerOf(ok, "To"), 2)
	bye, from := pbx.next("BYE", callID)
	pbx.answer(bye, from, "200 OK")
	s.next("SIP/2.0 200", callID)
}

// servedBy is a zone of pbx.test with these servers in order of priority.
func servedBy(pbxs ...*sipSocket) []string {
	zone := []string{`pbx.test. 1 IN NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.pbx.test.`, `pbx.test. 1 IN NAPTR 20 10 "s" "SIP+D2U" "" servers.test.`,
		"pbx.test. 1 IN A 127.0.0.99"} // a web server, say
	for i, p := range pbxs {
		zone = append(zone, fmt.Sprintf("servers.test. 1 IN SRV %d 5 %d h%d.test.", i, p.port(), i), fmt.Sprintf("h%d.test. 1 IN A %s", i, p.conn.LocalAddr().(*net.UDPAddr).IP))
	}
	return zone
}

// TestAPBXThatDNSLeadsTo: two servers by NAPTR and SRV, of which the first is dead
// and then the other full; then DNS names a third, which may send to us as well;
// then DNS dies, and calls go on.
func TestAPBXThatDNSLeadsTo(t *testing.T) {
	t.Parallel()
	carrier, first, second, third := newSIPSocket(t, "127.0.0.1"), newSIPSocket(t, "127.0.0.2"), newSIPSocket(t, "127.0.0.3"), newSIPSocket(t, "127.0.0.4")
	ns := startNameserver(t, "127.0.0.1:0", servedBy(first, second)...)
	g := startGate(t, setup{carrierPeer: carrier.addr(), pbxPeer: "pbx.test", policies: bypassAll, extra: fmt.Sprintf("dns: {servers: [%q]}\n", ns.addr)})
	up := func(p *sipSocket) string { return fmt.Sprintf(`peer_up{peer="%s",side="pbx",trunk="main"}`, p.addr()) }

	carrier.say(g.Carrier, "INVITE", "silent", "<sip:1@b.test>", 1)
	first.next("INVITE", "silent") // and not a word
	carrier.takenBy(g, second, "silent")
	if g.metric(up(first)) != 0 || g.metric(up(second)) != 1 || g.metric("failovers_total") != 1 {
		t.Errorf("up: %v and %v, %v failovers", g.metric(up(first)), g.metric(up(second)), g.metric("failovers_total"))
	}

	carrier.say(g.Carrier, "INVITE", "full", "<sip:1@b.test>", 1)
	invite, from := second.next("INVITE", "full") // the first is believed to be down
	second.answer(invite, from, "503 Service Unavailable")
	second.next("ACK", "full")
	carrier.takenBy(g, first, "full")

	third.say(g.PBX, "OPTIONS", "stranger", "<sip:gate>", 1)
	g.until("a stranger is dropped", func() bool { return g.metric(`sip_rejected_total{reason="not_a_peer"}`) == 1 })
	ns.set(servedBy(third)...)
	g.until("the third is known", func() bool { return g.metric(up(third)) == 1 })
	carrier.callTo(g, third, "moved")
	for _, p := range []*sipSocket{third, first} { // the first for calls that it may still have
		p.say(g.PBX, "OPTIONS", "known", "<sip:gate>", 1)
		p.next("SIP/2.0 200", "known")
	}

	ns.close()
	g.until("DNS has failed", func() bool { return g.metric(`dns_failures_total{side="pbx",trunk="main"}`) > 0 })
	carrier.callTo(g, third, "deaf")
	g.stop()
}

// TestTheGateStartsWithoutDNS, says so once, and takes calls as soon as DNS is
// there.
func TestTheGateStartsWithoutDNS(t *testing.T) {
	t.Parallel()
	carrier, pbx, at := newSIPSocket(t, "127.0.0.1"), newSIPSocket(t, "127.0.0.2"), freePort(t)
	g := startGate(t, setup{carrierPeer: carrier.addr(), pbxPeer: "pbx.test", policies: bypassAll, extra: fmt.Sprintf("dns: {servers: [%q]}\n", at)})
	carrier.say(g.Carrier, "INVITE", "nobody", "<sip:1@b.test>", 1)
	carrier.next("SIP/2.0 503", "nobody")
	g.until("DNS has failed twice", func() bool { return g.metric("dns_failures_total") > 1 })
	startNameserver(t, at, servedBy(pbx)...)
	g.until("the PBX is known", func() bool { return g.metric("peer_up{peer=\""+pbx.addr()+"\",side=\"pbx\",trunk=\"main\"}") == 1 })
	carrier.callTo(g, pbx, "there")
	g.stop()
	if log := g.log.String(); strings.Count(log, "DNS doesn't say where a peer is") != 1 || strings.Count(log, "DNS says again where a peer is") != 1 {
		t.Errorf("the log floods, or is silent:\n%s", log)
	}
}
