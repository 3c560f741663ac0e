package media_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media"
)

// call is a rig's relay with its ends by name.
type call struct {
	*rig
	remote, pbx *end
}

func newCall(t testing.TB) *call {
	r := newRig(t)
	return &call{r, r.ends[consent.Remote], r.ends[consent.Local]}
}

// dropped waits until so many packets were dropped for a reason, and not more.
func (r *rig) dropped(t testing.TB, reason string, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d packets dropped as %s", n, reason), func() bool { return r.counter("rtp_dropped_total", reason) >= float64(n) })
	if got := r.counter("rtp_dropped_total", reason); got != float64(n) {
		t.Errorf("%v packets dropped as %s, want %d", got, reason, n)
	}
}

func (e *end) sendRTCP(raw []byte) {
	e.t.Helper()
	if _, err := e.rtcp.WriteToUDPAddrPort(raw, netipNext(e.to)); err != nil {
		e.t.Fatal(err)
	}
}

// raw waits for a datagram.
func (e *end) raw(c *net.UDPConn) []byte {
	e.t.Helper()
	b, ok := e.read(c, 10*time.Second)
	if !ok {
		e.t.Fatal("nothing came")
	}
	return b
}

// heardNothing reports what lies in the sockets though nothing should. What
// would have put it there must be over.
func (e *end) heardNothing() {
	e.t.Helper()
	for _, c := range []*net.UDPConn{e.rtp, e.rtcp} {
		if b, ok := e.read(c, time.Millisecond); ok {
			e.t.Errorf("the party heard % x", b)
		}
	}
}

// full is what a description of the end says with all it may send.
func (e *end) full() media.Peer {
	p := e.peer()
	p.Codecs = []media.Codec{{Name: "PCMU", PayloadType: 0, ClockRate: 8000}, {Name: "OPUS", PayloadType: 96, ClockRate: 48000},
		{Name: "telephone-event", PayloadType: 102, ClockRate: 48000}}
	return p
}

// spoken is a short packet.
func spoken(ssrc uint32, seq uint16, ts uint32, payload ...byte) []byte {
	return packet(seq, ts, ssrc, 0, payload)
}

func encode(p rtp.Packet) []byte {
	b, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return b
}

func reportOf(t testing.TB, packets ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func reports(t testing.TB, b []byte) []rtcp.Packet {
	t.Helper()
	p, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatalf("reading % x: %v", b, err)
	}
	return p
}

// speech is audio of so many samples, none of them silent.
func speech(samples int) *media.Audio {
	a := &media.Audio{ID: "speech", PCM: make([]int16, samples)}
	for i := range a.PCM {
		a.PCM[i] = int16(1000 + i%5000)
	}
	return a
}

// play plays to the end.
func play(t testing.TB, l *media.Leg, a *media.Audio) media.Played {
	t.Helper()
	done := make(chan media.Played, 1)
	l.Play(a, func(p media.Played) { done <- p })
	return ended(t, done)
}

func ended(t testing.TB, done chan media.Played) media.Played {
	t.Helper()
	select {
	case p := <-done:
		return p
	case <-time.After(10 * time.Second):
		t.Fatal("the prompt never ended")
		return media.Played{}
	}
}

func (c *call) open(t testing.TB, s media.Sink) *media.Tap {
	t.Helper()
	_, g := session(t)
	tap, err := c.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	return tap
}

func sealed(t testing.TB, tap *media.Tap) {
	t.Helper()
	select {
	case <-tap.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the recording was never sealed")
	}
}

// script is a Sink that writes down in order what it is told.
type script struct {
	mu    sync.Mutex
	lines []string
	times []time.Time // of packets
	fail  string      // the start of the line that fails
	hold  chan struct{}
}

func (s *script) note(format string, args ...any) error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	s.lines = append(s.lines, line)
	if s.fail != "" && len(line) >= len(s.fail) && line[:len(s.fail)] == s.fail {
		return errDisk
	}
	return nil
}

func (s *script) Format(p consent.Party, pt uint8, encoding string, clockRate int) error {
	return s.note("format %s %d %s/%d", p, pt, encoding, clockRate)
}

func (s *script) WriteRTP(p consent.Party, at time.Time, b []byte) error {
	s.mu.Lock()
	s.times = append(s.times, at)
	s.mu.Unlock()
	return s.note("rtp %s %x", p, bytes.Clone(b[12:]))
}

func (s *script) Gap(p consent.Party, cause string, from, to time.Time) error {
	if to.Before(from) {
		return s.note("gap %s %s backwards", p, cause)
	}
	return s.note("gap %s %s", p, cause)
}

func (s *script) Seal(_ time.Time, reason string) error { return s.note("seal %s", reason) }

func (s *script) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

var stranger = netip.MustParseAddr("127.0.0.2")
