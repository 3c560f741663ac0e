package media_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"consentgate/consent"
	"consentgate/media"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// rig is a relay on loopback with an end on each side.
type rig struct {
	t      testing.TB
	reg    *prometheus.Registry
	pool   *media.Pool
	engine *media.Engine
	relay  *media.Relay
	events chan media.Event
	ends   [2]*end // by party
}

func newEngine(t testing.TB, c media.PoolConfig) (*prometheus.Registry, *media.Pool, *media.Engine) {
	t.Helper()
	pool, err := media.NewPool(c)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	return reg, pool, engineOf(t, media.Config{Pool: pool, Metrics: media.NewMetrics(reg, pool), Log: slog.New(slog.DiscardHandler)})
}

func engineOf(t testing.TB, c media.Config) *media.Engine {
	t.Helper()
	e, err := media.NewEngine(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, events: make(chan media.Event, 1024)}
	r.reg, r.pool, r.engine = newEngine(t, media.PoolConfig{Min: 40000, Max: 40999})
	r.connect()
	return r
}

// connect makes the rig's relay and an end on each side.
func (r *rig) connect() {
	t := r.t
	t.Helper()
	relay, err := r.engine.NewRelay("c", media.Sides{Trunk: "main", Remote: loopback, Local: loopback},
		func(ev media.Event) { r.events <- ev })
	if err != nil {
		t.Fatal(err)
	}
	r.relay = relay
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		r.ends[p] = newEnd(t, relay.Leg(p).Addr())
		relay.Leg(p).SetPeer(r.ends[p].peer())
	}
	t.Cleanup(relay.Close)
}

// end is one side's telephone: two sockets.
type end struct {
	t         testing.TB
	rtp, rtcp *net.UDPConn
	to        netip.AddrPort
}

func newEnd(t testing.TB, to netip.AddrPort) *end {
	t.Helper()
	open := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return &end{t, open(), open(), to}
}

func at(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func (e *end) peer() media.Peer {
	return media.Peer{RTP: at(e.rtp), RTCP: at(e.rtcp), Codec: media.Codec{Name: "PCMU", ClockRate: 8000}, Events: []uint8{101}}
}

func (e *end) send(raw []byte) {
	e.t.Helper()
	if _, err := e.rtp.WriteToUDPAddrPort(raw, e.to); err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) read(c *net.UDPConn, wait time.Duration) ([]byte, bool) {
	buf := make([]byte, 2048)
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		e.t.Fatal(err)
	}
	n, err := c.Read(buf)
	return buf[:n], err == nil
}

// recv waits for a packet.
func (e *end) recv() rtp.Packet {
	e.t.Helper()
	raw, ok := e.read(e.rtp, 5*time.Second)
	var p rtp.Packet
	if !ok || p.Unmarshal(raw) != nil {
		e.t.Fatal("no packet came")
	}
	return p
}

func packet(seq uint16, ts, ssrc uint32, pt uint8, payload []byte) []byte {
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc, PayloadType: pt}, Payload: payload}
	raw, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return raw
}

func voice(seq uint16) []byte {
	return packet(seq, uint32(seq)*160, 7, 0, bytes.Repeat([]byte{byte(seq)}, 160))
}

// event is a telephone-event packet, RFC 4733 section 2.3.
func event(seq uint16, ts uint32, code byte, end bool, duration uint16) []byte {
	e := byte(10)
	if end {
		e |= 0x80
	}
	return packet(seq, ts, 7, 101, []byte{code, e, byte(duration >> 8), byte(duration)})
}

// counter reads one metric; labels are values in any order.
func (r *rig) counter(name string, labels ...string) float64 {
	return counter(r.t, r.reg, name, labels...)
}

func counter(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "consentgate_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasAll(m.GetLabel(), labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func hasAll(have []*dto.LabelPair, want []string) bool {
	n := 0
	for _, l := range have {
		for _, w := range want {
			if l.GetValue() == w {
				n++
			}
		}
	}
	return n >= len(want)
}

// until waits for a condition that something else brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// sink keeps what a tap gives it.
type sink struct {
	mu      sync.Mutex
	packets [][]byte
	gaps    []string
	formats []string
	seals   []string
	fail    error
	block   chan struct{} // nil: doesn't
}

func (s *sink) Format(_ consent.Party, _ uint8, encoding string, _ int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.formats = append(s.formats, encoding)
	return nil
}

func (s *sink) WriteRTP(_ consent.Party, _ time.Time, p []byte) error {
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.packets = append(s.packets, bytes.Clone(p))
	return nil
}

func (s *sink) Gap(p consent.Party, cause string, _, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, p.String()+" "+cause)
	return nil
}

func (s *sink) Seal(_ time.Time, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seals = append(s.seals, reason)
	return nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.packets)
}

// memory is a ledger that keeps nothing.
type memory struct{}

func (memory) Append(context.Context, consent.Record) (uint64, error) { return 0, nil }

// session is a consent that is granted, and its grant.
func session(t testing.TB) (*consent.Session, consent.Grant) {
	t.Helper()
	s := consent.NewSession(&consent.Call{ID: "c"}, &consent.Policy{Action: consent.Ask, Parties: []consent.Party{consent.Remote},
		Accept: '1', Decline: '2', Attempts: 1}, memory{})
	s.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	s.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := s.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	for _, a := range acts {
		if a.Do == consent.Commit {
			acts, _ := s.Step(s.Commit(context.Background(), a.Record))
			for _, a := range acts {
				if a.Do == consent.Create {
					return s, a.Grant
				}
			}
		}
	}
	t.Fatal("no grant")
	return nil, consent.Grant{}
}

var errDisk = errors.New("no space left on device")
