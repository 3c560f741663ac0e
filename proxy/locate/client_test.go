package locate_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consentgate/proxy/locate"
)

// server is a DNS server on loopback, by UDP and TCP.
type server struct {
	addr  string
	mu    sync.Mutex
	asked []string // network, type and name
}

func newServer(t *testing.T, answer func(q dns.Question, network string, m *dns.Msg)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String()}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		q, network := r.Question[0], w.LocalAddr().Network()
		s.mu.Lock()
		s.asked = append(s.asked, network+" "+dns.TypeToString[q.Qtype]+" "+q.Name)
		s.mu.Unlock()
		m := new(dns.Msg).SetReply(r)
		answer(q, network, m)
		if opt := r.IsEdns0(); m.Rcode != -1 {
			if network == "udp" && opt != nil {
				m.Truncate(int(opt.UDPSize()))
			}
			_ = w.WriteMsg(m) // whoever asked may be gone
		}
	})
	for _, srv := range []*dns.Server{{Listener: l, Handler: h}, {PacketConn: c, Handler: h}} {
		started, done := make(chan struct{}), make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(done); _ = srv.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = srv.Shutdown(); <-done })
	}
	return s
}

func (s *server) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// add appends records in the form of a zone file.
func add(t *testing.T, to *[]dns.RR, lines ...string) {
	t.Helper()
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Error(err)
			return
		}
		*to = append(*to, rr)
	}
}

// client asks those servers, and knows no hosts.
func client(t *testing.T, servers ...string) *locate.Client {
	none := filepath.Join(t.TempDir(), "none")
	return locate.NewClient(servers...).WithFiles(none, none)
}

// TestTheClientReadsWhatServersSay: each type, TTLs of aliases and of nothing.
func TestTheClientReadsWhatServersSay(t *testing.T) {
	s := newServer(t, func(q dns.Question, _ string, m *dns.Msg) {
		switch q.Name {
		case "p.test.":
			switch q.Qtype {
			case dns.TypeNAPTR:
				add(t, &m.Answer, `p.test. 300 IN NAPTR 50 60 "s" "SIP+D2U" "" _sip._udp.p.test.`, `p.test. 200 IN NAPTR 1 2 "u" "E2U+sip" "!^.*$!sip:x@y!" .`)
			case dns.TypeSRV:
				add(t, &m.Answer, `p.test. 60 IN SRV 1 2 5070 A.Test.`, `p.test. 60 IN SRV 0 0 0 .`)
			case dns.TypeA:
				add(t, &m.Answer, "p.test. 30 IN CNAME q.test.", "q.test. 90 IN A 192.0.2.1")
			case dns.TypeAAAA:
				add(t, &m.Answer, "p.test. 30 IN AAAA 2001:db8::1")
			}
		case "none.test.":
			m.Rcode = dns.RcodeNameError
			add(t, &m.Ns, "test. 600 IN SOA a. b. 1 2 3 4 42")
		case "empty.test.":
		}
	})
	for _, c := range []struct {
		name string
		t    locate.Type
		want string
	}{
		{"p.test", locate.TypeNAPTR, "{NAPTR:[{Order:50 Preference:60 Flags:s Service:SIP+D2U Replacement:_sip._udp.p.test Regexp:false} " +
			"{Order:1 Preference:2 Flags:u Service:E2U+sip Replacement: Regexp:true}] SRV:[] Addrs:[] TTL:3m20s}"},
		{"p.test.", locate.TypeSRV, "{NAPTR:[] SRV:[{Priority:1 Weight:2 Port:5070 Target:A.Test} {Priority:0 Weight:0 Port:0 Target:}] Addrs:[] TTL:1m0s}"},
		{"p.test", locate.TypeA, "{NAPTR:[] SRV:[] Addrs:[192.0.2.1] TTL:30s}"},
		{"p.test", locate.TypeAAAA, "{NAPTR:[] SRV:[] Addrs:[2001:db8::1] TTL:30s}"},
		{"none.test", locate.TypeA, "{NAPTR:[] SRV:[] Addrs:[] TTL:42s}"},
		{"empty.test", locate.TypeSRV, "{NAPTR:[] SRV:[] Addrs:[] TTL:30s}"},
	} {
		r, err := client(t, s.addr).Lookup(t.Context(), c.name, c.t)
		if got := fmt.Sprintf("%+v", r); err != nil || got != c.want {
			t.Errorf("%s of %s: %s, %v; want %s", c.t, c.name, got, err, c.want)
		}
	}
}

// TestAnAnswerThatDoesNotFitComesByTCP, and one that EDNS makes room for doesn't.
func TestAnAnswerThatDoesNotFitComesByTCP(t *testing.T) {
	s := newServer(t, func(q dns.Question, _ string, m *dns.Msg) {
		n := 15 // over 512 bytes, below 1232
		if q.Name == "large.test." {
			n = 60
		}
		for i := range n {
			add(t, &m.Answer, fmt.Sprintf("%s 60 IN SRV 1 1 5060 a-host-with-quite-a-name-%d.test.", q.Name, i))
		}
	})
	for name, want := range map[string]int{"medium.test": 15, "large.test": 60} {
		if r, err := client(t, s.addr).Lookup(t.Context(), name, locate.TypeSRV); err != nil || len(r.SRV) != want {
			t.Errorf("%s: %d records, %v", name, len(r.SRV), err)
		}
	}
	var tcp []string
	for _, q := range s.questions() {
		if strings.HasPrefix(q, "tcp") {
			tcp = append(tcp, q)
		}
	}
	if fmt.Sprint(tcp) != "[tcp SRV large.test.]" {
		t.Errorf("by TCP: %q", tcp)
	}
}

// TestTheNextServerIsAskedWhereOneFails: one that isn't there, one that says that
// it can't, one that answers another question.
func TestTheNextServerIsAskedWhereOneFails(t *testing.T) {
	good := newServer(t, func(_ dns.Question, _ string, m *dns.Msg) { add(t, &m.Answer, "p.test. 60 IN A 192.0.2.1") })
	failing := newServer(t, func(_ dns.Question, _ string, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	other := newServer(t, func(_ dns.Question, _ string, m *dns.Msg) {
		m.Question[0].Name = "evil.test."
		add(t, &m.Answer, "p.test. 60 IN A 203.0.113.66")
	})
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	for _, first := range []string{gone.LocalAddr().String(), failing.addr, other.addr} {
		r, err := client(t, first, good.addr).Lookup(t.Context(), "p.test", locate.TypeA)
		if err != nil || fmt.Sprint(r.Addrs) != "[192.0.2.1]" {
			t.Errorf("%v, %v", r, err)
		}
	}
	if _, err := client(t, failing.addr).Lookup(t.Context(), "p.test", locate.TypeA); err == nil || !strings.Contains(err.Error(), "SERVFAIL") ||
		!strings.Contains(err.Error(), "asking DNS for A of p.test") {
		t.Errorf("%v", err)
	}
	if n := len(failing.questions()); n != 3 {
		t.Errorf("a server that fails was asked %d times, want once beside another and twice alone", n)
	}
}

// TestALookupEndsWithItsContext, though the server says nothing.
func TestALookupEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	mute := newServer(t, func(_ dns.Question, _ string, m *dns.Msg) { m.Rcode = -1; cancel() })
	if _, err := client(t, mute.addr).Lookup(ctx, "p.test", locate.TypeA); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it waited for its patience to end: %v", err)
	}
	if n := len(mute.questions()); n != 1 {
		t.Errorf("%d questions: it went on after its end", n)
	}
}

// TestNamesOfTheHostsFileAreNotAskedFor, and count at once when it changes.
func TestNamesOfTheHostsFileAreNotAskedFor(t *testing.T) {
	s := newServer(t, func(_ dns.Question, _ string, m *dns.Msg) { add(t, &m.Answer, "p.test. 60 IN A 192.0.2.1") })
	hosts := filepath.Join(t.TempDir(), "hosts")
	write := func(text string) {
		if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := locate.NewClient(s.addr).WithFiles(hosts, "")
	peer := locate.Peer{Host: "PBX.test"}
	write("# comment 203.0.113.1 pbx.test\n127.0.0.1 localhost\n\n192.0.2.7 other pbx.Test # and more\n2001:db8::7\tpbx.test\nnonsense pbx.test\n")
	a, err := peer.Locate(t.Context(), c, listens("udp4 udp6"))
	if got := show(a.Hops()); err != nil || got != "udp 192.0.2.7:5060, udp [2001:db8::7]:5060" {
		t.Errorf("%s, %v", got, err)
	}
	write("192.0.2.8 pbx.test\n")
	if a, err = peer.Locate(t.Context(), c, listens("udp4")); err != nil || show(a.Hops()) != "udp 192.0.2.8:5060" {
		t.Errorf("%s, %v", show(a.Hops()), err)
	}
	if q := s.questions(); len(q) > 0 {
		t.Errorf("DNS was asked %q", q)
	}
	if a, err = peer.Locate(t.Context(), locate.NewClient(s.addr).WithFiles("/no such file", ""), listens("udp4")); err != nil || len(s.questions()) == 0 {
		t.Errorf("without the file: %s, %v", show(a.Hops()), err)
	}
}

// TestTheSystemsServersAndSearchDomainsAreUsed: hosts may be short for one in a
// search domain, services may not.
func TestTheSystemsServersAndSearchDomainsAreUsed(t *testing.T) {
	s := newServer(t, func(q dns.Question, _ string, m *dns.Msg) {
		if q.Name == "pbx.voip.test." && q.Qtype == dns.TypeA {
			add(t, &m.Answer, "pbx.voip.test. 60 IN A 192.0.2.1")
			return
		}
		m.Rcode = dns.RcodeNameError
	})
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("search none.test voip.test\nnameserver 192.0.2.53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := locate.Peer{Host: "pbx"}.Locate(t.Context(), locate.NewClient(s.addr).WithFiles("", resolv), listens("udp4"))
	if err != nil || show(a.Hops()) != "udp 192.0.2.1:5060" {
		t.Errorf("%s, %v", show(a.Hops()), err)
	}
	for _, q := range s.questions() {
		if strings.Contains(q, "SRV") && !strings.HasSuffix(q, ".pbx.") {
			t.Errorf("%s was asked for", q)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := locate.NewClient().WithFiles("", resolv).Lookup(ctx, "x.test", locate.TypeSRV); err == nil || !strings.Contains(err.Error(), "192.0.2.53:53") {
		t.Errorf("the system's server wasn't asked: %v", err)
	}
}
