package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrNotFound means that there is no such recording, or none any more.
var ErrNotFound = errors.New("no such recording")

// Query says which recordings are wanted; what is zero doesn't restrict.
type Query struct {
	Party    string // a number of either party, in any spelling
	From, To time.Time
	Purpose  string
	Trunk    string
	State    string
	Limit    int    // 0: 100; at most 1000
	Cursor   string // of the page before; "" for the first
}

// Search returns recordings, the latest first, and the cursor of the next page,
// "" at the end.
func (s *Store) Search(q Query) (page []Summary, cursor string, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	bucket, prefix := bTime, []byte(nil)
	if q.Party != "" {
		if prefix, err = s.token(contextForever, q.Party); err != nil {
			return nil, "", err
		}
		bucket = bNumber
	}
	from, err := q.from(prefix)
	if err != nil {
		return nil, "", err
	}
	for {
		rows, last, err := s.scan(bucket, prefix, from, q.From, limit)
		if err != nil {
			return nil, "", err
		}
		for i, r := range rows {
			sum, err := s.keys.summary(r.id, r.row)
			if err != nil {
				return nil, "", err
			}
			if !q.wants(sum) {
				continue
			}
			page = append(page, sum)
			if len(page) == limit {
				if i == len(rows)-1 && last == nil {
					return page, "", nil
				}
				return page, idText.EncodeToString(r.key), nil
			}
		}
		if last == nil {
			return page, "", nil
		}
		from = last
	}
}

// from is the key that the page's keys stand before.
func (q Query) from(prefix []byte) ([]byte, error) {
	if q.Cursor != "" {
		k, err := idText.DecodeString(q.Cursor)
		if err != nil || !bytes.HasPrefix(k, prefix) {
			return nil, fmt.Errorf("the cursor %q isn't one of this search", q.Cursor)
		}
		return k, nil
	}
	end := append(append([]byte(nil), prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	if !q.To.IsZero() {
		binary.BigEndian.PutUint64(end[len(prefix):], uint64(q.To.UnixNano()))
		end = end[:len(prefix)+8]
	}
	return end, nil
}

func (q Query) wants(s Summary) bool {
	return (q.Purpose == "" || s.Purpose == q.Purpose) && (q.Trunk == "" || s.Trunk == q.Trunk) &&
		(q.State == "" || s.State == q.State)
}

type scanned struct {
	key []byte
	id  string
	row row
}

// scan reads up to n rows before a key, newest first; last is where to go on,
// nil at the end.
func (s *Store) scan(bucket, prefix, before []byte, since time.Time, n int) (rows []scanned, last []byte, err error) {
	err = s.keys.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bucket).Cursor()
		k, _ := cur.Seek(before)
		if k == nil {
			k, _ = cur.Last()
		} else {
			k, _ = cur.Prev()
		}
		for ; k != nil && bytes.HasPrefix(k, prefix); k, _ = cur.Prev() {
			rest := k[len(prefix):]
			if !since.IsZero() && int64(binary.BigEndian.Uint64(rest)) < since.UnixNano() {
				return nil
			}
			id := string(rest[8:])
			r, ok, err := getRow(tx, id)
			if err != nil {
				return err
			}
			if ok {
				rows = append(rows, scanned{bytes.Clone(k), id, r})
			}
			if len(rows) == n {
				last = bytes.Clone(k)
				return nil
			}
		}
		return nil
	})
	return rows, last, err
}

// Get returns a recording's summary.
func (s *Store) Get(id string) (Summary, error) {
	r, ok, err := s.row(id)
	if err != nil {
		return Summary{}, err
	}
	if !ok {
		return Summary{}, ErrNotFound
	}
	return s.keys.summary(id, r)
}
