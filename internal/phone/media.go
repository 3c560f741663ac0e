package phone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// Media is a call's RTP: it sends a tone every 20 ms from the moment it knows
// where to, and keeps what comes.
type Media struct {
	conn *net.UDPConn
	ip   netip.Addr

	mu      sync.Mutex
	to      netip.AddrPort
	tone    float64 // Hz; 0 is silence
	muted   bool    // sends nothing
	got     []Packet
	tally   bool // keep no packet but the latest
	counted Count
	arrived chan struct{} // closed and remade at each packet
	key     *keypress
	quit    chan struct{}
	done    sync.WaitGroup
	closing sync.Once
}

// Packet is one that came.
type Packet struct {
	At time.Time
	rtp.Packet
}

type keypress struct {
	event byte
	left  int // packets before the end
	ends  int // end packets to send, RFC 4733 section 2.5.1.4: three
	long  uint16
	done  chan struct{}
	first bool
	ts    uint32
}

const (
	ptime    = 20 * time.Millisecond
	eventsPT = 101
)

// NewMedia opens a socket and begins to listen, and to send as soon as it is
// told where to.
func NewMedia(ip netip.Addr) (*Media, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return nil, err
	}
	m := &Media{conn: conn, ip: ip, arrived: make(chan struct{}), quit: make(chan struct{})}
	m.done.Go(m.receive)
	m.done.Go(m.send)
	return m, nil
}

// Close ends it.
func (m *Media) Close() {
	m.closing.Do(func() {
		close(m.quit)
		_ = m.conn.Close()
		m.done.Wait()
	})
}

// Addr is where RTP is expected.
func (m *Media) Addr() netip.AddrPort { return m.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Describe is the session description of this end; version counts them.
func (m *Media) Describe(direction string, version *int) []byte {
	*version++
	at := m.Addr()
	return []byte(fmt.Sprintf("v=0\r\no=- 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0 8 101\r\n"+
		"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=%s\r\n",
		*version, at.Addr(), at.Addr(), at.Port(), direction))
}

// Apply takes the far end's description.
func (m *Media) Apply(body []byte) {
	var host, port string
	for _, line := range strings.Split(string(body), "\r\n") {
		if f := strings.Fields(line); strings.HasPrefix(line, "c=") && len(f) == 3 {
			host = f[2]
		} else if strings.HasPrefix(line, "m=audio ") && len(f) > 2 {
			port = f[1]
		}
	}
	a, err1 := netip.ParseAddr(host)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err1 != nil || err2 != nil {
		return
	}
	m.mu.Lock()
	m.to = netip.AddrPortFrom(a, uint16(n))
	m.mu.Unlock()
}

// Tone sets what is sent, in Hz; 0 is silence.
func (m *Media) Tone(hz float64) {
	m.mu.Lock()
	m.tone = hz
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
	for n := 0; ; n++ {
		select {
		case <-m.quit:
			return
		case <-tick.C:
		}
		m.mu.Lock()
		to, tone, muted, key := m.to, m.tone, m.muted, m.key
		m.mu.Unlock()
		ts += 160
		if !to.IsValid() || to.Addr().IsUnspecified() || to.Port() == 0 || muted {
			continue
		}
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc}}
		if key != nil {
			m.pressing(key, &p)
		} else {
			p.Payload = make([]byte, 160)
			for i := range p.Payload {
				v := 8000 * math.Sin(2*math.Pi*tone*float64(n*160+i)/8000)
				p.Payload[i] = g711.EncodeUlawFrame(int16(v))
			}
		}
		seq++
		if raw, err := p.Marshal(); err == nil {
			_, _ = m.conn.WriteToUDPAddrPort(raw, to)
		}
	}
}

// pressing makes the next packet of a key.
func (m *Media) pressing(k *keypress, p *rtp.Packet) {
	p.PayloadType = eventsPT
	if !k.first {
		k.first, k.ts, p.Marker = true, p.Timestamp, true
	}
	p.Timestamp = k.ts
	end := byte(0)
	if k.left > 0 {
		k.left--
		k.long += 160
	} else {
		end = 0x80
		k.ends--
	}
	p.Payload = binary.BigEndian.AppendUint16([]byte{k.event, end | 10}, k.long)
	if k.ends == 0 {
		m.mu.Lock()
		m.key = nil
		m.mu.Unlock()
		close(k.done)
	}
}

// Press sends a key and returns when it is sent, or the call is over.
func (m *Media) Press(key byte, d time.Duration) {
	i := strings.IndexByte("0123456789*#ABCD", key)
	if i < 0 {
		return
	}
	k := &keypress{event: byte(i), left: max(int(d/ptime), 1), ends: 3, done: make(chan struct{})}
	m.mu.Lock()
	m.key = k
	m.mu.Unlock()
	select {
	case <-k.done:
	case <-m.quit:
	}
}

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
	m.got = m.got[:0]
}
