package store_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// BenchmarkAppend is the log's rate with so many producers, beside the floor:
// 4 KiB written and synced to a file on the same disk.
func BenchmarkAppend(b *testing.B) {
	b.Run("floor-fdatasync", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
		must(b, err)
		page := make([]byte, 4096)
		for b.Loop() {
			_, err := f.Write(page)
			must(b, err, syscall.Fdatasync(int(f.Fd())))
		}
		must(b, f.Close())
	})
	for _, producers := range []int{1, 10, 100} {
		b.Run(map[int]string{1: "1-producer", 10: "10-producers", 100: "100-producers"}[producers], func(b *testing.B) {
			s, _ := kit(b)
			rec := consent.Record{Kind: consent.Withdrawn, // one that may not wait for company
				Call: consent.Call{ID: "c", Remote: callerNumber}}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var all sync.WaitGroup
			for range producers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := s.Audit().Append(context.Background(), rec); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkGrantToRecorder is from the yes to a recorder that is ready: two
// records and a key made durable, a file made.
func BenchmarkGrantToRecorder(b *testing.B) {
	s, _ := kit(b)
	var rs []*store.Recording
	for b.Loop() {
		r, err := s.Create(context.Background(), grant(b, s.Audit(), "c"))
		must(b, err)
		rs = append(rs, r)
	}
	b.StopTimer()
	for _, r := range rs {
		must(b, r.Seal(time.Now(), "hang-up"))
	}
}

// TestBenchAMillionEntries is what an auditor waits for: a log of a million
// entries, made by many at once, verified in its data directory and as an export.
func TestBenchAMillionEntries(t *testing.T) {
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a benchmark: E2E_BENCH=1")
	}
	n := int64(1_000_000)
	if v, err := strconv.ParseInt(os.Getenv("BENCH_ENTRIES"), 10, 64); err == nil {
		n = v
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	rec := consent.Record{Kind: consent.Withdrawn, Call: consent.Call{ID: "c", Remote: callerNumber}}
	var left atomic.Int64
	left.Store(n)
	start := time.Now()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.Audit().Append(context.Background(), rec); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("appended: %.0f a second", float64(n)/time.Since(start).Seconds())
	must(t, s.Close())
	info, err := os.Stat(filepath.Join(dir, "audit.db"))
	must(t, err)
	t.Logf("audit.db: %.0f bytes an entry", float64(info.Size())/float64(n))
	start = time.Now()
	if r := verify(t, dir); r.Size != n+2 {
		t.Errorf("%d entries", r.Size)
	}
	t.Logf("verified in the data directory: %.1f s", time.Since(start).Seconds())
	path := filepath.Join(t.TempDir(), "export")
	out, err := os.Create(path)
	must(t, err)
	start = time.Now()
	must(t, store.ExportCell(context.Background(), dir, rootcell.NewFile(store.DefaultRootFile(dir)), out), out.Close())
	t.Logf("exported: %.1f s", time.Since(start).Seconds())
	in, err := os.Open(path)
	must(t, err)
	start = time.Now()
	if r, err := store.VerifyExport(in, ""); err != nil || !r.OK() {
		t.Errorf("%+v %v", r, err)
	}
	t.Logf("verified as an export: %.1f s", time.Since(start).Seconds())
	must(t, in.Close())
	if n > 100_000 { // it is a minute for each half million
		return
	}
	start = time.Now()
	if said, err := exec.Command("python3", "../docs/verify_audit.py", path).CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, said)
	}
	t.Logf("verified as an export, in Python: %.1f s", time.Since(start).Seconds())
}
