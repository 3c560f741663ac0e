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
	"consentgate/store/catalog"
)

// fillKeys puts n grants with recordings into keys.db, in buckets of so many and all
// in one month of the catalog: rows as the gate writes them, without files.
func fillKeys(b *testing.B, s *Store, n, perBucket int) {
	b.Helper()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for at := 0; at < n; at += 20_000 {
		must(b, s.keys.db.Update(func(tx *bolt.Tx) error {
			t, err := s.keys.at(tx)
			if err == nil {
				_, err = t.need(bSystem, asSystemKey, numberIndex)
			}
			if err != nil {
				return err
			}
			list := t.catalog()
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
				raw, err := idBytes(id)
				if err != nil {
					return err
				}
				if _, _, err := list.Put(catalog.Row{Position: catalog.Position{Start: r.Start, ID: raw}, Remote: uint64(i), State: 2}); err != nil {
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
// buckets of 10,000, all in one month of the catalog), while grants and searches
// come one after another: how long the rotation takes, and the longest that a
// grant waited for its key and a search took, with a rotation and without. The
// first rotation of all renews every bucket.
func BenchmarkErase(b *testing.B) {
	n := 20_000
	if v := os.Getenv("ERASE_ROWS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		must(b, err)
	}
	s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "data")})
	must(b, err)
	s.keys.db.NoSync = true // while it is filled
	fillKeys(b, s, n, 10_000)
	must(b, s.keys.db.Sync())
	s.keys.db.NoSync = false
	ctx := context.Background()
	g, id := rowOf(0)
	must(b, s.eraseSealed(ctx, id, g, "asked"))
	began := time.Now()
	first := delaysDuring(b, s, func() { must(b, s.Rotate(ctx)) })
	took := time.Since(began)
	alone := delaysDuring(b, s, func() { time.Sleep(time.Second) })
	var longest delays
	i := 0
	for b.Loop() {
		i++
		g, id := rowOf(i)
		must(b, s.eraseSealed(ctx, id, g, "asked"))
		w := delaysDuring(b, s, func() { must(b, s.Rotate(ctx)) })
		longest = delays{max(longest.grant, w.grant), max(longest.search, w.search)}
	}
	b.ReportMetric(took.Seconds(), "s-first")
	for name, w := range map[string]delays{"": longest, "-first": first, "-alone": alone} {
		b.ReportMetric(w.grant.Seconds()*1000, "ms-grant"+name)
		b.ReportMetric(w.search.Seconds()*1000, "ms-search"+name)
	}
	must(b, s.Close())
}

// delays are the longest.
type delays struct{ grant, search time.Duration }

var newGrants atomic.Uint64

// delaysDuring makes one grant's key after another, and searches for the latest
// recording, while something is done.
func delaysDuring(b *testing.B, s *Store, do func()) (w delays) {
	stop := make(chan struct{})
	var work sync.WaitGroup
	again := func(longest *time.Duration, f func() error) {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				began := time.Now()
				if err := f(); err != nil {
					b.Error(err)
				}
				*longest = max(*longest, time.Since(began))
			}
		})
	}
	again(&w.grant, func() error {
		return s.keys.grantMade(context.Background(), digest([]byte("new"), number(int(newGrants.Add(1)))), consent.Purpose{Name: "training"})
	})
	again(&w.search, func() error {
		_, _, err := s.Search(Query{Limit: 1})
		return err
	})
	do()
	close(stop)
	work.Wait()
	return w
}
