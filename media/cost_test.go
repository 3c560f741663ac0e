package media_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"consentgate/consent"
)

// BenchmarkLoadedRelay drives one direction with a window of packets under way,
// as many calls at once do: wake-ups are shared, the cost a packet shows. The
// floor is recvfrom and sendto in a bare loop, in the same run.
func BenchmarkLoadedRelay(b *testing.B) {
	const window = 32
	run := func(b *testing.B, from, to *end) {
		raw := voice(1)
		buf := make([]byte, 2048)
		if err := to.rtp.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		start := cpu()
		under := 0
		for b.Loop() {
			from.send(raw)
			if under++; under < window {
				continue
			}
			for ; under > 0; under-- {
				if _, _, err := to.rtp.ReadFromUDPAddrPort(buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64((cpu()-start).Nanoseconds())/1000/float64(b.N), "us-cpu/packet")
	}
	b.Run("floor", func(b *testing.B) {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			b.Fatal(err)
		}
		from, to := newEnd(b, at(c)), newEnd(b, at(c))
		var loop sync.WaitGroup
		loop.Go(func() {
			buf := make([]byte, 2048)
			for {
				n, _, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				if _, err := c.WriteToUDPAddrPort(buf[:n], at(to.rtp)); err != nil {
					return
				}
			}
		})
		run(b, from, to)
		if err := c.Close(); err != nil {
			b.Error(err)
		}
		loop.Wait()
	})
	for _, name := range []string{"relay", "relay-rewriting", "relay-and-tap"} {
		b.Run(name, func(b *testing.B) {
			c := newCall(b)
			if name == "relay-rewriting" {
				play(b, c.relay.Leg(consent.Local), speech(160))
				c.pbx.recv()
			}
			c.relay.Bridge()
			if name == "relay-and-tap" {
				tap := c.open(b, discard{})
				defer sealed(b, tap)
				defer tap.Close("end")
			}
			run(b, c.remote, c.pbx)
		})
	}
}

// BenchmarkKeyToTap is the time from a key's packet leaving the party to a tap
// that is open, with a ledger and a recorder in memory: what is ours of the time
// that isn't recorded after a yes.
func BenchmarkKeyToTap(b *testing.B) {
	c := newCall(b)
	for i := 0; b.Loop(); i++ {
		c.remote.send(event(uint16(i), uint32(i)*1000, 1, true, 800))
		<-c.events
		tap := c.open(b, discard{})
		b.StopTimer()
		tap.Close("end")
		sealed(b, tap)
		b.StartTimer()
	}
}
