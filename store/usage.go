package store

import (
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// ErrQuota means that a trunk's recordings take all the room that it may.
var ErrQuota = errors.New("the trunk's recordings have reached its quota")

// usage counts the bytes of the recordings of each trunk that has a quota. It is
// counted anew at each start, from the rows, and kept by adding from then on.
type usage struct {
	quotas map[string]int64 // bytes by trunk; none: nothing is counted

	mu      sync.Mutex // guards the rest
	sealed  map[string]int64
	counted bool  // the recordings from before are among them
	failed  error // why they aren't
}

func newUsage(quotas map[string]int64) *usage {
	u := &usage{quotas: map[string]int64{}, sealed: map[string]int64{}}
	for trunk, most := range quotas {
		if most > 0 {
			u.quotas[trunk] = most
		}
	}
	return u
}

// add notes that a trunk's sealed recordings have become larger or smaller.
func (u *usage) add(trunk string, bytes int64) {
	if u.quotas[trunk] == 0 {
		return
	}
	u.mu.Lock()
	u.sealed[trunk] += bytes
	u.mu.Unlock()
}

// of is how much a trunk's recordings take, those being written included.
func (u *usage) of(trunk string, running []*Recording) int64 {
	u.mu.Lock()
	n := u.sealed[trunk]
	u.mu.Unlock()
	for _, r := range running {
		if r.trunk == trunk {
			n += r.written()
		}
	}
	return n
}

// refuses says why a trunk may not record more; nil: it may.
func (u *usage) refuses(trunk string, running []*Recording) error {
	most := u.quotas[trunk]
	if most == 0 {
		return nil
	}
	u.mu.Lock()
	counted, failed := u.counted, u.failed
	u.mu.Unlock()
	if failed != nil {
		return fmt.Errorf("%w: it can't be told: %w", ErrQuota, failed)
	}
	if !counted {
		return fmt.Errorf("%w, or not: they are still being counted", ErrQuota)
	}
	if n := u.of(trunk, running); n >= most {
		return fmt.Errorf("%w: %d of %d bytes", ErrQuota, n, most)
	}
	return nil
}

// countUsage counts what was there before this start: opened, Unix nanoseconds.
// What is sealed meanwhile is younger and adds itself. What is erased meanwhile
// may stay counted until the next start: too much, never too little.
func (s *Store) countUsage(opened int64) {
	if len(s.usage.quotas) == 0 {
		return
	}
	err := s.eachRow(func(id string, r row) error {
		if r.Start >= opened {
			return nil
		}
		sum, err := s.keys.summary(id, r)
		if err != nil {
			return err
		}
		s.usage.add(sum.Trunk, sum.Bytes)
		return nil
	})
	if err != nil {
		s.log.Error("counting the trunks' recordings: trunks with a quota aren't recorded", "error", err)
	}
	s.usage.mu.Lock()
	s.usage.counted, s.usage.failed = true, err
	s.usage.mu.Unlock()
}

// eachRow calls f for every recording's row, in the order of their ids, and stops
// at its first error or when the store closes. f may take its time: no
// transaction is open meanwhile.
func (s *Store) eachRow(f func(id string, r row) error) error {
	type found struct {
		id  string
		row row
	}
	for from := []byte(nil); ; {
		var batch []found
		err := s.keys.read(func(tx *bolt.Tx) error {
			cur := tx.Bucket(bRecording).Cursor()
			for k, _ := cur.Seek(from); k != nil && len(batch) < batchSize; k, _ = cur.Next() {
				r, _, err := getRow(tx, string(k))
				if err != nil {
					return fmt.Errorf("the row of recording %s: %w", k, err)
				}
				batch = append(batch, found{string(k), r})
			}
			return nil
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, b := range batch {
			if s.closing() {
				return errClosed
			}
			if err := f(b.id, b.row); err != nil {
				return err
			}
		}
		from = append([]byte(batch[len(batch)-1].id), 0)
	}
}

func (s *Store) closing() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}
