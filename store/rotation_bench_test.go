package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
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

// fillKeys puts n grants with recordings into keys.db, in buckets of so many: rows as
// the gate writes them, without files.
func fillKeys(b *testing.B, s *Store, n, perBucket int) {
	b.Helper()
	start := time.Now().Add(-24 * time.Hour)
	for at := 0; at < n; at += 20_000 {
		must(b, s.keys.db.Update(func(tx *bolt.Tx) error {
			t, err := s.keys.at(tx)
			if err != nil {
				return err
			}
			keks := map[string]key{}
			for i := at; i < min(at+20_000, n); i++ {
				g, id := rowOf(i)
				bucket := fmt.Sprintf("%straining/%s", ofRecording, start.AddDate(0, 0, i/perBucket).Format(time.DateOnly))
				kek, ok := keks[bucket]
				if !ok {
					if kek, err = t.need(bKEK, asBucketKey, bucket); err != nil {
						return err
					}
					keks[bucket] = kek
				}
				rk := newKey()
				grant, _ := json.Marshal(grantRow{ID: id, Bucket: bucket, Wrapped: seal(kek, asGrantKey, about(id, bucket, g), rk[:])})
				r := row{Grant: g, Start: start.Add(time.Duration(i) * time.Millisecond).UnixNano(), Salt: rk[:]}
				r.Summary = seal(derive(rk, forSummary, nil), asSummary, id, []byte(`{"remote":"+442079460123","trunk":"main"}`))
				rec, _ := json.Marshal(r)
				if err := tx.Bucket(bGrantKey).Put(g[:], grant); err != nil {
					return err
				}
				if err := tx.Bucket(bRecording).Put([]byte(id), rec); err != nil {
					return err
				}
				if err := tx.Bucket(bGrant).Put(g[:], []byte(id)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

func rowOf(i int) (g consent.Hash, id string) {
	g = digest([]byte("grant"), number(i))
	raw := digest([]byte("id"), g[:])
	return g, idText.EncodeToString(raw[:idSize])
}

func number(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// BenchmarkErase makes one erasure final among so many recordings (ERASE_ROWS, in
// buckets of 10,000), while grants come one after another: how long the rotation
// takes, and the longest that one of them waited for its key, with a rotation and
// without. The first rotation of all renews every bucket.
func BenchmarkErase(b *testing.B) {
	n := 20_000
	if v := os.Getenv("ERASE_ROWS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		must(b, err)
	}
	s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "data")})
	must(b, err)
	fillKeys(b, s, n, 10_000)
	ctx := context.Background()
	g, id := rowOf(0)
	must(b, s.eraseSealed(ctx, id, g, "asked"))
	began := time.Now()
	_, grantFirst := grantsDuring(b, s, func() { must(b, s.Rotate(ctx)) })
	first := time.Since(began)
	_, alone := grantsDuring(b, s, func() { time.Sleep(time.Second) })
	var longest time.Duration
	i := 0
	for b.Loop() {
		i++
		g, id := rowOf(i)
		must(b, s.eraseSealed(ctx, id, g, "asked"))
		_, waited := grantsDuring(b, s, func() { must(b, s.Rotate(ctx)) })
		longest = max(longest, waited)
	}
	b.ReportMetric(first.Seconds(), "s-first")
	for unit, d := range map[string]time.Duration{"ms-grant": longest, "ms-grant-first": grantFirst, "ms-grant-alone": alone} {
		b.ReportMetric(d.Seconds()*1000, unit)
	}
	must(b, s.Close())
}

var newGrants atomic.Uint64

// grantsDuring makes one grant's key after another while something is done, and
// returns how many, and how long the slowest took.
func grantsDuring(b *testing.B, s *Store, do func()) (n int, longest time.Duration) {
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if err := s.keys.grantMade(context.Background(), digest([]byte("new"), number(int(newGrants.Add(1)))), consent.Purpose{Name: "training"}); err != nil {
				b.Error(err)
			}
			longest = max(longest, time.Since(began))
			time.Sleep(time.Millisecond)
		}
	})
	do()
	close(stop)
	work.Wait()
	return n, longest
}
