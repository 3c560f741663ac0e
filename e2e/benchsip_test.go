package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/internal/sipp"
)

// plainProxy is the measure: kamailio stays in the path and looks at nothing but
// where a message goes next.
const plainProxy = `
request_route {
	if (is_method("OPTIONS")) {
		sl_send_reply("200", "OK");
		exit;
	}
	if (has_totag()) {
		if (loose_route() || is_method("ACK")) t_relay();
		exit;
	}
	if (is_method("CANCEL")) {
		t_relay();
		exit;
	}
	record_route();
	$du = "sip:CALLED";
	t_relay();
}
`

// benchSetting reads a number that a run may set.
func benchSetting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s is %q: it must be a positive number", name, text)
	}
	return n
}

// load is calls between two sipps by way of one element.
type load struct {
	t              *testing.T
	caller, called string // where the sipps listen
	to             string // where calls are sent
	rate           int
}

// run makes so many calls and returns how long it took; a failed one fails the
// test. The called party waits between its 180 and its 200, for with more than one
// worker a proxy may turn round what comes at once; and it takes a late repetition
// of its INVITE, which sipp would abort the call for.
func (l load) run(calls int) time.Duration {
	l.t.Helper()
	quiet := func(s string) string {
		s = strings.ReplaceAll(s, "<nop><action><exec play_pcap_audio=\"\"/></action></nop>", "")
		s = strings.ReplaceAll(s, `<recv request="ACK" rrs="true"/>`, // which logs that there is no Contact
			"<recv request=\"INVITE\" optional=\"true\" next=\"1\"/>\n  <recv request=\"ACK\"/>")
		return strings.Replace(s, "  <send retrans=\"500\"><![CDATA[\n      SIP/2.0 200",
			"  <pause milliseconds=\"20\"/>\n  <label id=\"1\"/>\n  <send retrans=\"500\"><![CDATA[\n      SIP/2.0 200", 1)
	}
	patience := fmt.Sprintf("%ds", calls/l.rate+60)
	more := []string{"-buff_size", "4194304", "-timeout", patience} // sipp's own 64 KiB overflow when it is held up
	server := sipp.Start(l.t, "called", quiet(sipp.Called("")), l.called, "", calls, more...)
	start := time.Now()
	client := sipp.Start(l.t, "caller", quiet(sipp.Caller("100", "", 100*time.Millisecond)), l.caller, l.to, calls,
		append(more, "-r", strconv.Itoa(l.rate), "-l", strconv.Itoa(20*l.rate))...)
	client.Wait()
	took := time.Since(start)
	server.Wait()
	return took
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) (out []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Fields(string(raw)) {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// sampler watches a gate's memory over a run.
type sampler struct {
	rss, heap, goroutines []float64
	quit                  chan struct{}
	done                  sync.WaitGroup
}

func sample(t *testing.T, g *gate) *sampler {
	s := &sampler{quit: make(chan struct{})}
	s.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.rss = append(s.rss, rssMiB(t, g.cmd.Process.Pid))
				s.heap = append(s.heap, g.process("go_memstats_heap_alloc_bytes")/(1<<20))
				s.goroutines = append(s.goroutines, g.process("go_goroutines"))
			case <-s.quit:
				return
			}
		}
	})
	return s
}

func (s *sampler) stop() { close(s.quit); s.done.Wait() }

// quarter is the mean of one quarter of the samples, 0 to 3.
func quarter(samples []float64, n int) float64 {
	part := samples[n*len(samples)/4 : (n+1)*len(samples)/4]
	sum := 0.0
	for _, v := range part {
		sum += v
	}
	return sum / float64(max(1, len(part)))
}

// process reads one of the metrics that every Go program has.
func (g *gate) process(name string) float64 {
	_, body := g.get("/metrics")
	for _, line := range strings.Split(body, "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if v, err := strconv.ParseFloat(rest, 64); err == nil {
				return v
			}
		}
	}
	return 0
}

// TestBenchSip: what a call set up and torn down costs the gate, and kamailio as
// a plain proxy, at the same rate, in the same run, in turns. No call may fail,
// the memory must stay flat once transactions leave as fast as they come, and the
// gate may cost three times the proxy. E2E_BENCH_CALLS and E2E_BENCH_RATE set how
// many calls go through the gate in each row, and how many a second.
func TestBenchSip(t *testing.T) {
	benchOnly(t)
	needs(t, "sipp")
	calls, rate := benchSetting(t, "E2E_BENCH_CALLS", 20000), benchSetting(t, "E2E_BENCH_RATE", 200)
	called := freePort(t)
	at := freePort(t)
	kamailio := startKamailio(t, at, strings.ReplaceAll(plainProxy, "CALLED", called), "-m", "256", "-n", "2")
	floor := load{t, freePort(t), called, at, rate}
	proxied, proxyCalls := 0.0, 0
	measureProxy := func() {
		pids := append(children(t, kamailio), kamailio)
		used := func() (sum float64) {
			for _, pid := range pids {
				sum += cpuSeconds(t, pid)
			}
			return sum
		}
		before := used()
		floor.run(calls / 4)
		proxied += used() - before
		proxyCalls += calls / 4
	}
	type row struct {
		name, policies string
	}
	measured := map[string]float64{}
	rows := []row{
		{"bypass", "  - {name: all, action: bypass}\n"},
		{"asked, hung up", "  - {name: all, purpose: training}\n"},
	}
	for _, r := range rows {
		measureProxy()
		measured[r.name] = benchRow(t, r.name, r.policies, rate, calls)
	}
	measureProxy()
	perProxied := 1000 * proxied / float64(proxyCalls)
	t.Logf("%-16s %6d calls at %d/s: CPU %.2f ms a call", "kamailio", proxyCalls, rate, perProxied)
	for _, r := range rows {
		t.Logf("%-16s costs %.2f times as much", r.name, measured[r.name]/perProxied)
	}
	if ratio := measured["bypass"] / perProxied; ratio > 3 {
		t.Errorf("the gate costs %.2f times what a plain proxy does", ratio)
	}
}

// benchRow runs calls through a gate of its own; CPU in ms a call.
func benchRow(t *testing.T, name, policies string, rate, calls int) float64 {
	carrier, pbx := freePort(t), freePort(t)
	g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx, policies: policies, widePorts: true})
	s := sample(t, g)
	before := cpuSeconds(t, g.cmd.Process.Pid)
	took := load{t, carrier, pbx, g.Carrier, rate}.run(calls)
	s.stop()
	per := 1000 * (cpuSeconds(t, g.cmd.Process.Pid) - before) / float64(calls)
	q := func(v []float64) string {
		return fmt.Sprintf("%.0f %.0f %.0f %.0f", quarter(v, 0), quarter(v, 1), quarter(v, 2), quarter(v, 3))
	}
	t.Logf("%-16s %6d calls in %.0f s: CPU %.2f ms a call", name, calls, took.Seconds(), per)
	t.Logf("%-16s by quarters: RSS %s MiB, heap %s MiB, goroutines %s", "", q(s.rss), q(s.heap), q(s.goroutines))
	if n := g.metric("calls_unanchored_total"); n > 0 {
		t.Errorf("%s: %.0f calls found no media ports", name, n)
	}
	// Transactions are kept for 32 s: before that the memory must grow.
	if took > 80*time.Second && quarter(s.rss, 3) > 1.25*quarter(s.rss, 1) {
		t.Errorf("%s: the memory grew from %.0f to %.0f MiB", name, quarter(s.rss, 1), quarter(s.rss, 3))
	}
	g.stop()
	return per
}
