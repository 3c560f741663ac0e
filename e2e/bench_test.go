package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/internal/phone"
	"consentgate/store"
)

func benchOnly(t *testing.T) {
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a benchmark: 'make bench' runs it")
	}
}

// cpuSeconds is the CPU time that a process has used (proc(5), stat).
func cpuSeconds(t testing.TB, pid int) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(raw)[strings.LastIndexByte(string(raw), ')')+1:])
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return float64(user+system) / 100
}

func rssMiB(t testing.TB, pid int) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// TestBench200Calls: so many calls at once with media both ways, half of them
// recorded: no packet may be lost by relay or tap.
func TestBench200Calls(t *testing.T) {
	benchOnly(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	l := newLine(t, setup{grace: "10s", widePorts: true})
	up := talkMuch(ctx, l, 200)
	carriesAll(l, up, 30*time.Second)
	hangUpAll(l, up)
	l.stop()
	if ev := l.evidence(); ev.count(store.TypeSealed) != len(up)/4 {
		t.Errorf("%d sealed", ev.count(store.TypeSealed))
	}
}

// talkMuch sets up calls, of which every second is recorded, and returns what both
// of their ends hear.
func talkMuch(ctx context.Context, l *line, calls int) (up []*phone.Call) {
	t := l.t
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 25 * time.Millisecond) // 40 calls a second
			c, err := l.dial(ctx, "100")
			if err != nil {
				t.Error(err)
				return
			}
			c.Media.Tone(880)
			key := byte('1' + i%2)
			if c.Media.WaitTone(ctx, promptHz) != nil || c.Media.WaitQuiet(ctx, 250*time.Millisecond) != nil {
				t.Errorf("call %d heard no prompt", i)
				return
			}
			c.Press(key)
			if err := c.Media.WaitTone(ctx, 440); err != nil {
				t.Errorf("call %d heard no agent: %v", i, err)
				return
			}
			mu.Lock()
			up = append(up, c)
			mu.Unlock()
		})
	}
	all.Wait()
	l.until("half are recorded", func() bool { return l.metric("recordings_active") == float64(calls/2) })
	for range calls {
		up = append(up, <-l.calls)
	}
	return up
}

// carriesAll counts what the ends of calls hear for a while, and what it costs:
// nothing may be lost.
func carriesAll(l *line, up []*phone.Call, talk time.Duration) {
	t := l.t
	t.Helper()
	for _, c := range up {
		c.Media.Tally()
	}
	pid, start := l.cmd.Process.Pid, time.Now()
	relayed, used, own := l.metric("rtp_packets_total"), cpuSeconds(t, pid), cpuSeconds(t, os.Getpid())
	time.Sleep(talk) // the load runs; nothing is waited for
	took := time.Since(start).Seconds()
	used, own = cpuSeconds(t, pid)-used, cpuSeconds(t, os.Getpid())-own
	relayed = l.metric("rtp_packets_total") - relayed
	var sum phone.Count
	for _, c := range up {
		n := c.Media.Counted()
		sum.Packets += n.Packets
		sum.Lost += n.Lost
	}
	t.Logf("%d calls, half recorded, %.0f s: %.0f packets relayed, %d received, %d lost, %.0f dropped by the tap", len(up)/2, took,
		relayed, sum.Packets, sum.Lost, l.metric("tap_dropped_total"))
	t.Logf("CPU of the gate %.1f %% of one core, %.1f us a packet; of the %d phones and all else here %.1f %%; RSS %.0f MiB", 100*used/took,
		1e6*used/relayed, len(up), 100*own/took, rssMiB(t, pid))
	if sum.Lost > 0 || l.metric("tap_dropped_total") > 0 {
		t.Error("packets were lost")
	}
}

// hangUpAll ends the calls of talkMuch.
func hangUpAll(l *line, up []*phone.Call) {
	l.t.Helper()
	var all sync.WaitGroup
	for _, c := range up[:len(up)/2] {
		all.Go(func() { _ = c.Hangup() })
	}
	all.Wait()
	l.until("all are sealed", func() bool { return l.metric(`recordings_total{outcome="sealed"}`) == float64(len(up)/4) })
}

// TestBenchGrantLatency: from the key that counts to the tap that is open, with
// 100 recordings running. The log's own times tell: the press's arrival in the
// Granted record, and the first packet kept in the recording.
func TestBenchGrantLatency(t *testing.T) {
	benchOnly(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	l := newLine(t, setup{grace: "10s", widePorts: true})
	up := make([]*phone.Call, 100)
	var all sync.WaitGroup
	for i := range up {
		all.Go(func() {
			c, err := l.yes(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			c.Media.Tally()
			up[i] = c
		})
	}
	all.Wait()
	for range up {
		(<-l.calls).Media.Tally()
	}
	if t.Failed() {
		return
	}
	l.until("100 are recorded", func() bool { return l.metric("recordings_active") == 100 })
	for range 100 {
		c, err := l.yes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		<-l.calls
		if err := c.Hangup(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range up {
		if err := c.Hangup(); err != nil {
			t.Error(err)
		}
	}
	l.until("all are sealed", func() bool { return l.metric(`recordings_total{outcome="sealed"}`) == 200 })
	l.stop()
	var took []float64
	s := l.open("")
	found, _, err := s.Search(store.Query{Limit: 100}) // the latest: those that began while 100 ran
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		r, err := s.Check(ctx, f.ID)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, r.Started.Sub(r.Record.Answers[0].Press.At).Seconds()*1000)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))] }
	t.Logf("press to recorder, 100 recordings running, %d grants: p50 %.2f ms, p90 %.2f, p99 %.2f, max %.2f", len(took), at(.5), at(.9), at(.99), at(1))
	if at(.99) > 60 {
		t.Errorf("the 99th percentile is over 60 ms")
	}
}
