package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"consentgate/consent"
	"consentgate/store/phone"
)

// In version 1 a recording's bucket wrapped the key of its file and sealed its
// summary, and audit payloads were sealed under a key of their month, those of a
// grant too. migrate brings all of it under the grants' keys. It opens everything
// first, so that what can't be opened stops it before anything has changed; then:
//
//  1. keys.db: the new keys, beside the old. Version 1 still reads all of it.
//  2. audit.db: the payloads under the new keys, whole, and version 2.
//  3. keys.db: the recordings' rows, the old keys gone, and version 2.
//
// Each step is one transaction. A crash between two leaves what the next start
// carries on from: after 1 with 1, which makes no key twice, after 2 with 3.
func migrate(dir string, keys *keyring, numbers phone.Book, log *slog.Logger) error {
	var version string
	if err := keys.db.View(func(tx *bolt.Tx) error { version = versionOf(tx); return nil }); err != nil || version == schemaVersion {
		return err
	}
	log.Info("bringing the data directory to the present version; this is done once", "dir", dir)
	m := migration{keys, numbers}
	rows, err := m.oldRows()
	if err != nil {
		return err
	}
	if err := m.log(filepath.Join(dir, auditFile), rows); err != nil {
		return err
	}
	return keys.update(contextForever, func(t keysTx) error { return m.finish(t, rows) })
}

// migration is one under way.
type migration struct {
	keys    *keyring
	numbers phone.Book
}

// oldRow is a recording's row as version 1 wrote it, and what it held sealed.
type oldRow struct {
	Bucket  string       `json:"bucket"`
	Grant   consent.Hash `json:"grant"`
	Start   int64        `json:"start"`
	End     int64        `json:"end"`
	Wrapped []byte       `json:"wrapped"`
	Summary []byte       `json:"summary"`

	file    key
	summary Summary
}

// oldRows opens all recordings' rows.
func (m migration) oldRows() (rows map[string]oldRow, err error) {
	rows = map[string]oldRow{}
	err = m.keys.view(func(t keysTx) error {
		return t.Bucket(bRecording).ForEach(func(id, raw []byte) error {
			r, err := t.oldRow(string(id), raw)
			if err != nil {
				return fmt.Errorf("recording %s: %w", id, err)
			}
			rows[string(id)] = r
			return nil
		})
	})
	return rows, err
}

func (t keysTx) oldRow(id string, raw []byte) (r oldRow, err error) {
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("its row: %w", err)
	}
	kek, err := t.lookup(bKEK, asBucketKey, r.Bucket)
	if err != nil {
		return r, err
	}
	if r.file, err = openKey(kek, asRecordingKey, about(id, r.Bucket, r.Grant), r.Wrapped); err != nil {
		return r, fmt.Errorf("its key: %w", err)
	}
	plain, err := open(kek, asSummary, id, r.Summary)
	if err == nil {
		err = json.Unmarshal(plain, &r.summary)
	}
	if err != nil {
		return r, fmt.Errorf("its summary: %w", err)
	}
	return r, nil
}

// log makes the keys, and puts the log's payloads under them.
func (m migration) log(path string, rows map[string]oldRow) (err error) {
	db, err := openDB(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var old oldLog
	err = db.View(func(tx *bolt.Tx) (err error) {
		switch v := versionOf(tx); v {
		case "", schemaVersion: // there is none, or it was done before
			return nil
		case oldVersion:
			old, err = m.oldLog(tx)
			return err
		default:
			return wrongVersion(v)
		}
	})
	if err != nil {
		return fmt.Errorf("the audit log: %w", err)
	}
	err = m.keys.update(contextForever, func(t keysTx) error { return old.makeKeys(t, rows) })
	if err != nil || old.months == nil {
		return err
	}
	return db.Update(m.reseal)
}

// oldLog is what the log says of grants, and the months in which it says anything.
type oldLog struct {
	grants map[consent.Hash]string // and the buckets of their keys
	months map[string]bool
}

func (m migration) oldLog(tx *bolt.Tx) (oldLog, error) {
	out := oldLog{map[consent.Hash]string{}, map[string]bool{}}
	err := m.payloads(tx, func(l leaf, name string, plain []byte) error {
		out.months[name] = true
		payload := plain[saltSize:]
		var r consent.Record
		if l.Type == TypeConsent && json.Unmarshal(payload, &r) == nil && r.Kind == consent.Granted {
			out.grants[consent.Hash(digest(nil, payload))] = bucketOf(r.Purpose, l.At)
		}
		return nil
	})
	return out, err
}

// payloads opens each in turn, with the name of the key it is under.
func (m migration) payloads(tx *bolt.Tx, f func(l leaf, name string, plain []byte) error) error {
	for seq := range sizeOf(tx) {
		text, row := tx.Bucket(bLeaf).Get(seqKey(seq)), tx.Bucket(bPayload).Get(seqKey(seq))
		l, err := parseLeaf(text)
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		salt, payload, state, wrong := openPayload(row, text, m.keys.payloadKey)
		if state != payloadOpened {
			if wrong == "" {
				wrong = "the payload is missing"
			}
			return fmt.Errorf("entry %d: %s; let the version that wrote it verify it", seq, wrong)
		}
		if err := f(l, nameOfRow(row), append(salt[:saltSize:saltSize], payload...)); err != nil {
			return err
		}
	}
	return nil
}

// makeKeys makes those that aren't there yet.
func (o oldLog) makeKeys(t keysTx, rows map[string]oldRow) error {
	for id, r := range rows {
		if _, err := t.needGrant(r.Grant, id, r.Bucket); err != nil {
			return err
		}
	}
	for g, bucket := range o.grants {
		id, _ := newID()
		if _, err := t.needGrant(g, id, bucket); err != nil {
			return err
		}
	}
	for month := range o.months {
		if _, err := t.need(bKEK, asBucketKey, ofMonth+month); err != nil {
			return err
		}
	}
	return nil
}

// reseal puts every payload under its new key. The leaves, and so the tree and
// its checkpoints, stay as they are.
func (m migration) reseal(tx *bolt.Tx) error {
	for _, b := range [][]byte{bOfGrant, bMonth} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	err := m.payloads(tx, func(l leaf, month string, plain []byte) error {
		name, k, err := m.keys.sealingKey(grantOf(l, plain[saltSize:]), ofMonth+month)
		if err != nil {
			return err
		}
		return putPayload(tx, l, name, k, plain)
	})
	return errors.Join(err, setVersion(tx))
}

// grantOf is the grant that an entry of version 1 is about.
func grantOf(l leaf, payload []byte) (g consent.Hash) {
	var e struct { // of a consent.Record or a recordingEvent
		Kind  consent.Kind  `json:"kind"`
		Grant *consent.Hash `json:"grant"`
	}
	if l.Type == TypeErased || json.Unmarshal(payload, &e) != nil {
		return g
	}
	if l.Type == TypeConsent && e.Kind == consent.Granted {
		return consent.Hash(digest(nil, payload))
	}
	if e.Grant != nil {
		return *e.Grant
	}
	return g
}

// finish rewrites the recordings' rows and takes away what only version 1 needs.
func (m migration) finish(t keysTx, rows map[string]oldRow) error {
	for id, r := range rows {
		rk, _, err := t.grantKey(r.Grant)
		if err != nil {
			return err
		}
		wrapped := seal(derive(rk, forOldKey, nil), asRecordingKey, id, r.file[:])
		r.summary.read(m.numbers)
		if err := t.put(id, row{Grant: r.Grant, Start: r.Start, End: r.End, Wrapped: wrapped}, r.summary); err != nil {
			return err
		}
	}
	for _, name := range []string{"number", "time"} { // what version 1 found recordings by
		if err := t.DeleteBucket([]byte(name)); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
	}
	var months [][]byte
	err := t.Bucket(bKEK).ForEach(func(id, _ []byte) error {
		if len(id) > len(ofOldMonth) && string(id[:len(ofOldMonth)]) == ofOldMonth {
			months = append(months, append([]byte(nil), id...))
		}
		return nil
	})
	for _, id := range months {
		err = errors.Join(err, t.Bucket(bKEK).Delete(id))
	}
	return errors.Join(err, t.Bucket(bSystem).Delete([]byte(oldNumberIndex)), setEpoch(t.Tx, 1), setVersion(t.Tx))
}
