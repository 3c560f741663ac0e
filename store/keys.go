package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"consentgate/consent"
	"consentgate/internal/durable"
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
	bErasing   = []byte("erasing")   // recording id -> an erasure that isn't logged yet
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
	Start   int64        `json:"start"`         // Unix nanoseconds
	End     int64        `json:"end,omitempty"` // index of its recording.sealed entry; 0: not known
	Wrapped []byte       `json:"wrapped"`
	Summary []byte       `json:"summary"`
}

var errNewer = errors.New("the data directory was made by another version")

// openDB opens a database, or makes it: then its name is durable, too.
func openDB(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 2 * time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("opening %s: another process has it open; only one consentgate may use a data directory", path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

func openKeyring(path string, root key) (*keyring, error) {
	db, err := openDB(path)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bMeta, bSystem, bKEK, bRecording, bNumber, bTime, bGrant, bErasing} {
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
func (k *keyring) system(ctx context.Context, name string) (out key, err error) {
	return k.wrapped(ctx, bSystem, asSystemKey, name)
}

// bucket returns the key that wraps the keys of one purpose and retention day,
// or of one month's audit payloads.
func (k *keyring) bucket(ctx context.Context, id string) (key, error) {
	return k.wrapped(ctx, bKEK, asBucketKey, id)
}

// existing returns a bucket's key if there is one: reading makes no keys.
func (k *keyring) existing(id string) (got key, ok bool) {
	err := k.db.View(func(tx *bolt.Tx) (err error) {
		box := tx.Bucket(bKEK).Get([]byte(id))
		if box == nil {
			return ErrNotFound
		}
		got, err = openKey(k.root, asBucketKey, id, box)
		return err
	})
	return got, err == nil
}

// payloadKey is the key of a month's audit payloads.
func (k *keyring) payloadKey(month string) (key, bool) {
	k.mu.Lock()
	got, ok := k.keks[asBucketKey+"\x00"+auditBucket+month]
	k.mu.Unlock()
	if ok {
		return got, true
	}
	return k.existing(auditBucket + month)
}

func (k *keyring) wrapped(ctx context.Context, bucket []byte, purpose, id string) (key, error) {
	cached := purpose + "\x00" + id
	k.mu.Lock()
	got, ok := k.keks[cached]
	k.mu.Unlock()
	if ok {
		return got, nil
	}
	var stored key // written by the committer; read here only after it answered
	if err := k.commit(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if box := b.Get([]byte(id)); box != nil {
			var err error
			stored, err = openKey(k.root, purpose, id, box)
			return err
		}
		stored = newKey()
		return b.Put([]byte(id), seal(k.root, purpose, id, stored[:]))
	}); err != nil {
		return key{}, fmt.Errorf("key %s: %w", id, err)
	}
	k.mu.Lock()
	k.keks[cached] = stored
	k.mu.Unlock()
	return stored, nil
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
	kek, ok := k.existing(r.Bucket)
	if !ok {
		return key{}, fmt.Errorf("the key of bucket %s doesn't open", r.Bucket)
	}
	out, err := openKey(kek, asRecordingKey, about(id, r), r.Wrapped)
	if err != nil {
		return key{}, fmt.Errorf("the key of recording %s: %w", id, err)
	}
	return out, nil
}

func (k *keyring) summary(id string, r row) (Summary, error) {
	var s Summary
	kek, ok := k.existing(r.Bucket)
	if !ok {
		return s, fmt.Errorf("the key of bucket %s doesn't open", r.Bucket)
	}
	plain, err := open(kek, asSummary, id, r.Summary)
	if err != nil {
		return s, fmt.Errorf("the summary of recording %s: %w", id, err)
	}
	return s, json.Unmarshal(plain, &s)
}

func (k *keyring) sealSummary(ctx context.Context, id string, r *row, s Summary) error {
	kek, err := k.bucket(ctx, r.Bucket)
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
