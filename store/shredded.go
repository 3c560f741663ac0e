package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// bShredded is a bucket of audit.db: epoch of the root that was destroyed and the
// first recording that an erasure.shredded entry is about -> the entry's index.
var bShredded = []byte("shredded")

// shreddedMost bounds the erasures of one entry, for each certificate holds it.
const shreddedMost = 50

// shreddedEvent is the payload of erasure.shredded: nothing of it tells of a
// person, and whoever has a certificate has it.
type shreddedEvent struct {
	From    uint64    `json:"from"` // the epoch of the root that was destroyed
	To      uint64    `json:"to"`   // of the one that all else was put under
	Turned  time.Time `json:"turned"`
	Erased  []string  `json:"erased"`           // commitments, in hex
	Table   string    `json:"table"`            // SHA-256 of the keys under the new root, in hex
	Backup  string    `json:"backup,omitempty"` // how the new root's backup was confirmed
	Holders []Holder  `json:"holders"`
}

// logShredded logs what went with the old root. It is gone by now; a crash in here
// leaves the rest to the next try, which finds what is in the log.
func (r *rotating) logShredded(ctx context.Context) error {
	ids, rows, err := r.doomed()
	if err != nil {
		return err
	}
	if len(ids) == 0 && !r.audit.hasShredded(r.From) { // only keys of no recording went
		if _, _, err := r.audit.appendOnce(bShredded, epochKey(r.From, ""), TypeShredded, r.event(nil)); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(ids, shreddedMost) {
		seq, at, err := r.audit.appendOnce(bShredded, epochKey(r.From, some[0]), TypeShredded, r.event(rows[:len(some)]))
		if err != nil {
			return err
		}
		rows = rows[len(some):]
		r.reached("rotate.logging")
		if err := r.noteShredded(ctx, some, seq, at); err != nil {
			return err
		}
	}
	return nil
}

func (r *rotating) doomed() (ids []string, rows []erasure, err error) {
	err = r.keys.read(func(tx *bolt.Tx) error {
		return eachWaiting(tx, func(id string, e erasure) {
			if e.Epoch == r.From {
				ids, rows = append(ids, id), append(rows, e)
			}
		})
	})
	return ids, rows, err
}

func (r *rotating) event(rows []erasure) shreddedEvent {
	ev := shreddedEvent{From: r.From, To: r.To, Turned: r.Turned, Erased: []string{}, Table: r.table, Backup: r.backup, Holders: r.holders}
	for _, e := range rows {
		ev.Erased = append(ev.Erased, hex.EncodeToString(e.Commitment))
	}
	return ev
}

func (r *rotating) noteShredded(ctx context.Context, ids []string, seq int64, at time.Time) error {
	err := r.keys.commit(ctx, func(tx *bolt.Tx) error {
		for _, id := range ids {
			e, ok, err := getErasure(tx, id)
			if err != nil || !ok {
				return fmt.Errorf("the erasure of recording %s isn't noted: %w", id, err)
			}
			e.Entry, e.Shredded = seq, at
			if err := putErasure(tx, id, e); err != nil {
				return err
			}
			if err := tx.Bucket(bWaiting).Delete([]byte(id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting that erasures are final: %w", err)
	}
	return nil
}

func (a *Audit) hasShredded(epoch uint64) (has bool) {
	err := a.read(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bShredded); b != nil {
			k, _ := b.Cursor().Seek(epochKey(epoch, ""))
			has = bytes.HasPrefix(k, epochKey(epoch, ""))
		}
		return nil
	})
	return has && err == nil
}

// appendOnce logs something once for each mark, which a bucket of audit.db has. It
// isn't given up: it would then not be known whether it is in the log.
func (a *Audit) appendOnce(bucket, mark []byte, kind string, v any) (seq int64, at time.Time, err error) {
	if seq, at, ok, err := a.marked(bucket, mark); ok || err != nil {
		return seq, at, err
	}
	payload, err := json.Marshal(v)
	if err != nil {
		return 0, at, err
	}
	_, err = a.append(contextForever, newEntry{kind: kind, within: func(tx *bolt.Tx) ([]byte, error) {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return nil, err
		}
		return payload, b.Put(mark, seqKey(sizeOf(tx)))
	}})
	if err != nil {
		return 0, at, err
	}
	seq, at, _, err = a.marked(bucket, mark)
	return seq, at, err
}

// marked finds the entry of a mark.
func (a *Audit) marked(bucket, mark []byte) (seq int64, at time.Time, ok bool, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		k := b.Get(mark)
		if k == nil {
			return nil
		}
		l, err := parseLeaf(tx.Bucket(bLeaf).Get(k))
		seq, at, ok = int64(binary.BigEndian.Uint64(k)), l.At, true
		return err
	})
	return seq, at, ok, err
}
