package proxy_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/proxy"
	"consentgate/proxy/locate"
)

// peer is a SIP element in the raw: it sends what it is told to and hands over
// what comes, by UDP, TCP or TLS.
type peer struct {
	t     testing.TB
	place proxy.Place
	in    chan got
	udp   *net.UDPConn
	tls   *tls.Config
	close func()
	mu    sync.Mutex
	conns []net.Conn
	taken map[string]bool // responses that final returned
}

// got is a message that came, and where its answer goes.
type got struct {
	text  string
	reply func(string)
	conn  net.Conn // nil for UDP
}

func newPeer(t testing.TB, transport, ip string, conf *tls.Config) *peer {
	t.Helper()
	p := &peer{t: t, in: make(chan got, 100), tls: conf}
	if transport == "udp" {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 0)))
		if err != nil {
			t.Fatal(err)
		}
		p.udp, p.close = conn, func() { _ = conn.Close() }
		p.place = proxy.Place{Transport: transport, Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
		go p.datagrams()
	} else {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Fatal(err)
		}
		p.close = func() { _ = l.Close(); p.hangUp() }
		p.place = proxy.Place{Transport: transport, Addr: l.Addr().(*net.TCPAddr).AddrPort()}
		if transport == "tls" {
			p.place.Name = "peer.test"
			l = tls.NewListener(l, conf)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				p.adopt(conn)
			}
		}()
	}
	t.Cleanup(func() { p.close() })
	return p
}

func (p *peer) datagrams() {
	buf := make([]byte, 65536)
	for {
		n, from, err := p.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p.in <- got{string(buf[:n]), func(s string) { _, _ = p.udp.WriteToUDPAddrPort([]byte(s), from) }, nil}
	}
}

// adopt reads a connection until it ends.
func (p *peer) adopt(conn net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, conn)
	p.mu.Unlock()
	go func() {
		r := bufio.NewReader(conn)
		for {
			text, err := readSIP(r)
			if err != nil {
				close := got{text: "closed"}
				p.in <- close
				return
			}
			p.in <- got{text, func(s string) { _, _ = io.WriteString(conn, s) }, conn}
		}
	}()
}

// hangUp closes the connections there are.
func (p *peer) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func readSIP(r *bufio.Reader) (string, error) {
	var b strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		if line == "\r\n" {
			break
		}
		if v, ok := strings.CutPrefix(strings.ToLower(line), "content-length:"); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return "", err
			}
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return b.String() + string(body), err
}

// connect opens a connection to the gate.
func (p *peer) connect(to netip.AddrPort) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		p.t.Fatal(err)
	}
	if p.place.Transport == "tls" {
		conn = tls.Client(conn, p.tls)
	}
	p.adopt(conn)
	return conn
}

// next is the next message whose first line begins or ends so; others that come
// before, other than want's repetitions, fail the test unless they are 100s.
func (p *peer) next(want string) got {
	p.t.Helper()
	for {
		select {
		case m := <-p.in:
			first, _, _ := strings.Cut(m.text, "\r\n")
			if strings.HasPrefix(first, want) || strings.HasPrefix(first, "SIP/2.0 "+want) {
				return m
			}
			if !strings.HasPrefix(first, "SIP/2.0 100") && !strings.HasPrefix(first, "OPTIONS") && m.text != "closed" {
				p.t.Fatalf("waiting for %s, got %q", want, first)
			}
		case <-time.After(15 * time.Second):
			p.t.Fatalf("%s: no %s came", p.place.Addr, want)
		}
	}
}

// head is a header's value in a raw message.
func head(text, name string) string {
	for _, line := range strings.Split(text, "\r\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// answer makes a response to a raw request.
func answer(req, status, tag string, extra ...string) string {
	to := head(req, "To")
	if tag != "" && !strings.Contains(to, "tag=") {
		to += ";tag=" + tag
	}
	lines := []string{"SIP/2.0 " + status}
	for _, line := range strings.Split(req, "\r\n") {
		if name, _, _ := strings.Cut(line, ":"); name == "Via" || name == "Record-Route" {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "From: "+head(req, "From"), "To: "+to, "Call-ID: "+head(req, "Call-ID"), "CSeq: "+head(req, "CSeq"))
	return strings.Join(append(append(lines, extra...), "Content-Length: 0", "", ""), "\r\n")
}

// request makes a raw request of that peer.
func (p *peer) request(method, uri, to, callID string, cseq int, extra ...string) string {
	via := strings.ToUpper(p.place.Transport)
	contact := fmt.Sprintf("<sip:p@%s>", p.place.Addr)
	if p.place.Transport != "udp" {
		contact = fmt.Sprintf("<sip:p@%s;transport=%s>", p.place.Addr, p.place.Transport)
	}
	lines := append([]string{method + " " + uri + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bK%s%d%s", via, p.place.Addr, callID, cseq, method),
		"Max-Forwards: 70", "From: <sip:p@example.test>;tag=p1", "To: " + to, "Call-ID: " + callID,
		fmt.Sprintf("CSeq: %d %s", cseq, method), "Contact: " + contact}, extra...)
	return strings.Join(append(lines, "Content-Length: 0", "", ""), "\r\n")
}

func (p *peer) sendTo(to netip.AddrPort, text string) {
	p.t.Helper()
	if _, err := p.udp.WriteToUDPAddrPort([]byte(text), to); err != nil {
		p.t.Fatal(err)
	}
}

// rawGate is a gate without media between raw peers.
type rawGate struct {
	*proxy.Gate
	reg *prometheus.Registry
}

func newRawGate(t testing.TB, carrier, pbx proxy.Side, tune func(*proxy.Config)) *rawGate {
	t.Helper()
	all := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	carrier.AcceptFrom, pbx.AcceptFrom = all, all
	g := &rawGate{reg: prometheus.NewRegistry()}
	cfg := proxy.Config{Node: "n", Trunks: []proxy.Trunk{{Name: "main", Carrier: carrier, PBX: pbx}},
		DNS: onLoopback{}, Log: slog.New(slog.DiscardHandler), Registerer: g.reg}
	if tune != nil {
		tune(&cfg)
	}
	var err error
	if g.Gate, err = proxy.New(cfg); err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(func() {
		ctx, cancel := contextFor(200 * time.Millisecond)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return g
}

// side is a side that listens with that peer's transport and family, and has it
// for its first peer.
func sideOf(peers ...*peer) proxy.Side {
	var s proxy.Side
	for _, p := range peers {
		at := proxy.Listen{Transport: p.place.Transport, Addr: netip.AddrPortFrom(p.place.Addr.Addr(), 0)}
		if len(s.Listen) == 0 || s.Listen[len(s.Listen)-1] != at {
			s.Listen = append(s.Listen, at)
		}
		named := locate.At(p.place.Transport, p.place.Addr)
		if p.place.Name != "" {
			named.Host = p.place.Name
		}
		s.Peers = append(s.Peers, named)
	}
	return s
}

func (g *rawGate) carrier() netip.AddrPort { return g.Addr("main", consent.Remote) }

func (g *rawGate) pbx() netip.AddrPort { return g.Addr("main", consent.Local) }

// onLoopback is a DNS in which every name is this machine's.
type onLoopback struct{}

func (onLoopback) Lookup(_ context.Context, _ string, t locate.Type) (locate.Records, error) {
	r := locate.Records{TTL: time.Hour}
	switch t {
	case locate.TypeA:
		r.Addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	case locate.TypeAAAA:
		r.Addrs = []netip.Addr{netip.MustParseAddr("::1")}
	}
	return r, nil
}

// counted reads a counter.
func (g *rawGate) counted(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := true
			for i, l := range labels {
				match = match && m.GetLabel()[i].GetValue() == l
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue writes a certificate and key for a name, and returns their files.
func (a *authority) issue(file, name string, serial int64) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour + time.Duration(serial)*time.Minute)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(file+".pem", "CERTIFICATE", der), a.write(file+".key", "PRIVATE KEY", raw)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// peerTLS is a peer's own settings: its certificate is for peer.test.
func (a *authority) peerTLS() *tls.Config {
	a.t.Helper()
	cert, err := tls.LoadX509KeyPair(a.issue("peer", "peer.test", 7))
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: a.pool(), ServerName: "gate.test"}
}

// gateTLS is the gate's.
func (a *authority) gateTLS() *proxy.TLS {
	cert, key := a.issue("gate", "gate.test", 2)
	return &proxy.TLS{Cert: cert, Key: key, CA: filepath.Join(a.dir, "ca.pem")}
}
