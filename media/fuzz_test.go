package media

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// FuzzPacket: whatever a peer sends as RTP, what we read of it is what pion's
// parser reads, and moving it into a stream changes its header's numbers and
// marker and nothing else.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff})
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0x8a, 3, 32})
	f.Add([]byte{0x9f, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1})
	f.Add([]byte{0xa0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 2})
	f.Add([]byte{0x91, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0x10, 7, 0, 0, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxPacket {
			return
		}
		h, ok := parse(data)
		var want rtp.Packet
		if err := want.Unmarshal(data); err == nil && want.Version == 2 && ok {
			if h.pt != want.PayloadType || h.seq != want.SequenceNumber || h.ts != want.Timestamp || h.ssrc != want.SSRC ||
				!bytes.Equal(h.payload, want.Payload) {
				t.Fatalf("read %+v, pion reads %v", h, want)
			}
		}
		if !ok {
			return
		}
		moved, now := bytes.Clone(data), time.Now()
		var s stream
		if why := s.pass(moved, h, 8000, now); why != reasons || !bytes.Equal(moved, data) {
			t.Fatalf("an untouched direction: reason %d, % x became % x", why, data, moved)
		}
		next := s.next(160, 8000, true, now)
		s.yield()
		if why := s.pass(moved, h, 8000, now); why != reasons {
			t.Fatalf("it can't join: reason %d", why)
		}
		got, ok := parse(moved)
		if !ok || got.ssrc != h.ssrc || got.seq != next.seq+1 || got.pt != h.pt || moved[0] != data[0] || !bytes.Equal(moved[12:], data[12:]) {
			t.Fatalf("% x became % x", data, moved)
		}
	})
}

// FuzzRTCP: translation doesn't panic, makes RTCP of RTCP, and names no source
// that its receiver doesn't know by that name.
func FuzzRTCP(f *testing.F) {
	for _, p := range []rtcp.Packet{&rtcp.SenderReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 9}}},
		&rtcp.ReceiverReport{SSRC: 1}, &rtcp.Goodbye{Sources: []uint32{1}}, &rtcp.ExtendedReport{SenderSSRC: 1},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}}} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	ours := mapping{ours: true, ssrc: 9, joined: true, join: join{source: 1, seq: 5, ts: 7}}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxPacket {
			return
		}
		out, err := translate(data, ours, ours)
		if err != nil || out == nil {
			return
		}
		packets, err := rtcp.Unmarshal(out)
		if err != nil {
			t.Fatalf("what we made isn't RTCP: %v", err)
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC != 9 {
				t.Fatalf("a sender report of %d", sr.SSRC)
			}
		}
	})
}
