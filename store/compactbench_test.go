package store

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// BenchmarkCompact writes a directory anew: one whose keys.db had so many recordings
// (COMPACT_ROWS) of which the first half has gone, and one whose log has as many
// entries. The start that logs it isn't in the time: rows without files keep that busy.
func BenchmarkCompact(b *testing.B) {
	n := 20_000
	if v := os.Getenv("COMPACT_ROWS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		must(b, err)
	}
	for i, fill := range []func(*testing.B, *Store, int){fillAndDropHalf, fillLog} {
		name := []string{keysFile, auditFile}[i]
		b.Run(name, func(b *testing.B) {
			o := Options{Dir: filepath.Join(b.TempDir(), "data")}
			s, err := Open(o)
			must(b, err)
			fill(b, s, n)
			must(b, s.Close())
			took, last := map[string]float64{}, time.Now()
			o.reached = func(point string) {
				took[point], last = time.Since(last).Seconds(), time.Now()
			}
			began := time.Now()
			c, err := openCompaction(context.Background(), o.withDefaults())
			must(b, err)
			before, after, err := c.rewrite(context.Background(), []*original{c.keys, c.audit}[i])
			must(b, err, c.close())
			b.ReportMetric(time.Since(began).Seconds(), "s")
			b.ReportMetric(took["compact."+name+".filled"]+took["compact."+name+".copied"], "s-copy")
			b.ReportMetric(took["compact."+name+".compared"], "s-compare")
			b.ReportMetric(float64(before)/(1<<20), "MiB-before")
			b.ReportMetric(float64(after)/(1<<20), "MiB-after")
		})
	}
}

// fillAndDropHalf fills keys.db, and takes the first half out again as retention does.
func fillAndDropHalf(b *testing.B, s *Store, n int) {
	s.keys.db.NoSync = true
	fillKeys(b, s, n, 10_000)
	for at := 0; at < n/2; at += 100_000 {
		must(b, s.keys.db.Update(func(tx *bolt.Tx) error {
			for i := at; i < min(at+100_000, n/2); i++ {
				g, id := rowOf(i)
				must(b, tx.Bucket(bGrantKey).Delete(g[:]), tx.Bucket(bGrant).Delete(g[:]), tx.Bucket(bRecording).Delete([]byte(id)))
			}
			return nil
		}))
	}
	must(b, s.keys.db.Sync())
	s.keys.db.NoSync = false
}

// fillLog has many at once log so many entries.
func fillLog(b *testing.B, s *Store, n int) {
	s.audit.db.NoSync = true
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Withdrawn, Call: consent.Call{ID: "c"}}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	must(b, s.audit.db.Sync())
	s.audit.db.NoSync = false
}
