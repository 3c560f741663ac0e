package store_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
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
