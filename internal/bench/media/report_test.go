package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// ran is a run that cost so much CPU a packet, us.
func ran(us float64) result {
	return result{load: load{Received: 1e6, Sent: 1e6, RelayCPU: us, Seconds: 1e4}}
}

func TestARatioComparesWithinEachRound(t *testing.T) {
	r := report{plan: plan{sizes: []int{200}, repeat: 3}, rounds: map[runKey][]result{
		{200, gatePlain}: {ran(6), ran(60), ran(9)}, // the machine was ten times slower in the second round
		{200, rtpePlain}: {ran(10), ran(100), ran(10)},
	}}
	if got := r.ratio(ratios[0], 200); got != 0.6 {
		t.Errorf("the ratio is %v, want 0.6", got)
	}
	text := r.String()
	if !strings.Contains(text, "| CPU a packet, gate / rtpengine | 0.75 | 0.60 |") {
		t.Errorf("the ratio isn't in the report:\n%s", text)
	}
	if !strings.Contains(text, "| CPU a packet, gate / floor | none | - |") {
		t.Errorf("a ratio without runs isn't left out:\n%s", text)
	}
}

func TestWhatIsOverItsBarIsMarked(t *testing.T) {
	for _, c := range []struct {
		v, bar float64
		want   string
	}{{0.75, 0.75, "0.75"}, {0.76, 0.75, "**0.76**"}, {3, 0, "3.00"}} {
		if got := verdict(c.v, c.bar); got != c.want {
			t.Errorf("%v with the bar at %v is %q, want %q", c.v, c.bar, got, c.want)
		}
	}
}

func TestTheReportTellsOfEveryLostPacket(t *testing.T) {
	lossy := ran(6)
	lossy.Received -= 3
	lossy.TapDropped, lossy.Behind = 2, true
	r := report{plan: plan{sizes: []int{50}}, rounds: map[runKey][]result{
		{50, gatePlain}: {ran(6), ran(6), lossy}, // the median hides it
		{50, rtpePlain}: {lossy},                 // not the gate's
	}}
	if text := r.String(); !strings.Contains(text, "the gate lost 3 packets, and its taps dropped 2.") {
		t.Errorf("the report says:\n%s", text)
	} else if !strings.Contains(text, "rtpengine with 50 calls had less than half of what was said on the disk at the end of 1 of its runs.") {
		t.Errorf("the report doesn't say who was behind:\n%s", text)
	}
}

func TestFiguresOfAFullMachineAreMarked(t *testing.T) {
	full, idle := ran(6), ran(6)
	full.Seconds, idle.Seconds = 1, 1
	full.RelayCPU, full.OwnCPU = 0.8*float64(runtime.NumCPU()), 0.15*float64(runtime.NumCPU())
	idle.RelayCPU, idle.OwnCPU = 0.4*float64(runtime.NumCPU()), 0.15*float64(runtime.NumCPU())
	r := report{plan: plan{sizes: []int{50, 200}}, rounds: map[runKey][]result{
		{50, gatePlain}: {full, idle, full}, {50, rtpePlain}: {idle, idle, idle},
		{200, gatePlain}: {idle, full, idle}, {200, rtpePlain}: {idle, idle, idle},
	}}
	text := r.String()
	for _, want := range []string{"| 50 | gate (full) |", "| 50 | rtpengine |", "| 200 | gate |", "gate / rtpengine | 0.75 | **2.00** (full) | **1.00** |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in the report:\n%s", want, text)
		}
	}
}

func TestOnlyTheTableIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	for _, old := range []string{"", "old\n"} {
		if err := os.WriteFile(path, []byte("# Before\n"+tableBegins+old+tableEnds+"# After\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := replaceTable(path, "new\n"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if want := "# Before\n" + tableBegins + "new\n" + tableEnds + "# After\n"; err != nil || string(got) != want {
			t.Errorf("the document is %q, %v", got, err)
		}
	}
	if err := os.WriteFile(path, []byte("# No place\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replaceTable(path, "new\n"); err == nil {
		t.Error("a document without a place for the table was accepted")
	}
}

func TestAPlanThatCantBeRunIsRefused(t *testing.T) {
	for _, args := range []string{"-calls=0", "-calls=2501", "-calls=x", "-calls=", "-repeat=0", "-seconds=0", "-idle=-1", "-what"} {
		if p, err := parsePlan([]string{args}); err == nil {
			t.Errorf("%s makes the plan %+v", args, p)
		}
	}
	p, err := parsePlan([]string{"-calls=20,30", "-quick"})
	if err != nil || len(p.sizes) != 2 || p.repeat != 1 {
		t.Errorf("the quick plan with other sizes is %+v, %v", p, err)
	}
}

func TestMetricsAreSummedOverTheirLabels(t *testing.T) {
	m, err := sumMetrics("# HELP a b\na{x=\"1 }\"} 2\na{x=\"2\"} 3e1\nab 5\n")
	if err != nil || m["a"] != 32 || m["ab"] != 5 || len(m) != 2 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := sumMetrics("a many\n"); err == nil {
		t.Error("a value that is no number was accepted")
	}
}
