package main

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// report is all results, as Markdown.
type report struct {
	plan    plan
	at      time.Time
	machine string
	rounds  map[runKey][]result
	idle    idleCall
}

// median over rounds of what f says of each; NaN without any.
func median[T any](of []T, f func(T) float64) float64 {
	var all []float64
	for _, x := range of {
		all = append(all, f(x))
	}
	slices.Sort(all)
	switch n := len(all); {
	case n == 0:
		return math.NaN()
	case n%2 == 0:
		return (all[n/2-1] + all[n/2]) / 2
	default:
		return all[n/2]
	}
}

// column of the table of runs.
type column struct {
	head, format string
	of           func(result) float64
}

var columns = []column{
	{"us of CPU a packet", "%.2f", result.perPacket},
	{"% of a core", "%.1f", func(r result) float64 { return 100 * r.RelayCPU / r.Seconds }},
	{"p50 us", "%.0f", func(r result) float64 { return r.P50 }},
	{"p99 us", "%.0f", func(r result) float64 { return r.P99 }},
	{"max us", "%.0f", func(r result) float64 { return r.Max }},
	{"lost %", "%.3f", func(r result) float64 { return 100 * r.lost() / r.Sent }},
	{"KiB a call, resident", "%.1f", func(r result) float64 { return r.Memory / r.Calls / 1024 }},
	{"bytes recorded a call and s", "%.0f", func(r result) float64 { return r.Recorded }},
	{"generator, % of a core", "%.0f", func(r result) float64 { return 100 * r.OwnCPU / r.Seconds }},
	{"others, % of a core", "%.0f", result.others},
}

// ratio compares two contestants within each round.
type ratio struct {
	what, above, below string
	of                 func(result) float64
	bar                float64 // 0: none
}

func p99(r result) float64 { return r.P99 }

var ratios = []ratio{
	{"CPU a packet", gatePlain, rtpePlain, result.perPacket, 0.75},
	{"CPU a packet", gateAll, rtpeAll, result.perPacket, 1},
	{"p99", gatePlain, rtpePlain, p99, 1},
	{"p99", gateAll, rtpeAll, p99, 1},
	{"CPU a packet", gatePlain, floorPlain, result.perPacket, 0},
	{"CPU a packet", rtpePlain, floorPlain, result.perPacket, 0},
}

// value is the median of the rounds' ratios.
func (r *report) ratio(x ratio, calls int) float64 {
	above, below := r.rounds[runKey{calls, x.above}], r.rounds[runKey{calls, x.below}]
	var pairs [][2]result
	for i := range min(len(above), len(below)) {
		pairs = append(pairs, [2]result{above[i], below[i]})
	}
	return median(pairs, func(p [2]result) float64 { return x.of(p[0]) / x.of(p[1]) })
}

// String is what goes into docs/performance.md.
func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %s. Medians of %d rounds of %g s, 50 packets a second each way a call. Started with `%s`.\n\n",
		r.at.Format("2 January 2006"), r.machine, r.plan.repeat, r.plan.seconds, strings.Join(r.plan.before, " "))
	if r.plan.pin != "" {
		fmt.Fprintf(&b, "Relays had processor %s alone.\n\n", r.plan.pin)
	}
	head := []string{"calls", "relay"}
	for _, c := range columns {
		head = append(head, c.head)
	}
	row(&b, head)
	rule(&b, head, 2)
	for _, calls := range r.plan.sizes {
		for _, c := range contestants {
			runs := r.rounds[runKey{calls, c.name}]
			if len(runs) == 0 {
				continue
			}
			cells := []string{fmt.Sprint(calls), c.name + r.mark(calls, c.name)}
			for _, col := range columns {
				cells = append(cells, fmt.Sprintf(col.format, median(runs, col.of)))
			}
			row(&b, cells)
		}
	}
	b.WriteString("\n")
	r.writeRatios(&b)
	r.writeRest(&b)
	return b.String()
}

func (r *report) writeRatios(b *strings.Builder) {
	head := []string{"ratio", "bar"}
	for _, calls := range r.plan.sizes {
		head = append(head, fmt.Sprintf("%d calls", calls))
	}
	row(b, head)
	rule(b, head, 1)
	for _, x := range ratios {
		cells := []string{fmt.Sprintf("%s, %s / %s", x.what, x.above, x.below), "none"}
		if x.bar > 0 {
			cells[1] = fmt.Sprintf("%.2f", x.bar)
		}
		for _, calls := range r.plan.sizes {
			cell := verdict(r.ratio(x, calls), x.bar)
			if cell != none {
				cell += r.mark(calls, x.above, x.below)
			}
			cells = append(cells, cell)
		}
		row(b, cells)
	}
}

// mark says that the machine was full in most rounds of any of these.
func (r *report) mark(calls int, names ...string) string {
	for _, name := range names {
		if median(r.rounds[runKey{calls, name}], result.full) > 0 {
			return " (full)"
		}
	}
	return ""
}

// none stands for a figure that there isn't.
const none = "-"

// verdict is a figure, marked where it is over its bar.
func verdict(v, bar float64) string {
	switch {
	case math.IsNaN(v):
		return none
	case bar > 0 && v > bar:
		return fmt.Sprintf("**%.2f**", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// The bars of a call without packets.
const heapBar, goroutineBar = 64, 2 // KiB, goroutines

// writeRest says what is in no table: what was lost, and the memory of a call.
func (r *report) writeRest(b *strings.Builder) {
	b.WriteString("\nRatios are medians of each round's; bold is over the bar. Full: relay and generator had more than 90 % of all cores; " +
		"that is the machine's limit, and nothing can be said of the relay.")
	lost, dropped, behind := 0.0, 0.0, map[string]int{}
	for key, runs := range r.rounds {
		for _, run := range runs {
			if run.Behind {
				behind[fmt.Sprintf("%s with %d calls", key.name, key.calls)]++
			}
			if strings.HasPrefix(key.name, gatePlain) {
				lost += run.lost()
				dropped += run.TapDropped
			}
		}
	}
	fmt.Fprintf(b, " In all of its runs the gate lost %.0f packets, and its taps dropped %.0f.\n", lost, dropped)
	for _, who := range slices.Sorted(maps.Keys(behind)) {
		fmt.Fprintf(b, "\n%s had less than half of what was said on the disk at the end of %d of its runs.\n", who, behind[who])
	}
	if r.idle.calls == 0 {
		return
	}
	fmt.Fprintf(b, "\nA call of the gate without packets, of %d: %s KiB of heap (bar %d), %.1f KiB of stacks, %.0f KiB resident, "+
		"%s goroutines (bar %d).\n", r.idle.calls, verdict(r.idle.heap/1024, heapBar), heapBar, r.idle.stacks/1024, r.idle.resident/1024,
		verdict(r.idle.goroutines, goroutineBar), goroutineBar)
}

func row(b *strings.Builder, cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }

// rule is the line below a table's head; columns from the given one on are numbers.
func rule(b *strings.Builder, head []string, numbers int) {
	for i := range head {
		if i < numbers {
			b.WriteString("|---")
		} else {
			b.WriteString("|--:")
		}
	}
	b.WriteString("|\n")
}

// The lines between which a document has the table.
const tableBegins, tableEnds = "<!-- bench-media -->\n", "<!-- end of bench-media -->\n"

// replaceTable puts the report where the document's old one is.
func replaceTable(path, text string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(raw), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q between which the table goes", path,
			strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	}
	return os.WriteFile(path, []byte(before+tableBegins+text+tableEnds+after), 0o644)
}
