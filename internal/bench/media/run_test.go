package main

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tools are built once a test that needs them.
func tools(t *testing.T) programs {
	t.Helper()
	p, err := build(t.Context(), t.TempDir(), favoured)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// badRelay passes packets on with a delay, loses every tenth and adds one that
// nobody sent.
type badRelay struct {
	delay   time.Duration
	legs    [2]*net.UDPConn
	counted atomic.Int64 // of those lost, the ones that count
	passing sync.WaitGroup
}

// countedAt is where a payload says that it counts.
const countedAt = 12 + 16

func (b *badRelay) pass(from, to *net.UDPConn, party netip.AddrPort) {
	buf := make([]byte, 2048)
	for i := 1; ; i++ {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if i%10 == 0 {
			b.counted.Add(int64(binary.LittleEndian.Uint32(buf[countedAt:])))
			continue
		}
		time.Sleep(b.delay) // what the generator must see
		if i == 1 {
			_, _ = to.WriteToUDPAddrPort([]byte("nobody's"), party)
		}
		_, _ = to.WriteToUDPAddrPort(buf[:n], party)
	}
}

func TestTheGeneratorSeesLossDelayAndStrangers(t *testing.T) {
	p := tools(t)
	b := &badRelay{delay: 3 * time.Millisecond}
	to := newTargets(1)
	for side := range b.legs {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(relayIP, 0)))
		if err != nil {
			t.Fatal(err)
		}
		b.legs[side], to[side][0] = c, c.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	for side, c := range b.legs {
		b.passing.Go(func() { b.pass(c, b.legs[1-side], leg(1-side, 0)) })
	}
	g, err := startGenerator(t.Context(), p, plan{warm: 0.2, seconds: 1}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	l, err := g.run(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.legs {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	b.passing.Wait()
	if l.Sent != 100 || l.Sent-l.Received != float64(b.counted.Load()) || b.counted.Load() == 0 {
		t.Errorf("%v sent, %v received, and %d were lost", l.Sent, l.Received, b.counted.Load())
	}
	if delay := float64(b.delay.Microseconds()); l.P50 < delay || l.P99 < l.P50 || l.Max < l.P99 {
		t.Errorf("with a delay of %v us p50 is %v, p99 %v, max %v", delay, l.P50, l.P99, l.Max)
	}
	if l.Foreign != 2 {
		t.Errorf("%v packets were nobody's, want 2", l.Foreign)
	}
}

// TestEveryContestantCarriesItsCalls: through each real program, with few calls
// and not for long.
func TestEveryContestantCarriesItsCalls(t *testing.T) {
	p := tools(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, c := range contestants {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(p.rtpe); err != nil && (c.name == rtpePlain || c.name == rtpeAll) {
				t.Skip("rtpengine isn't installed")
			}
			brief := plan{warm: 0.2, seconds: 0.5}
			if c.recorded > 0 {
				brief.seconds = 3 // most of it must be on the disk by then
			}
			res, err := c.run(ctx, p, brief, 4)
			if err != nil {
				t.Fatal(err)
			}
			if res.Received == 0 || res.RelayCPU <= 0 || res.Unsent > 0 {
				t.Errorf("%+v", res.load)
			}
			if c.recorded > 0 != (res.Recorded > 0) {
				t.Errorf("of a call %.0f bytes a second were recorded", res.Recorded)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(p.dir, "*", "data")); err != nil || len(left) > 0 {
		t.Errorf("recordings are left behind: %v, %v", left, err)
	}
}
