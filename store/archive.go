package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Buckets of keys.db for what an archive has: copies of sealed files, as objects.
// No object is put before its copyNote is on stable storage, and an erasure makes
// an owedNote of each in the transaction that drops the recording's key. So there is
// no moment at which an object may be there that nobody will delete.
var (
	bUncopied = []byte("uncopied") // recording id that waits to be copied -> since when, Unix seconds, u64
	bCopied   = []byte("copied")   // recording id | 0 | name of the place -> copyNote
	bOwed     = []byte("owed")     // recording id | 0 | name of the place -> owedNote
)

// copyNote says that a place has a copy, or may have.
type copyNote struct {
	Tried  time.Time `json:"tried,omitzero"`  // when the last try began whose object may still appear; zero: there was none
	Copied time.Time `json:"copied,omitzero"` // when it was read back there; zero: it wasn't yet
}

// owedNote says that all versions of an object are to be deleted.
type owedNote struct {
	Since time.Time `json:"since"`
	Tried time.Time `json:"tried,omitzero"` // copyNote's
}

// erasedCopy is what an erasure's note has of a place that had a copy.
type erasedCopy struct {
	Place string `json:"place"`
	Entry int64  `json:"entry,omitempty"` // of archive.deleted; 0: it is owed
}

// ErasedCopy says how far the deletion of an erased recording's object has come.
type ErasedCopy struct {
	Place   string
	Deleted time.Time // when no version was there any more; zero: that is owed
	Why     string    // it couldn't be so far, as the place says; "" where nobody tried since the start
}

func atPlace(id, place string) []byte { return []byte(id + "\x00" + place) }

// ofPlace is the inverse.
func ofPlace(k []byte) (id, place string) {
	id, place, _ = strings.Cut(string(k), "\x00")
	return id, place
}

func getNote[T any](tx *bolt.Tx, bucket, k []byte) (n T, ok bool, err error) {
	raw := tx.Bucket(bucket).Get(k)
	if raw == nil {
		return n, false, nil
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return n, false, fmt.Errorf("the note on a recording's object: %w", err)
	}
	return n, true, nil
}

func putNote(tx *bolt.Tx, bucket, k []byte, n any) error {
	raw, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(k, raw)
}

// owe makes what places have of a recording, or may have, be owed, and says where.
func (t keysTx) owe(id string, now time.Time) (out []erasedCopy, err error) {
	notes := map[string]copyNote{}
	begins := atPlace(id, "")
	cur := t.Bucket(bCopied).Cursor()
	for k, _ := cur.Seek(begins); bytes.HasPrefix(k, begins); k, _ = cur.Next() {
		if notes[string(k)], _, err = getNote[copyNote](t.Tx, bCopied, k); err != nil {
			return nil, err
		}
	}
	for k, n := range notes {
		if err := putNote(t.Tx, bOwed, []byte(k), owedNote{Since: now, Tried: n.Tried}); err != nil {
			return nil, err
		}
		if err := t.Bucket(bCopied).Delete([]byte(k)); err != nil {
			return nil, err
		}
		_, place := ofPlace([]byte(k))
		out = append(out, erasedCopy{Place: place})
	}
	slices.SortFunc(out, func(a, b erasedCopy) int { return strings.Compare(a.Place, b.Place) })
	return out, t.Bucket(bUncopied).Delete([]byte(id))
}

// queue has a recording copied.
func queue(tx *bolt.Tx, id string) error {
	if tx.Bucket(bUncopied).Get([]byte(id)) != nil {
		return nil
	}
	return tx.Bucket(bUncopied).Put([]byte(id), binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix())))
}

// keysFrom are the next keys of a bucket, from one on.
func (k *keyring) keysFrom(bucket, from []byte) (out [][]byte, err error) {
	err = k.read(func(tx *bolt.Tx) error {
		out = nil
		cur := tx.Bucket(bucket).Cursor()
		for at, _ := cur.Seek(from); at != nil && len(out) < batchSize; at, _ = cur.Next() {
			out = append(out, bytes.Clone(at))
		}
		return nil
	})
	return out, err
}

// eachKey calls f with the keys of a bucket, until f says no. What f does to the
// bucket is fine.
func (k *keyring) eachKey(bucket []byte, f func(key []byte) bool) error {
	for from := []byte(nil); ; {
		some, err := k.keysFrom(bucket, from)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, at := range some {
			if !f(at) {
				return nil
			}
		}
		from = append(some[len(some)-1], 0)
	}
}

// uncopied counts the recordings that wait to be copied, and says for how long the
// oldest has.
func (s *Store) uncopied() (n int, oldest time.Duration) {
	err := s.keys.read(func(tx *bolt.Tx) error {
		return tx.Bucket(bUncopied).ForEach(func(_, since []byte) error {
			n++
			if len(since) == 8 {
				oldest = max(oldest, time.Since(time.Unix(int64(binary.BigEndian.Uint64(since)), 0)))
			}
			return nil
		})
	})
	if err != nil {
		s.log.Error("counting the recordings to be copied", "error", err)
	}
	return n, oldest
}

// owedObjects counts the objects that are to be deleted, and says for how long the oldest
// has been; elsewhere are those of places that aren't configured.
func (s *Store) owedObjects() (n, elsewhere int, oldest time.Duration) {
	err := s.keys.read(func(tx *bolt.Tx) error {
		return tx.Bucket(bOwed).ForEach(func(k, _ []byte) error {
			note, _, err := getNote[owedNote](tx, bOwed, k)
			if _, place := ofPlace(k); !s.archiver.is(place) {
				elsewhere++
			}
			n++
			oldest = max(oldest, time.Since(note.Since))
			return err
		})
	})
	if err != nil {
		s.log.Error("counting the objects to be deleted", "error", err)
	}
	return n, elsewhere, oldest
}

// copied reports whether the archive has a copy of a recording that was read back.
func (s *Store) copied(id string) (yes bool, err error) {
	if s.archiver == nil {
		return false, nil
	}
	err = s.keys.read(func(tx *bolt.Tx) error {
		n, _, err := getNote[copyNote](tx, bCopied, atPlace(id, s.archiver.place.Name()))
		yes = !n.Copied.IsZero()
		return err
	})
	return yes, err
}

// queueAll queues what the archive has no copy of: all that there was before it was
// configured, or that was sealed while it wasn't.
func (s *Store) queueAll(ctx context.Context) error {
	var some []string
	put := func() error {
		ids := some // which nobody changes: the write may come after its error
		some = nil
		return s.keys.commit(ctx, func(tx *bolt.Tx) error {
			for _, id := range ids {
				_, ok, err := getRow(tx, id)
				if err == nil && ok { // else it was erased since
					err = queue(tx, id)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := s.eachRow(func(id string, r row) error {
		if r.File == nil || r.End == 0 {
			return nil
		}
		there, err := s.copied(id)
		if err != nil || there {
			return err
		}
		if some = append(some, id); len(some) < batchSize {
			return nil
		}
		return put()
	})
	if err != nil {
		return err
	}
	return put()
}
