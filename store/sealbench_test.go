package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkSealing is what becomes of a minute of a call, G.711 both ways, when it
// is over: CPU of sealing it, sync and reading back included, and its sizes.
func BenchmarkSealing(b *testing.B) {
	s, dir := kit(b)
	var live, sealed, before, after int64
	for b.Loop() {
		b.StopTimer()
		r := talk(b, s, 60, "PCMU", "PCMA")
		s.FlushNow()
		path := filepath.Join(dir, "recordings", r.ID())
		st, err := os.Stat(path + ".live")
		must(b, err)
		live = st.Size()
		before = cpu(b)
		b.StartTimer()
		must(b, r.Seal(r.End(60), "hang-up"))
		b.StopTimer()
		after += cpu(b) - before
		st, err = os.Stat(path + ".rec")
		must(b, err)
		sealed = st.Size()
		b.StartTimer()
	}
	b.ReportMetric(float64(after)/float64(b.N)/1000, "ms-CPU/min")
	b.ReportMetric(float64(live), "live-B/min")
	b.ReportMetric(float64(sealed), "sealed-B/min")
	const audio = 2 * 60 * 8000 // of both parties
	b.ReportMetric(float64(sealed-audio), "overhead-B/min")
	b.ReportMetric(100*float64(sealed-live)/float64(live), "%-more")
}

// cpu is what the process has used, in microseconds.
func cpu(t testing.TB) int64 {
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
