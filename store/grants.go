package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// errNoKey means that there is no such key, or none any more.
var errNoKey = errors.New("there is no such key")

// lookup opens a key that hangs under the root. errNoKey: there is none.
func (t keysTx) lookup(bucket []byte, context, id string) (key, error) {
	plain, err := t.lookupBytes(bucket, context, id)
	if err != nil {
		return key{}, err
	}
	if len(plain) != len(key{}) {
		return key{}, fmt.Errorf("key %s: it has %d bytes", id, len(plain))
	}
	return key(plain), nil
}

func (t keysTx) lookupBytes(bucket []byte, context, id string) ([]byte, error) {
	box := t.Bucket(bucket).Get([]byte(id))
	if box == nil {
		return nil, fmt.Errorf("key %s: %w", id, errNoKey)
	}
	plain, err := open(t.root, context, id, box)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", id, err)
	}
	return plain, nil
}

// need is lookup, and makes the key where there is none.
func (t keysTx) need(bucket []byte, context, id string) (key, error) {
	k, err := t.lookup(bucket, context, id)
	if errors.Is(err, errNoKey) {
		k = newKey()
		err = t.Bucket(bucket).Put([]byte(id), seal(t.root, context, id, k[:]))
	}
	return k, err
}

// rewrap seals a bucket's boxes anew under another root.
func (t keysTx) rewrap(to keysTx, bucket []byte, context string) error {
	boxes := map[string][]byte{} // a bucket mustn't be changed while it is gone through
	err := t.Bucket(bucket).ForEach(func(id, _ []byte) error {
		plain, err := t.lookupBytes(bucket, context, string(id))
		boxes[string(id)] = seal(to.root, context, string(id), plain)
		return err
	})
	for id, box := range boxes {
		err = errors.Join(err, t.Bucket(bucket).Put([]byte(id), box))
	}
	return err
}

// system returns a named key of the store, made at first use. Its value outlives
// rotations: they wrap it anew.
func (k *keyring) system(ctx context.Context, name string) (key, error) {
	return k.made(ctx, bSystem, asSystemKey, name)
}

// made returns a key that hangs under the root, and makes it at first use.
func (k *keyring) made(ctx context.Context, bucket []byte, purpose, id string) (got key, err error) {
	err = k.view(func(t keysTx) (err error) {
		got, err = t.lookup(bucket, purpose, id)
		return err
	})
	if !errors.Is(err, errNoKey) {
		return got, err
	}
	var made key // written by the committer; read here only after it answered
	err = k.update(ctx, func(t keysTx) (err error) {
		made, err = t.need(bucket, purpose, id)
		return err
	})
	if err != nil {
		return key{}, err
	}
	return made, nil
}

// grantRow is what keys.db holds of a grant from before its record is in the log
// until the grant is erased or its bucket is: the key that all about it hangs
// under, wrapped by its bucket's.
type grantRow struct {
	ID         string `json:"id"` // of its recording, whether or not there is one
	Bucket     string `json:"bucket"`
	Generation int    `json:"generation,omitempty"` // of the bucket's key
	Wrapped    []byte `json:"wrapped"`
}

func (r grantRow) kek() string { return kekID(r.Bucket, r.Generation) }

// bucketOf names the key bucket of a grant: all that must go on one day for one
// purpose goes with one key.
func bucketOf(p consent.Purpose, start time.Time) string {
	return fmt.Sprintf("recording/%s/%s", p.Name, start.Add(p.Retention).UTC().Format("2006-01-02"))
}

// about binds a key to a consent: the same bytes under another grant don't open.
func about(id, kek string, grant consent.Hash) string {
	return id + "\x00" + kek + "\x00" + grant.String()
}

// grantKey opens a grant's key. errNoKey: there is none, or none any more.
func (t keysTx) grantKey(g consent.Hash) (rk key, r grantRow, err error) {
	raw := t.Bucket(bGrantKey).Get(g[:])
	if raw == nil {
		return rk, r, fmt.Errorf("the key of grant %s: %w", g, errNoKey)
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return rk, r, fmt.Errorf("the key of grant %s: %w", g, err)
	}
	kek, err := t.lookup(bKEK, asBucketKey, r.kek())
	if err != nil {
		return rk, r, fmt.Errorf("the key of grant %s: %w", g, err)
	}
	if rk, err = openKey(kek, asGrantKey, about(r.ID, r.kek(), g), r.Wrapped); err != nil {
		return rk, r, fmt.Errorf("the key of grant %s: %w", g, err)
	}
	return rk, r, nil
}

// needGrant is grantKey, and makes the key where there is none.
func (t keysTx) needGrant(g consent.Hash, id, bucket string) (key, error) {
	rk, _, err := t.grantKey(g)
	if !errors.Is(err, errNoKey) {
		return rk, err
	}
	rk = newKey()
	return rk, t.wrap(g, rk, grantRow{ID: id, Bucket: bucket})
}

// wrap puts a grant's key under the present key of its bucket.
func (t keysTx) wrap(g consent.Hash, rk key, r grantRow) error {
	r.Generation = t.generation(r.Bucket)
	kek, err := t.need(bKEK, asBucketKey, r.kek())
	if err != nil {
		return err
	}
	r.Wrapped = seal(kek, asGrantKey, about(r.ID, r.kek(), g), rk[:])
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.Bucket(bGrantKey).Put(g[:], raw)
}

// grantMade makes a grant's key, durable when it returns.
func (k *keyring) grantMade(ctx context.Context, g consent.Hash, p consent.Purpose) error {
	id, _ := newID()
	bucket := bucketOf(p, time.Now())
	return k.update(ctx, func(t keysTx) error {
		_, err := t.needGrant(g, id, bucket)
		return err
	})
}

// grantRow reads what is kept of a grant.
func (k *keyring) grantRow(g consent.Hash) (r grantRow, err error) {
	err = k.view(func(t keysTx) (err error) {
		_, r, err = t.grantKey(g)
		return err
	})
	return r, err
}

// drop takes a grant's key away, and with it all that hangs under it. Where its
// bytes remain on the disk they are under its bucket's key, which goes with the
// next rotation.
func (t keysTx) drop(g consent.Hash) error {
	raw := t.Bucket(bGrantKey).Get(g[:])
	if raw == nil {
		return nil
	}
	var r grantRow
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("the key of grant %s: %w", g, err)
	}
	return errors.Join(t.Bucket(bTouched).Put([]byte(r.kek()), nil), t.Bucket(bGrantKey).Delete(g[:]))
}

// row is what keys.db holds of a recording. Salt or Wrapped leads from the
// grant's key to that of the live file; File, once there is one, to that of the
// sealed file.
type row struct {
	Grant   consent.Hash `json:"grant"`
	Start   int64        `json:"start"`             // Unix nanoseconds
	End     int64        `json:"end,omitempty"`     // index of its recording.sealed entry; 0: not known
	Salt    []byte       `json:"salt,omitempty"`    // of the file's key
	Wrapped []byte       `json:"wrapped,omitempty"` // the file's key, where version 1 made it
	File    *sealedRow   `json:"file,omitempty"`    // nil: it isn't sealed yet, or an earlier version sealed it
	Summary []byte       `json:"summary"`           // sealed
}

// fileKey is the key of a recording's live file, or of the one in frames that
// earlier versions left.
func (t keysTx) fileKey(id string, r row) (key, error) {
	rk, _, err := t.grantKey(r.Grant)
	if err != nil {
		return key{}, fmt.Errorf("recording %s: %w", id, err)
	}
	if r.Wrapped == nil {
		return derive(rk, forLiveFile, r.Salt), nil
	}
	k, err := openKey(derive(rk, forOldKey, nil), asRecordingKey, id, r.Wrapped)
	if err != nil {
		return key{}, fmt.Errorf("the key of recording %s: %w", id, err)
	}
	return k, nil
}

func (k *keyring) fileKey(id string, r row) (got key, err error) {
	err = k.view(func(t keysTx) (err error) {
		got, err = t.fileKey(id, r)
		return err
	})
	return got, err
}

// summary opens a recording's summary.
func (t keysTx) summary(id string, r row) (s Summary, err error) {
	rk, _, err := t.grantKey(r.Grant)
	if err != nil {
		return s, fmt.Errorf("recording %s: %w", id, err)
	}
	plain, err := open(derive(rk, forSummary, nil), asSummary, id, r.Summary)
	if err != nil {
		return s, fmt.Errorf("the summary of recording %s: %w", id, err)
	}
	return s, json.Unmarshal(plain, &s)
}

func (k *keyring) summary(id string, r row) (s Summary, err error) {
	err = k.view(func(t keysTx) (err error) {
		s, err = t.summary(id, r)
		return err
	})
	return s, err
}

// put writes a recording's row with its summary, and lists it by that.
func (t keysTx) put(id string, r row, s Summary) error {
	return errors.Join(t.write(id, r, s), t.list(id, r, s))
}

func (t keysTx) write(id string, r row, s Summary) error {
	rk, _, err := t.grantKey(r.Grant)
	if err != nil {
		return fmt.Errorf("recording %s: %w", id, err)
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	r.Summary = seal(derive(rk, forSummary, nil), asSummary, id, plain)
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.Bucket(bRecording).Put([]byte(id), raw)
}

func getRow(tx *bolt.Tx, id string) (r row, ok bool, err error) {
	b := tx.Bucket(bRecording).Get([]byte(id))
	if b == nil {
		return r, false, nil
	}
	return r, true, json.Unmarshal(b, &r)
}
