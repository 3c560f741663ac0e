package dtmf_test

import (
	"bytes"
	"testing"

	"consentgate/media/dtmf"
)

// red wraps blocks as RFC 2198 does: those before the last with how much earlier
// they are.
func red(last []byte, earlier map[uint32][]byte, order ...uint32) (b []byte) {
	for _, ago := range order {
		n := len(earlier[ago])
		b = append(b, 0x80|101, byte(ago>>6), byte(ago<<2)|byte(n>>8), byte(n))
	}
	b = append(b, 101)
	for _, ago := range order {
		b = append(b, earlier[ago]...)
	}
	return append(b, last...)
}

// TestKeysWhosePacketsAreLostComeWithTheNext: redundant blocks are events by
// their own time, and those that came before don't count again.
func TestKeysWhosePacketsAreLostComeWithTheNext(t *testing.T) {
	var k dtmf.Keypad
	keys := ""
	take := func(ts uint32, payload []byte) {
		for r := dtmf.NewRedundant(payload, ts); r.Next(); {
			if r.Type != 101 {
				t.Errorf("payload type %d", r.Type)
			}
			presses, _ := k.Feed(dtmf.Packet{SSRC: 1, Timestamp: r.Timestamp, Payload: r.Payload, ClockRate: 8000, At: noon}, false)
			for _, p := range presses {
				keys += string(rune(p.Key))
			}
		}
	}
	take(20000, red(block(3, false, 160), map[uint32][]byte{9000: block(1, true, 640), 4000: block(2, true, 640)}, 9000, 4000))
	take(20000, red(block(3, true, 640), map[uint32][]byte{9000: block(1, true, 640), 4000: block(2, true, 640)}, 9000, 4000))
	take(30000, red(block(3, true, 640), map[uint32][]byte{10000: block(3, true, 640)}, 10000))
	if keys != "1233" {
		t.Errorf("%q", keys)
	}
}

func TestAPayloadThatIsCutOffHasNoBlocks(t *testing.T) {
	whole := red(nil, map[uint32][]byte{100: block(1, true, 640)}, 100)
	for n := range len(whole) {
		if r := dtmf.NewRedundant(whole[:n], 0); r.Next() {
			t.Errorf("%d of %d bytes: %+v", n, len(whole), r)
		}
	}
}

// FuzzRedundant: no payload makes it read beyond its end, and blocks lie one
// behind the other.
func FuzzRedundant(f *testing.F) {
	f.Add(red(block(3, true, 640), map[uint32][]byte{9: block(1, true, 640)}, 9))
	f.Add([]byte{0x80, 0, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		var all []byte
		for r := dtmf.NewRedundant(payload, 7); r.Next(); {
			all = append(all, r.Payload...)
		}
		if !bytes.HasSuffix(payload, all) {
			t.Errorf("% x isn't the end of % x", all, payload)
		}
	})
}
