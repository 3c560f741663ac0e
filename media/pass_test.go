package media_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media"
)

// odd are valid packets of all shapes.
func odd() [][]byte {
	extended := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, PayloadType: 8, SSRC: 7, SequenceNumber: 65535,
		Timestamp: 1<<32 - 1, CSRC: []uint32{1, 2, 3}}, Payload: make([]byte, 160)}
	if err := extended.SetExtension(1, []byte{1, 2, 3}); err != nil {
		panic(err)
	}
	padded := rtp.Packet{Header: rtp.Header{Version: 2, Padding: true, SSRC: 9, PayloadType: 96}, Payload: []byte{1}, PaddingSize: 4}
	return [][]byte{spoken(1, 1, 160, make([]byte, 160)...), encode(extended), encode(padded), spoken(1, 2, 320)}
}

func TestPacketsOfAllShapesPassUntouched(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	report := reportOf(t, &rtcp.SenderReport{SSRC: 1, NTPTime: 2, RTPTime: 3, Reports: []rtcp.ReceptionReport{{SSRC: 4}}},
		&rtcp.ExtendedReport{SenderSSRC: 1})
	for _, way := range []struct{ from, to *end }{{c.remote, c.pbx}, {c.pbx, c.remote}} {
		for _, b := range odd() {
			way.from.send(b)
			if got := way.to.raw(way.to.rtp); !bytes.Equal(got, b) {
				t.Errorf("sent % x, came % x", b, got)
			}
		}
		way.from.sendRTCP(report)
		if got := way.to.raw(way.to.rtcp); !bytes.Equal(got, report) {
			t.Errorf("sent % x, came % x", report, got)
		}
	}
	if n := c.counter("rtp_packets_total", "carrier"); n != float64(len(odd())) {
		t.Errorf("%v packets counted from the carrier, want %d", n, len(odd()))
	}
}

func TestNothingPassesWhileThePartiesAreApart(t *testing.T) {
	c := newCall(t)
	report := reportOf(t, &rtcp.ReceiverReport{SSRC: 1})
	apart := func(n int) {
		c.remote.send(spoken(1, 1, 1, 1))
		c.remote.sendRTCP(report)
		c.dropped(t, "gated", n)
		c.pbx.heardNothing()
	}
	apart(2) // a relay begins so
	c.relay.Bridge()
	c.remote.send(spoken(1, 2, 2, 2))
	c.pbx.raw(c.pbx.rtp)
	c.relay.Gate()
	apart(4)
}

func TestNothingIsSentToAPeerWithoutAddress(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	c.remote.send(spoken(1, 1, 1, 1))
	c.pbx.raw(c.pbx.rtp)
	hold := c.pbx.peer()
	hold.RTP, hold.RTCP = media.Peer{}.RTP, media.Peer{}.RTCP
	c.relay.Leg(consent.Local).SetPeer(hold)
	c.remote.send(spoken(1, 2, 2, 2))
	c.remote.sendRTCP(reportOf(t, &rtcp.ReceiverReport{SSRC: 1}))
	c.dropped(t, "held", 2)
	c.pbx.heardNothing()
	c.pbx.send(spoken(2, 1, 1, 1)) // its music on hold
	c.remote.raw(c.remote.rtp)
	c.relay.Leg(consent.Local).SetPeer(c.pbx.peer())
	c.remote.send(spoken(1, 3, 3, 3))
	if p := c.pbx.recv(); p.SequenceNumber != 3 {
		t.Errorf("after the hold came %d", p.SequenceNumber)
	}
}

func TestMalformedPacketsAreCountedAndGoNowhere(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	bad := [][]byte{{}, {0x80}, spoken(1, 1, 1)[:11], stun, append([]byte{0x40}, spoken(1, 1, 1)[1:]...), // version 1
		{0x80, 200, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2},                                                 // RTCP
		append([]byte{0x8f}, spoken(1, 1, 1, 1)[1:]...),                                           // 15 contributors, none there
		append([]byte{0x90}, spoken(1, 1, 1, 0, 0, 0, 9)[1:]...),                                  // extension beyond the end
		append([]byte{0xa0}, spoken(1, 1, 1, 200)[1:]...), packet(1, 1, 1, 0, make([]byte, 2037))} // more padding than packet; too long
	for _, b := range bad {
		c.remote.send(b)
	}
	c.dropped(t, "malformed", len(bad))
	for _, b := range [][]byte{{}, {0x80, 200}, {0x80, 200, 0, 9, 0, 0, 0, 0}, spoken(1, 1, 1)} {
		c.remote.sendRTCP(b)
	}
	c.dropped(t, "malformed", len(bad)+4)
	c.pbx.heardNothing()
}

func TestClosingTwiceIsOnce(t *testing.T) {
	c := newCall(t)
	c.relay.Close()
	c.relay.Close()
	if n := c.pool.InUse(); n != 0 {
		t.Errorf("%d ports in use", n)
	}
	if n := c.counter("media_ports_in_use"); n != 0 {
		t.Errorf("the gauge says %v", n)
	}
}

// TestRelayingAllocatesNothing per packet, without a tap.
func TestRelayingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, played := range []bool{false, true} {
		t.Run(fmt.Sprintf("rewritten=%t", played), func(t *testing.T) {
			c := newCall(t)
			if played {
				play(t, c.relay.Leg(consent.Local), speech(160))
				c.pbx.raw(c.pbx.rtp)
			}
			c.relay.Bridge()
			b, buf := spoken(1, 1, 1, make([]byte, 160)...), make([]byte, 2000)
			c.remote.send(b)
			c.pbx.raw(c.pbx.rtp)
			pass := func() {
				c.remote.send(b)
				if _, _, err := c.pbx.rtp.ReadFromUDPAddrPort(buf); err != nil {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(500, pass); n != 0 {
				t.Errorf("%v allocations a packet", n)
			}
		})
	}
}
