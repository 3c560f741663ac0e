package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"consentgate/consent"
)

// ofRecording begins the names of the buckets that wrap grants' keys.
const ofRecording = "recording/"

const (
	// scanBatch is how many rows are read in one transaction: while one is open
	// bbolt can't let its file grow, and every grant would wait.
	scanBatch = 2048
	// moveBatch is how many keys are wrapped anew in one transaction: a grant
	// waits for one of them at most.
	moveBatch = 256
)

// kekID names the key of a bucket. It is renewed, and its generation goes up, to
// leave a dropped key behind.
func kekID(bucket string, generation int) string {
	if generation == 0 {
		return bucket
	}
	return bucket + "#" + strconv.Itoa(generation)
}

func parseKEK(id string) (bucket string, generation int) {
	if i := strings.LastIndexByte(id, '#'); i >= 0 {
		if n, err := strconv.Atoi(id[i+1:]); err == nil && n > 0 {
			return id[:i], n
		}
	}
	return id, 0
}

// generation is the present one of a bucket: the latest that has a key.
func (t keysTx) generation(bucket string) (latest int) {
	prefix := []byte(bucket + "#")
	cur := t.Bucket(bKEK).Cursor()
	for k, _ := cur.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = cur.Next() {
		if b, n := parseKEK(string(k)); b == bucket {
			latest = max(latest, n)
		}
	}
	return latest
}

// renew makes a new key for every bucket whose present one wrapped a key that was
// dropped. Erasures that earlier versions made aren't noted; they knew the first
// root only, so the first rotation renews all. It can be done again.
func (t keysTx) renew(first bool) error {
	var touched []string
	err := t.Bucket(bTouched).ForEach(func(id, _ []byte) error { touched = append(touched, string(id)); return nil })
	if err != nil {
		return err
	}
	if first {
		for bucket, latest := range t.generations() {
			if latest == 0 && strings.HasPrefix(bucket, ofRecording) {
				touched = append(touched, bucket)
			}
		}
	}
	for _, id := range touched {
		bucket, n := parseKEK(id)
		month, listing := strings.CutPrefix(bucket, ofCatalog)
		if !listing && !strings.HasPrefix(bucket, ofRecording) || t.generation(bucket) != n || t.Bucket(bKEK).Get([]byte(id)) == nil {
			continue // requests', renewed before, or gone
		}
		if listing && t.resealing(month) != nil {
			continue // it has a predecessor still; its turn comes with the next rotation
		}
		if _, err := t.need(bKEK, asBucketKey, kekID(bucket, n+1)); err != nil {
			return err
		}
		if listing {
			if err := t.beginResealing(month); err != nil {
				return err
			}
		}
	}
	return nil
}

// generations are the present ones of all buckets that are renewed.
func (t keysTx) generations() map[string]int {
	out := map[string]int{}
	for _, id := range t.renewable() {
		bucket, n := parseKEK(id)
		out[bucket] = max(out[bucket], n)
	}
	return out
}

// renewable are the keys of buckets that wrap grants' keys, and of the catalog's
// months.
func (t keysTx) renewable() (ids []string) {
	cur := t.Bucket(bKEK).Cursor()
	for _, prefix := range [][]byte{[]byte(ofCatalog), []byte(ofRecording)} {
		for k, _ := cur.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = cur.Next() {
			ids = append(ids, string(k))
		}
	}
	return ids
}

// stale lists the bucket keys that have a successor.
func (t keysTx) stale() map[string]bool {
	out, latest := map[string]bool{}, t.generations()
	for _, id := range t.renewable() {
		if bucket, n := parseKEK(id); n < latest[bucket] {
			out[id] = true
		}
	}
	return out
}

// moveSurvivors wraps what is under a key with a successor under that, some at a
// time: grants go on meanwhile. New ones are under the successor already, so that
// going through all once finds all.
func (s *Store) moveSurvivors(ctx context.Context) error {
	for at := []byte(nil); ; {
		found, next, err := s.keys.staleGrants(at)
		if err != nil {
			return fmt.Errorf("looking for keys to wrap anew: %w", err)
		}
		if len(found) > 0 {
			err := s.keys.update(ctx, func(t keysTx) error { return t.move(found) })
			if err != nil {
				return fmt.Errorf("wrapping keys anew: %w", err)
			}
			s.reached("rotate.moving")
		}
		if next == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		at = next
	}
}

// staleGrants looks from a grant on for some whose key is under one that has a
// successor. next is where to go on; nil at the end.
func (k *keyring) staleGrants(from []byte) (found []consent.Hash, next []byte, err error) {
	err = k.view(func(t keysTx) error {
		found, next = nil, nil // view may call again
		stale := t.stale()
		cur := t.Bucket(bGrantKey).Cursor()
		n := 0
		for g, raw := cur.Seek(from); g != nil; g, raw = cur.Next() {
			if n == scanBatch || len(found) == moveBatch {
				next = bytes.Clone(g)
				return nil
			}
			n++
			var r grantRow
			if err := json.Unmarshal(raw, &r); err != nil {
				return fmt.Errorf("the key of grant %x: %w", g, err)
			}
			if stale[r.kek()] {
				found = append(found, consent.Hash(g))
			}
		}
		return nil
	})
	return found, next, err
}

// move wraps grants' keys under the present key of their buckets. One that was
// erased meanwhile stays gone.
func (t keysTx) move(grants []consent.Hash) error {
	for _, g := range grants {
		if t.Bucket(bGrantKey).Get(g[:]) == nil {
			continue
		}
		rk, r, err := t.grantKey(g)
		if err == nil {
			err = t.wrap(g, rk, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
