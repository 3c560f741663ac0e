package sipp

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"testing"
	"time"

	"github.com/zaf/g711"
)

// Capture is a capture file for sipp to play: RTP every 20 ms, as PCMU and keys.
type Capture struct {
	b   bytes.Buffer
	n   int
	seq uint16
}

// NewCapture is an empty one.
func NewCapture() *Capture {
	p := &Capture{seq: 1}
	p.put(uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1)) // classic, Ethernet
	return p
}

func (p *Capture) put(vs ...any) {
	for _, v := range vs {
		_ = binary.Write(&p.b, binary.LittleEndian, v) // to memory: can't fail
	}
}

// packet adds one packet, 20 ms after the last.
func (p *Capture) packet(pt byte, marker bool, ts uint32, payload []byte) {
	rtp := []byte{0x80, pt, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42}
	if marker {
		rtp[1] |= 0x80
	}
	binary.BigEndian.PutUint16(rtp[2:], p.seq)
	binary.BigEndian.PutUint32(rtp[4:], ts)
	rtp = append(rtp, payload...)
	udp := []byte{0x1f, 0x40, 0x1f, 0x42, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(rtp)))
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+8+len(rtp)))
	frame := append(append(append(make([]byte, 12), 0x08, 0x00), ip...), append(udp, rtp...)...)
	us := p.n * 20000
	p.put(uint32(us/1e6), uint32(us%1e6), uint32(len(frame)), uint32(len(frame)), frame)
	p.n++
	p.seq++
}

// Tone adds a tone, in Hz.
func (p *Capture) Tone(hz float64, d time.Duration) {
	for range int(d / (20 * time.Millisecond)) {
		payload := make([]byte, 160)
		for i := range payload {
			payload[i] = g711.EncodeUlawFrame(int16(8000 * math.Sin(2*math.Pi*hz*float64(p.n*160+i)/8000)))
		}
		p.packet(0, false, uint32(p.n*160), payload)
	}
}

// Key presses a key, by its code, for 100 ms, with the end sent three times (RFC 4733
// section 2.5).
func (p *Capture) Key(code byte) {
	ts := uint32(p.n * 160)
	for i := 1; i <= 8; i++ {
		end, long := byte(10), uint16(min(i, 5)*160)
		if i > 5 {
			end |= 0x80
		}
		p.packet(101, i == 1, ts, []byte{code, end, byte(long >> 8), byte(long)})
	}
}

// Write makes the file.
func (p *Capture) Write(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, p.b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
