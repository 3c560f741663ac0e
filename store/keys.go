package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// Buckets of keys.db: keys, and what is found or read by them.
var (
	bMeta      = []byte("meta")      // version
	bSystem    = []byte("system")    // name -> key wrapped by the root
	bKEK       = []byte("kek")       // bucket id -> key wrapped by the root
	bRecording = []byte("recording") // recording id -> row
	bNumber    = []byte("number")    // token | start | recording id -> nothing
	bTime      = []byte("time")      // start | recording id -> nothing
	bGrant     = []byte("grant")     // grant hash -> recording id
)

const schemaVersion = "1"

// keyring is keys.db. It is a file of its own, apart from the audit log, so that
// it can be rewritten when the root changes.
type keyring struct {
	db   *bolt.DB
	root key
	*committer

	mu   sync.Mutex // guards keks
	keks map[string]key
}

// row is what keys.db holds of a recording. Wrapped and Summary are sealed.
type row struct {
	Bucket  string       `json:"bucket"`
	Grant   consent.Hash `json:"grant"`
	Start   int64        `json:"start"` // Unix nanoseconds
	Wrapped []byte       `json:"wrapped"`
	Summary []byte       `json:"summary"`
}

var errNewer = errors.New("the data directory was made by another version")

func openKeyring(path string, root key) (*keyring, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 2 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bMeta, bSystem, bKEK, bRecording, bNumber, bTime, bGrant} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		m := tx.Bucket(bMeta)
		if v := m.Get([]byte("version")); v != nil && string(v) != schemaVersion {
			return fmt.Errorf("%w: schema %q, this one knows %q", errNewer, v, schemaVersion)
		}
		return m.Put([]byte("version"), []byte(schemaVersion))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), db.Close())
	}
	return &keyring{db: db, root: root, committer: newCommitter(db, nil), keks: map[string]key{}}, nil
}

func (k *keyring) closeDB() error {
	k.committer.close()
	return k.db.Close()
}

// system returns a named key of the store, made at first use.
func (k *keyring) system(name string) (out key, err error) {
	return k.wrapped(bSystem, asSystemKey, name)
}

// bucket returns the key that wraps the keys of one purpose and retention day,
// or of one month's audit payloads.
func (k *keyring) bucket(id string) (key, error) {
	return k.wrapped(bKEK, asBucketKey, id)
}

func (k *keyring) wrapped(bucket []byte, context, id string) (key, error) {
	cached := context + "\x00" + id
	k.mu.Lock()
	got, ok := k.keks[cached]
	k.mu.Unlock()
	if ok {
		return got, nil
	}
	if err := k.commit(contextForever, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if box := b.Get([]byte(id)); box != nil {
			var err error
			got, err = openKey(k.root, context, id, box)
			return err
		}
		got = newKey()
		return b.Put([]byte(id), seal(k.root, context, id, got[:]))
	}); err != nil {
		return key{}, fmt.Errorf("key %s: %w", id, err)
	}
	k.mu.Lock()
	k.keks[cached] = got
	k.mu.Unlock()
	return got, nil
}

// contextForever is for writes whose caller has no deadline.
var contextForever = context.Background()

// bucketOf names the key bucket of a recording: all that must go on one day for
// one purpose goes with one key.
func bucketOf(p consent.Purpose, start time.Time) string {
	return fmt.Sprintf("recording/%s/%s", p.Name, start.Add(p.Retention).UTC().Format("2006-01-02"))
}

// about binds a recording's key to its consent: the same bytes under another
// grant don't open.
func about(id string, r row) string { return id + "\x00" + r.Bucket + "\x00" + r.Grant.String() }

func (k *keyring) recordingKey(id string, r row) (key, error) {
	kek, err := k.bucket(r.Bucket)
	if err != nil {
		return key{}, err
	}
	out, err := openKey(kek, asRecordingKey, about(id, r), r.Wrapped)
	if err != nil {
		return key{}, fmt.Errorf("the key of recording %s: %w", id, err)
	}
	return out, nil
}

func (k *keyring) summary(id string, r row) (Summary, error) {
	var s Summary
	kek, err := k.bucket(r.Bucket)
	if err != nil {
		return s, err
	}
	plain, err := open(kek, asSummary, id, r.Summary)
	if err != nil {
		return s, fmt.Errorf("the summary of recording %s: %w", id, err)
	}
	return s, json.Unmarshal(plain, &s)
}

func (k *keyring) sealSummary(id string, r *row, s Summary) error {
	kek, err := k.bucket(r.Bucket)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	r.Summary = seal(kek, asSummary, id, plain)
	return nil
}

func putRow(tx *bolt.Tx, id string, r row) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return tx.Bucket(bRecording).Put([]byte(id), b)
}

func getRow(tx *bolt.Tx, id string) (r row, ok bool, err error) {
	b := tx.Bucket(bRecording).Get([]byte(id))
	if b == nil {
		return r, false, nil
	}
	return r, true, json.Unmarshal(b, &r)
}

func timeKey(start int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(start)) }
