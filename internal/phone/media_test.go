package phone_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/internal/phone"
)

// TestPressWithoutTelephoneEventIsAnError: nobody must think that a key was sent.
func TestPressWithoutTelephoneEventIsAnError(t *testing.T) {
	m, err := phone.NewMedia(loopback.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Apply([]byte("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n"))
	if m.Press('1', time.Millisecond) == nil || m.Press('x', time.Millisecond) == nil {
		t.Error("it was pressed")
	}
}

// TestMediaFollowsTheFarEndsDescription: its codec, its number for keys, its port.
func TestMediaFollowsTheFarEndsDescription(t *testing.T) {
	a, b := media(t), media(t)
	a.Say(make([]int16, 800)) // 100 ms of silence, then the tone
	a.Tone(880)
	swap := strings.NewReplacer("RTP/AVP 0 8 101", "RTP/AVP 8 96", "a=rtpmap:101 telephone-event", "a=rtpmap:96 telephone-event")
	a.Apply([]byte(swap.Replace(string(b.Describe("sendrecv")))))
	ctx := soon(t)
	if err := b.WaitTone(ctx, 880); err != nil {
		t.Fatal(err)
	}
	if err := a.PressEnding('5', 60*time.Millisecond, 0); err != nil { // the ends are lost
		t.Fatal(err)
	}
	if err := b.WaitFor(ctx, func(ps []phone.Packet) bool { // speech again: the key is over
		return phone.Keys(ps) == "5" && ps[len(ps)-1].PayloadType == 8
	}); err != nil {
		t.Fatal(err)
	}
	got := b.Received()
	if phone.Level(got[:4]) > 10 {
		t.Error("what was to be said first wasn't")
	}
	events := 0
	for _, p := range got {
		switch {
		case p.PayloadType == 96:
			events++
			if p.Payload[1]&0x80 != 0 {
				t.Error("an end packet was sent")
			}
		case p.PayloadType != 8:
			t.Errorf("payload type %d", p.PayloadType)
		}
	}
	if events != 3 {
		t.Errorf("%d packets of a key of 60 ms", events)
	}
	for _, direction := range []string{"sendonly", "inactive"} {
		a.Apply(b.Describe(direction))
		n := len(b.Received())
		a.Apply(b.Describe("recvonly"))
		if err := b.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > n }); err != nil {
			t.Errorf("after %s: %v", direction, err)
		}
	}
}

func media(t *testing.T) *phone.Media {
	t.Helper()
	m, err := phone.NewMedia(loopback.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// TestBreaksInAStreamAreCounted: an instrument that can't find a fault proves
// nothing.
func TestBreaksInAStreamAreCounted(t *testing.T) {
	at := time.Unix(0, 0)
	stream := func(change func(i int, h *rtp.Header)) []phone.Packet {
		var out []phone.Packet
		for i := range 10 {
			h := rtp.Header{SSRC: 1, SequenceNumber: uint16(65530 + i), Timestamp: uint32(1<<32 - 480 + 160*i)}
			change(i, &h)
			out = append(out, phone.Packet{At: at.Add(time.Duration(i) * 20 * time.Millisecond), Packet: rtp.Packet{Header: h}})
		}
		return out
	}
	after := func(i int) bool { return i >= 5 }
	for _, c := range []struct {
		name          string
		ssrc, seq, ts int
		change        func(i int, h *rtp.Header)
	}{
		{"none, over the wrap", 0, 0, 0, func(int, *rtp.Header) {}},
		{"another SSRC", 1, 0, 0, func(i int, h *rtp.Header) {
			if after(i) {
				h.SSRC = 2
			}
		}},
		{"a lost packet", 0, 1, 0, func(i int, h *rtp.Header) {
			if after(i) {
				h.SequenceNumber++
			}
		}},
		{"time back", 0, 0, 1, func(i int, h *rtp.Header) {
			if after(i) {
				h.Timestamp -= 8000
			}
		}},
		{"time on", 0, 0, 1, func(i int, h *rtp.Header) {
			if after(i) {
				h.Timestamp += 8000
			}
		}},
	} {
		if ssrc, seq, ts := phone.Jumps(stream(c.change)); ssrc != c.ssrc || seq != c.seq || ts != c.ts {
			t.Errorf("%s: %d %d %d", c.name, ssrc, seq, ts)
		}
	}
}
