package media

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// FuzzPacket: whatever a peer sends as RTP, the readers of headers, keys and
// streams don't panic, and what they would pass on is as long as what came.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff})
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0x8a, 3, 32})
	f.Add([]byte{0x9f, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxPacket {
			return
		}
		var h rtp.Header
		n, err := h.Unmarshal(data)
		if err != nil || h.Version != 2 {
			return
		}
		var k keypad
		k.feed(h.SSRC, h.Timestamp, data[n:], true, time.Time{})
		k.feed(h.SSRC, h.Timestamp+1, data[n:], false, time.Time{})
		var s stream
		s.pass(data, time.Now())
		s.next(160, true, time.Now())
		s.pass(data, time.Now())
		var again rtp.Header
		if m, err := again.Unmarshal(data); err != nil || m != n || again.SSRC != s.ssrc {
			t.Fatalf("the packet isn't one any more: %v", err)
		}
	})
}

// FuzzRTCP: translation doesn't panic, and makes RTCP of RTCP.
func FuzzRTCP(f *testing.F) {
	for _, p := range []rtcp.Packet{&rtcp.SenderReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2}}},
		&rtcp.ReceiverReport{SSRC: 1}, &rtcp.Goodbye{Sources: []uint32{1}},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}}} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	ours := mapping{ours: true, ssrc: 9, source: 1, moved: true, moveSeq: 5, moveTime: 7}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := translate(data, ours, ours)
		if err != nil {
			return
		}
		if _, err := rtcp.Unmarshal(out); err != nil {
			t.Fatalf("what we made isn't RTCP: %v", err)
		}
	})
}
