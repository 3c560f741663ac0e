package datagram

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestChecksumsAddUpToNothing: a receiver's sum over what it covers, the checksum
// included, is all ones (RFC 1071).
func TestChecksumsAddUpToNothing(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:5004", "192.0.2.2:5060"}, {"[2001:db8::1]:5004", "[2001:db8::2]:1"}} {
		for _, data := range []string{"", "x", "xy", "a longer one."} {
			from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
			b := Append([]byte("before"), from, to, []byte(data))[len("before"):]
			udp := b[len(b)-len(data)-head:]
			pseudo := sum(sum(uint64(udpProtocol+len(udp)), from.Addr().AsSlice()), to.Addr().AsSlice())
			if got := fold(sum(pseudo, udp)); got != 0 {
				t.Errorf("%s, %q: UDP leaves %04x", ends[0], data, got)
			}
			if int(binary.BigEndian.Uint16(udp[4:])) != len(udp) || binary.BigEndian.Uint16(udp) != from.Port() {
				t.Errorf("%s, %q: % x", ends[0], data, udp)
			}
			if !from.Addr().Is4() {
				continue
			}
			if got := fold(sum(0, b[:head4])); got != 0 {
				t.Errorf("%q: IP leaves %04x", data, got)
			}
			if back, ok := Data(b); !ok || string(back) != data {
				t.Errorf("%q comes back as %q", data, back)
			}
		}
	}
}

func TestWhatDoesntFitIsCutOff(t *testing.T) {
	end := netip.MustParseAddrPort("192.0.2.1:1")
	b := Append(nil, end, end, bytes.Repeat([]byte{1}, Most+1))
	if data, ok := Data(b); !ok || len(data) != Most {
		t.Errorf("%d bytes, %v", len(data), ok)
	}
	for _, other := range [][]byte{nil, b[:20], b[:len(b)-1], append([]byte{0x60}, b[1:]...)} {
		if _, ok := Data(other); ok {
			t.Errorf("%d bytes were taken for a datagram", len(other))
		}
	}
}
