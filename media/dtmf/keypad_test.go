package dtmf_test

import (
	"encoding/binary"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media/dtmf"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// block is one event of a payload.
func block(code byte, end bool, length uint16) []byte {
	b := []byte{code, 10, 0, 0}
	if end {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], length)
	return b
}

// step is one packet: what it says and whether the parties are apart then.
type step struct {
	ssrc, ts uint32
	code     byte
	end      bool
	length   uint16
	apart    bool
}

// TestEachKeyCountsOnce whatever is lost, repeated or late.
func TestEachKeyCountsOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		keys  string
	}{
		{"a whole press", []step{{1, 100, 5, false, 160, false}, {1, 100, 5, false, 320, false}, {1, 100, 5, false, 480, false},
			{1, 100, 5, true, 640, false}, {1, 100, 5, true, 640, false}, {1, 100, 5, true, 640, false}}, "5"},
		{"only the end", []step{{1, 100, 1, true, 640, false}}, "1"},
		{"no end", []step{{1, 100, 1, false, 160, false}, {1, 100, 1, false, 480, false}}, "1"},
		{"a stray packet is no press", []step{{1, 100, 1, false, 160, false}}, ""},
		{"just too short", []step{{1, 100, 1, false, 319, false}}, ""},
		{"40 ms", []step{{1, 100, 1, false, 320, false}}, "1"},
		{"an end of no length", []step{{1, 100, 1, true, 0, false}}, "1"},
		{"the same key twice", []step{{1, 100, 1, true, 640, false}, {1, 900, 1, true, 640, false}}, "11"},
		{"two keys at one time", []step{{1, 100, 1, true, 640, false}, {1, 100, 2, true, 640, false}}, "12"},
		{"an old end comes late", []step{{1, 100, 1, true, 640, false}, {1, 900, 2, true, 640, false}, {1, 100, 1, true, 640, false}}, "12"},
		{"packets come in disorder", []step{{1, 100, 1, true, 640, false}, {1, 100, 1, false, 160, false}}, "1"},
		{"the same from two sources", []step{{1, 100, 1, true, 640, false}, {2, 100, 1, true, 640, false}}, "11"},
		{"the source changes in mid-press", []step{{1, 100, 1, false, 160, false}, {1, 100, 1, false, 400, false}, {2, 9, 1, false, 560, false},
			{2, 9, 1, true, 640, false}}, "1"},
		{"a time for each packet", []step{{1, 100, 1, false, 160, false}, {1, 260, 1, false, 320, false}, {1, 420, 1, false, 480, false},
			{1, 580, 1, true, 640, false}, {1, 740, 1, true, 640, false}, {1, 900, 1, true, 640, false}}, "1"},
		{"all but one of each press are lost", []step{{1, 100, 1, false, 400, false}, {1, 900, 1, false, 400, false}}, "11"},
		{"a long press", []step{{1, 100, 1, false, 60000, false}, {1, 100, 1, false, 65535, false}, {1, 65635, 1, false, 400, false},
			{1, 65635, 1, true, 8000, false}}, "1"},
		{"a long press whose segment's last packets are lost", []step{{1, 100, 1, false, 60000, false}, {1, 65635, 1, true, 8000, false}}, "1"},
		{"all keys", []step{{1, 1, 0, true, 640, false}, {1, 2, 9, true, 640, false}, {1, 3, 10, true, 640, false},
			{1, 4, 11, true, 640, false}, {1, 5, 12, true, 640, false}, {1, 6, 15, true, 640, false}}, "09*#AD"},
		{"no key: flash, tones", []step{{1, 1, 16, true, 640, false}, {1, 2, 255, true, 640, false}}, ""},
		{"time wraps", []step{{1, 1<<32 - 1, 1, true, 640, false}, {1, 800, 2, true, 640, false}}, "12"},
	} {
		var k dtmf.Keypad
		keys := ""
		for _, s := range c.steps {
			presses, _ := k.Feed(dtmf.Packet{SSRC: s.ssrc, Timestamp: s.ts, Payload: block(s.code, s.end, s.length), ClockRate: 8000, At: noon}, s.apart)
			for _, p := range presses {
				keys += string(rune(p.Key))
			}
		}
		if keys != c.keys {
			t.Errorf("%s: %q, want %q", c.name, keys, c.keys)
		}
	}
}

// TestAPressIsEvidence: what a press says.
func TestAPressIsEvidence(t *testing.T) {
	var k dtmf.Keypad
	presses, _ := k.Feed(dtmf.Packet{SSRC: 7, Timestamp: 900, Payload: block(11, true, 4800), ClockRate: 48000, At: noon}, true)
	want := consent.Press{Key: '#', Via: "rfc4733", SSRC: 7, RTPTime: 900, Duration: 100 * time.Millisecond, End: true, At: noon}
	if len(presses) != 1 || presses[0] != want {
		t.Errorf("%+v, want %+v", presses, want)
	}
}

// TestEventsPackedIntoOnePacket follow each other in time, and count once though
// they come again by themselves.
func TestEventsPackedIntoOnePacket(t *testing.T) {
	var k dtmf.Keypad
	feed := func(ts uint32, payload []byte) (keys string) {
		presses, _ := k.Feed(dtmf.Packet{SSRC: 1, Timestamp: ts, Payload: payload, ClockRate: 8000, At: noon}, true)
		for _, p := range presses {
			keys += string(rune(p.Key))
		}
		return keys
	}
	if got := feed(100, append(block(1, true, 640), append(block(2, true, 800), 9, 9)...)); got != "12" {
		t.Errorf("%q", got)
	}
	if got := feed(740, block(2, true, 800)) + feed(100, block(1, true, 640)); got != "" {
		t.Errorf("again: %q", got)
	}
}

// TestAConsentDigitNeverReachesTheOtherSide: what began apart is swallowed to
// its last packet, what began together passes.
func TestAConsentDigitNeverReachesTheOtherSide(t *testing.T) {
	var k dtmf.Keypad
	for _, c := range []struct {
		name    string
		step    step
		swallow bool
	}{
		{"apart", step{1, 100, 1, false, 400, true}, true},
		{"it goes on after the bridge", step{1, 100, 1, false, 800, false}, true},
		{"a new one", step{1, 8000, 2, false, 160, false}, false},
		{"the first one's end comes late", step{1, 100, 1, true, 800, false}, true},
		{"the new one goes on", step{1, 8000, 2, true, 320, false}, false},
		{"the same key from another source", step{2, 100, 1, true, 800, false}, false},
		{"one that begins apart", step{1, 40000, 4, false, 60000, true}, true},
		{"and is too long for one segment", step{1, 105535, 4, false, 160, false}, true},
		{"one that begins together", step{1, 300000, 5, false, 60000, false}, false},
		{"and is too long for one segment, too", step{1, 365535, 5, false, 160, true}, false},
	} {
		s := c.step
		_, swallow := k.Feed(dtmf.Packet{SSRC: s.ssrc, Timestamp: s.ts, Payload: block(s.code, s.end, s.length), ClockRate: 8000, At: noon}, s.apart)
		if swallow != c.swallow {
			t.Errorf("%s: swallowed %t", c.name, swallow)
		}
	}
	if _, swallow := k.Feed(dtmf.Packet{SSRC: 1, Payload: []byte{1, 2}, ClockRate: 8000, At: noon}, true); !swallow {
		t.Error("half an event passes while apart")
	}
}

// FuzzKeypad: no bytes make it fail, and no packet counts twice.
func FuzzKeypad(f *testing.F) {
	f.Add([]byte{1, 0x8a, 2, 0x80}, uint32(100), uint32(100), true)
	f.Add(append(block(1, false, 65535), block(1, true, 9)...), uint32(0), uint32(1<<32-1), false)
	f.Add([]byte{16, 0}, uint32(1), uint32(1), true)
	f.Fuzz(func(t *testing.T, payload []byte, ts, ts2 uint32, apart bool) {
		var k dtmf.Keypad
		feed := func(ts uint32) ([]consent.Press, bool) {
			return k.Feed(dtmf.Packet{SSRC: 1, Timestamp: ts, Payload: payload, ClockRate: 8000, At: noon}, apart)
		}
		first, swallow := feed(ts)
		if apart && !swallow {
			t.Error("an event passes while apart")
		}
		for _, p := range first {
			if !p.Key.Valid() || p.Duration < 0 || !p.End && p.Duration < 40*time.Millisecond {
				t.Errorf("press %+v", p)
			}
		}
		if len(payload) < 4*8 { // as many events as are remembered
			if again, _ := feed(ts); len(again) != 0 {
				t.Errorf("counted again: %+v", again)
			}
		}
		feed(ts2)
	})
}
