package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/proxy"
	"consentgate/proxy/locate"
)

// wire is no more than a socket that sends and gets SIP as text.
type wire struct {
	t    *testing.T
	conn *net.UDPConn
	gate netip.AddrPort // of its side
	seen map[string]bool
}

// registry is a gate between a registrar and PBXs that are sockets.
type registry struct {
	t         *testing.T
	gate      *proxy.Gate
	metrics   *prometheus.Registry
	registrar *wire
	pbx       *wire
}

func newWire(t *testing.T, at string) *wire {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn, seen: map[string]bool{}}
}

func (p *wire) addr() string { return p.conn.LocalAddr().String() }

func newRegistry(t *testing.T, tune func(*proxy.Config)) *registry {
	t.Helper()
	r := &registry{t: t, metrics: prometheus.NewRegistry(), registrar: newWire(t, "127.0.0.1:0"), pbx: newWire(t, "127.0.0.1:0")}
	r.start(tune, "127.0.0.1:0", "127.0.0.1:0")
	t.Cleanup(r.stop)
	return r
}

func (r *registry) start(tune func(*proxy.Config), carrier, pbx string) {
	r.t.Helper()
	side := func(p *wire, at string) proxy.Side {
		return proxy.Side{Listen: []proxy.Listen{{Transport: "udp", Addr: netip.MustParseAddrPort(at)}},
			Peers:      []locate.Peer{locate.At("udp", netip.MustParseAddrPort(p.addr()))},
			AcceptFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/30")}}
	}
	cfg := proxy.Config{Node: "n", Trunks: []proxy.Trunk{{Name: "main", Carrier: side(r.registrar, carrier), PBX: side(r.pbx, pbx)}},
		Log: slog.New(slog.DiscardHandler), Registerer: r.metrics}
	if tune != nil {
		tune(&cfg)
	}
	var err error
	if r.gate, err = proxy.New(cfg); err != nil {
		r.t.Fatal(err)
	}
	r.gate.Start()
	r.registrar.gate, r.pbx.gate = r.gate.Addr("main", consent.Remote), r.gate.Addr("main", consent.Local)
}

func (r *registry) stop() {
	if r.gate == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.gate.Shutdown(ctx); err != nil {
		r.t.Error(err)
	}
	r.gate = nil
}

// carrierAddr is by which address the registrar knows everybody.
func (r *registry) carrierAddr() string { return r.registrar.gate.String() }

// another is one more socket of the PBX's side.
func (r *registry) another(at string) *wire {
	p := newWire(r.t, at)
	p.gate = r.pbx.gate
	return p
}

// gauge is a metric's value, summed over its labels.
func (r *registry) gauge(name string) float64 {
	r.t.Helper()
	sum, _ := r.gathered(name)
	return sum
}

func (r *registry) gathered(name string) (sum float64, series int) {
	r.t.Helper()
	all, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				series++
			}
		}
	}
	return sum, series
}

var serial struct {
	sync.Mutex
	n int
}

func unique() string {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return fmt.Sprint("u", serial.n)
}

// send sends a message: a first line and header lines, to which Via (in requests)
// and Content-Length are added.
func (p *wire) send(lines string) {
	p.t.Helper()
	lines = strings.ReplaceAll(lines, "{me}", p.addr())
	first, rest, _ := strings.Cut(strings.TrimSpace(lines), "\n")
	if !strings.HasPrefix(first, "SIP/2.0") {
		rest = fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK%s\nMax-Forwards: 70\n", p.addr(), unique()) + rest
	}
	head, body, _ := strings.Cut(strings.TrimSpace(rest), "\n\n")
	text := first + "\r\n" + strings.ReplaceAll(head, "\n", "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(body)) + body
	if _, err := p.conn.WriteToUDPAddrPort([]byte(text), p.gate); err != nil {
		p.t.Fatal(err)
	}
}

// recv returns the next message whose first line begins so; repetitions and 100
// are passed over, anything else is a failure.
func (p *wire) recv(begins string) string {
	p.t.Helper()
	for {
		m, err := p.next(10 * time.Second)
		if err != nil {
			p.t.Fatalf("waiting for %q: %v", begins, err)
		}
		if !strings.HasPrefix(m, begins) {
			p.t.Fatalf("instead of %q came\n%s", begins, m)
		}
		return m
	}
}

func (p *wire) next(patience time.Duration) (string, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	buf := make([]byte, 65536)
	for {
		n, _, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return "", err
		}
		m := string(buf[:n])
		if p.seen[m] || strings.HasPrefix(m, "SIP/2.0 100") {
			continue
		}
		p.seen[m] = true
		return m, nil
	}
}

// field returns a header's values, one a line.
func field(m, name string) string {
	var out []string
	for _, l := range strings.Split(m, "\r\n")[1:] {
		if l == "" {
			break
		}
		if k, v, ok := strings.Cut(l, ":"); ok && strings.EqualFold(k, name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return strings.Join(out, "\n")
}

func startLine(m string) string { return strings.SplitN(m, "\r\n", 2)[0] }

// reply answers a request; more are header lines, and after a blank one a body.
func (p *wire) reply(req, status string, more ...string) {
	p.t.Helper()
	lines := "SIP/2.0 " + status + "\n"
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		for _, v := range strings.Split(field(req, name), "\n") {
			if name == "To" && !strings.Contains(v, ";tag=") {
				v += ";tag=t" + p.conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().String()
			}
			lines += name + ": " + v + "\n"
		}
	}
	p.send(lines + strings.Join(more, "\n"))
}

// register is a REGISTER's text, in the sender's series of them. contacts are
// whole headers.
func register(user string, cseq int, contacts ...string) string {
	return fmt.Sprintf("REGISTER sip:carrier.example SIP/2.0\nFrom: <sip:%[1]s@carrier.example>;tag=r\nTo: <sip:%[1]s@carrier.example>\n"+
		"Call-ID: reg-%[1]s-{me}\nCSeq: %[2]d REGISTER\n%[3]s\n", user, cseq, strings.Join(contacts, "\n"))
}

// registers registers a user with one Contact that the registrar keeps as it
// comes; returned is the Contact as the registrar got it.
func (r *registry) registers(from *wire, user, contact string) string {
	r.t.Helper()
	from.send(register(user, 1, "Contact: "+contact))
	req := r.registrar.recv("REGISTER ")
	got := field(req, "Contact")
	r.registrar.reply(req, "200 OK", "Contact: "+got, "Expires: 600")
	from.recv("SIP/2.0 200")
	return got
}

// request is a request's text outside a dialog.
func request(method, uri string, more ...string) string {
	id := unique()
	return fmt.Sprintf("%s %s SIP/2.0\nFrom: <sip:+442079460123@carrier.example>;tag=%[3]s\nTo: <%[2]s>\nCall-ID: %[3]s\nCSeq: 1 %[1]s\n%[4]s\n",
		method, uri, id, strings.Join(more, "\n"))
}

// inside is the URI of a Contact value.
func inside(contact string) string {
	_, rest, _ := strings.Cut(contact, "<")
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

// keeps is a proxy.Bindings in memory that can fail or hang.
type keeps struct {
	mu     sync.Mutex
	values map[string][]byte
	fails  bool
	hangs  bool
	asked  int
}

func (k *keeps) Save(ctx context.Context, changes map[string][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.fails {
		return errors.New("no space left on device")
	}
	if k.hangs {
		k.mu.Unlock()
		<-ctx.Done()
		k.mu.Lock()
		return ctx.Err()
	}
	if k.values == nil {
		k.values = map[string][]byte{}
	}
	for name, v := range changes {
		if k.values[name] = v; len(v) == 0 {
			delete(k.values, name)
		}
	}
	return nil
}

func (k *keeps) Load(context.Context) (out [][]byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range k.values {
		out = append(out, v)
	}
	return out, nil
}

func (k *keeps) has(text string) bool {
	values, err := k.Load(context.Background())
	return err == nil && slices.ContainsFunc(values, func(v []byte) bool { return bytes.Contains(v, []byte(text)) })
}

func (k *keeps) state() (kept, asked int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.values), k.asked
}
