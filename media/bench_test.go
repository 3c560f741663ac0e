package media_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// cpu is the process's CPU time so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRelay sends one packet at a time through the relay and waits for it,
// beside the machine's floor: the same with a bare loop of receive and send.
// us-cpu/packet holds the generator's send and receive, too, in all three.
func BenchmarkRelay(b *testing.B) {
	run := func(b *testing.B, from, to *end) {
		raw := voice(1)
		b.ReportAllocs()
		start := cpu()
		for b.Loop() {
			from.send(raw)
			if _, ok := to.read(to.rtp, 5*time.Second); !ok {
				b.Fatal("lost")
			}
		}
		b.ReportMetric(float64((cpu()-start).Microseconds())/float64(b.N), "us-cpu/packet")
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
	b.Run("relay", func(b *testing.B) {
		r := newRig(b)
		r.relay.Bridge()
		run(b, r.ends[consent.Remote], r.ends[consent.Local])
	})
	b.Run("relay-and-tap", func(b *testing.B) {
		r := newRig(b)
		r.relay.Bridge()
		_, g := session(b)
		tap, err := r.relay.Open(g, discard{})
		if err != nil {
			b.Fatal(err)
		}
		run(b, r.ends[consent.Remote], r.ends[consent.Local])
		tap.Close("end")
		<-tap.Done()
	})
}

type discard struct{}

func (discard) Format(consent.Party, uint8, string, int) error        { return nil }
func (discard) WriteRTP(consent.Party, time.Time, []byte) error       { return nil }
func (discard) Gap(consent.Party, string, time.Time, time.Time) error { return nil }
func (discard) Seal(time.Time, string) error                          { return nil }

// BenchmarkRelayMemory: bytes of heap for one idle call's media.
func BenchmarkRelayMemory(b *testing.B) {
	_, _, engine := newEngine(b, media.PoolConfig{Min: 42000, Max: 60999, Quarantine: time.Nanosecond})
	b.ReportAllocs()
	for b.Loop() {
		relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			b.Fatal(err)
		}
		relay.Close()
	}
	if err := engine.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
}
