package phone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// Media is a call's RTP: it sends a packet every 20 ms from the moment it knows
// where to, and keeps what comes. All its methods may be used concurrently.
type Media struct {
	at      netip.AddrPort
	conn    *net.UDPConn  // nil: somebody else has the socket
	keys    chan struct{} // held while a key is pressed
	quit    chan struct{}
	done    sync.WaitGroup
	closing sync.Once

	mu      sync.Mutex
	version int
	to      netip.AddrPort
	codec   uint8 // payload type: 0 or 8
	events  uint8 // the far end's payload type for keys
	held    bool  // the far end wants nothing
	muted   bool
	tone    float64       // Hz; 0 is silence
	speech  []int16       // comes before the tone
	said    chan struct{} // closed when speech has been sent, if somebody waits for it
	key     *keypress
	got     []Packet
	tally   bool // keep no packet but the latest
	counted Count
	arrived chan struct{} // closed and remade at each packet
}

// Packet is one that came.
type Packet struct {
	At time.Time
	rtp.Packet
}

type keypress struct {
	event   byte
	left    int // packets before the end
	ends    int // packets with the end bit to send, RFC 4733 section 2.5.1.4: three
	long    uint16
	ts      uint32
	started bool
	done    chan struct{}
}

const (
	ptime       = 20 * time.Millisecond
	frame       = 160 // samples
	silentCodec = 255 // the far end has none of ours
)

// NewMedia opens a socket and begins to listen, and to send as soon as it is
// told where to.
func NewMedia(ip netip.Addr) (*Media, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return nil, err
	}
	m := MediaElsewhere(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	m.conn = conn
	m.done.Go(m.receive)
	m.done.Go(m.send)
	return m, nil
}

// MediaElsewhere describes, and is told where to send, but has no socket: the
// RTP at that address is somebody else's, such as a load generator's.
func MediaElsewhere(at netip.AddrPort) *Media {
	return &Media{at: at, keys: make(chan struct{}, 1), arrived: make(chan struct{}), quit: make(chan struct{})}
}

// Close ends it.
func (m *Media) Close() {
	m.closing.Do(func() {
		close(m.quit)
		if m.conn != nil {
			_ = m.conn.Close()
		}
		m.done.Wait()
	})
}

// Addr is where RTP is expected.
func (m *Media) Addr() netip.AddrPort { return m.at }

// To is where RTP is sent; invalid while nobody said.
func (m *Media) To() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.to
}

// Tone sets what is sent, in Hz; 0 is silence.
func (m *Media) Tone(hz float64) {
	m.mu.Lock()
	m.tone = hz
	m.mu.Unlock()
}

// Say sends 16-bit samples at 8 kHz before it goes on with the tone.
func (m *Media) Say(pcm []int16) {
	m.mu.Lock()
	m.speech = append(m.speech, pcm...)
	m.mu.Unlock()
}

// Mute stops sending, or starts again.
func (m *Media) Mute(on bool) {
	m.mu.Lock()
	m.muted = on
	m.mu.Unlock()
}

func (m *Media) send() {
	seq, ts, ssrc := uint16(rand.Uint32()), rand.Uint32(), rand.Uint32()
	tick := time.NewTicker(ptime)
	defer tick.Stop()
	for n := 0; ; n += frame {
		select {
		case <-m.quit:
			return
		case <-tick.C:
		}
		ts += frame
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc}}
		to, ok := m.fill(&p, n)
		if !ok {
			continue
		}
		seq++
		if raw, err := p.Marshal(); err == nil {
			_, _ = m.conn.WriteToUDPAddrPort(raw, to) // lost like any datagram
		}
	}
}

// fill makes the packet that begins with sample n; false if there is none to send.
func (m *Media) fill(p *rtp.Packet, n int) (to netip.AddrPort, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.to.IsValid() || m.to.Addr().IsUnspecified() || m.to.Port() == 0 || m.muted || m.held {
		return m.to, false
	}
	if m.key != nil {
		m.pressing(p)
		return m.to, true
	}
	p.PayloadType = m.codec
	p.Payload = make([]byte, frame)
	for i := range p.Payload {
		v := int16(8000 * math.Sin(2*math.Pi*m.tone*float64(n+i)/8000))
		if i < len(m.speech) {
			v = m.speech[i]
		}
		if m.codec == 8 {
			p.Payload[i] = g711.EncodeAlawFrame(v)
		} else {
			p.Payload[i] = g711.EncodeUlawFrame(v)
		}
	}
	m.speech = m.speech[min(frame, len(m.speech)):]
	if len(m.speech) == 0 && m.said != nil {
		close(m.said)
		m.said = nil
	}
	return m.to, m.codec != silentCodec
}

// pressing makes the next packet of the key.
func (m *Media) pressing(p *rtp.Packet) {
	k := m.key
	p.PayloadType = m.events
	if !k.started {
		k.started, k.ts, p.Marker = true, p.Timestamp, true
	}
	p.Timestamp = k.ts
	end := byte(0)
	if k.left > 0 {
		k.left--
		k.long += frame
	} else {
		end = 0x80
		k.ends--
	}
	p.Payload = binary.BigEndian.AppendUint16([]byte{k.event, end | 10}, k.long)
	if k.left == 0 && k.ends == 0 {
		m.key = nil
		close(k.done)
	}
}

const keypad = "0123456789*#ABCD"

// Press presses a key for so long and returns when it is sent. Keys pressed at
// the same time come one after the other. It is an error where the far end takes
// no keys, or the call ends first.
func (m *Media) Press(key byte, d time.Duration) error { return m.PressEnding(key, d, 3) }

// PressEnding is Press with so many end packets, as if the others had been lost.
func (m *Media) PressEnding(key byte, d time.Duration, ends int) error {
	code := strings.IndexByte(keypad, key)
	if code < 0 {
		return fmt.Errorf("no telephone has a key %q", key)
	}
	if m.conn == nil {
		return errors.New("this phone's RTP is somebody else's: it can press keys by INFO only")
	}
	select {
	case m.keys <- struct{}{}:
		defer func() { <-m.keys }()
	case <-m.quit:
		return errOver
	}
	k := &keypress{event: byte(code), left: max(int(d/ptime), 1), ends: ends, done: make(chan struct{})}
	m.mu.Lock()
	takes := m.events != 0
	if takes {
		m.key = k
	}
	m.mu.Unlock()
	if !takes {
		return errors.New("the far end's description has no telephone-event")
	}
	select {
	case <-k.done:
		return nil
	case <-m.quit:
		return errOver
	}
}

var errOver = errors.New("the call is over")

func (m *Media) receive() {
	buf := make([]byte, 2048)
	for {
		n, _, err := m.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var p rtp.Packet
		if err != nil || p.Unmarshal(append([]byte(nil), buf[:n]...)) != nil {
			continue
		}
		m.mu.Lock()
		m.count(p)
		m.got = append(m.got, Packet{time.Now(), p})
		close(m.arrived)
		m.arrived = make(chan struct{})
		m.mu.Unlock()
	}
}

// Received are the packets so far.
func (m *Media) Received() []Packet {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Packet(nil), m.got...)
}

// Count is what came since Tally.
type Count struct{ Packets, Lost int }

// Tally keeps only counts from now on: for loads whose packets are too many.
func (m *Media) Tally() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally, m.counted = true, Count{}
}

// Counted is what came since Tally.
func (m *Media) Counted() Count {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counted
}

func (m *Media) count(p rtp.Packet) {
	if !m.tally {
		return
	}
	if n := len(m.got); n > 0 && m.got[n-1].SSRC == p.SSRC {
		m.counted.Packets++
		m.counted.Lost += max(int(int16(p.SequenceNumber-m.got[n-1].SequenceNumber))-1, 0)
	}
	m.got = nil // a new slice: who waits may still look at the old one
}
