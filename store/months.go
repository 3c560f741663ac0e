package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TypePayloadsErased is the entry that says that payloads which went with no grant
// are gone: all up to an entry that its mark names.
const TypePayloadsErased = "payloads.erased"

// bMonth is a bucket of audit.db: an entry's index -> the name of the month's key
// that payloads are sealed under from there on, but for those under a grant's.
var bMonth = []byte("month")

// kPayloadsErased is where in audit.db the last payloads.erased stopped.
var kPayloadsErased = []byte("payloads-erased")

// payloadsAtOnce bounds the payloads that one transaction takes away: a grant
// waits for it.
const payloadsAtOnce = 4096

// monthOf names the key of payloads that are logged now.
func (a *Audit) monthOf(now time.Time) string { return ofMonth + now.UTC().Format("2006-01") }

// span is a run of entries whose payloads are under one month's key.
type span struct {
	from int64
	name string
}

func spansOf(tx *bolt.Tx) (out []span, err error) {
	b := tx.Bucket(bMonth)
	if b == nil { // of a log that no gate of this version had open yet
		return nil, nil
	}
	err = b.ForEach(func(k, name []byte) error {
		if len(k) != 8 {
			return errors.New("the list of the log's months can't be read")
		}
		out = append(out, span{int64(binary.BigEndian.Uint64(k)), string(name)})
		return nil
	})
	return out, err
}

// monthAt is the name that the list has for an entry; "" where it has none.
func monthAt(list *bolt.Bucket, k []byte) string {
	cur := list.Cursor()
	at, name := cur.Seek(k)
	if !bytes.Equal(at, k) {
		if at == nil {
			_, name = cur.Last()
		} else {
			_, name = cur.Prev()
		}
	}
	return string(name)
}

// noteMonth notes that an entry's payload is under another month's key than those
// before it.
func noteMonth(tx *bolt.Tx, seq int64, name string) error {
	b := tx.Bucket(bMonth)
	if _, last := b.Cursor().Last(); string(last) == name {
		return nil
	}
	return b.Put(seqKey(seq), []byte(name))
}

// findMonths makes the list for a log that was written without.
func findMonths(tx *bolt.Tx) error {
	if tx.Bucket(bMonth) != nil {
		return nil
	}
	if _, err := tx.CreateBucket(bMonth); err != nil {
		return err
	}
	return tx.Bucket(bPayload).ForEach(func(k, row []byte) error {
		if _, ok := grantOfRow(row); ok {
			return nil
		}
		return noteMonth(tx, int64(binary.BigEndian.Uint64(k)), nameOfRow(row))
	})
}

// monthsOver is what of a log may go: the payloads up to an entry, and the months'
// keys that no later one is under. The span that is being written stays. A month
// that is yet to come is of a time when the clock was wrong, and goes with those
// after it.
func monthsOver(spans []span, keep time.Duration, now time.Time) (before int64, over []string) {
	n, last := 0, max(len(spans)-1, 0)
	for i, s := range spans[:last] {
		begin, err := time.Parse(ofMonth+"2006-01", s.name)
		if err != nil || begin.Before(now) && now.Before(begin.AddDate(0, 1, 0).Add(keep)) {
			break
		}
		if begin.Before(now) {
			n = i + 1
		}
	}
	if n == 0 {
		return 0, nil
	}
	later := map[string]bool{}
	for _, s := range spans[n:] {
		later[s.name] = true
	}
	for _, s := range spans[:n] {
		if !later[s.name] && !slices.Contains(over, s.name) {
			over = append(over, s.name)
		}
	}
	return spans[n].from, over
}

// monthsAtOnce is how many months a run may take without an officer's word: a slip
// of a digit in the configuration looks like more.
const monthsAtOnce = 2

// logDue is what a run would take from the log.
type logDue struct {
	before int64    // payloads of entries before it
	keys   []string // of months
	fresh  int      // how many of these weren't due when an officer last confirmed
}

func (d logDue) stopped() bool { return d.fresh > monthsAtOnce }

// logDue looks for months that are over; there is a key of each.
func (p Retention) logDue(log *bolt.Tx, t keysTx, now, confirmed time.Time) (d logDue, err error) {
	if p.Audit == 0 {
		return d, nil
	}
	spans, err := spansOf(log)
	if err != nil {
		return d, err
	}
	d.before, d.keys = monthsOver(spans, p.Audit, now)
	d.keys = slices.DeleteFunc(d.keys, func(name string) bool { return t.Bucket(bKEK).Get([]byte(name)) == nil })
	_, known := monthsOver(spans, p.Audit, confirmed)
	for _, name := range d.keys {
		if !slices.Contains(known, name) {
			d.fresh++
		}
	}
	return d, nil
}

func (s *Store) logDue(now, confirmed time.Time) (d logDue, err error) {
	err = s.audit.read(func(log *bolt.Tx) error {
		return s.keys.view(func(t keysTx) (err error) {
			d, err = s.retainer.logDue(log, t, now, confirmed)
			return err
		})
	})
	if err != nil {
		return d, fmt.Errorf("looking for months of the log whose time is over: %w", err)
	}
	return d, nil
}

// eraseMonths takes payloads away, and then the keys that they were under: the log
// has it before it is final. What a crash leaves is done by the next run.
func (s *Store) eraseMonths(d logDue) error {
	for done := d.before == 0; !done && !s.stopping(); {
		err := within(func(ctx context.Context) (err error) {
			done, err = s.audit.erasePayloads(ctx, d.before)
			return err
		})
		if err != nil {
			return fmt.Errorf("erasing payloads of the log: %w", err)
		}
		s.reached("month.logged")
	}
	if len(d.keys) == 0 || s.stopping() {
		return nil
	}
	err := within(func(ctx context.Context) error {
		return s.keys.update(ctx, func(t keysTx) (err error) {
			for _, name := range d.keys {
				// Where its bytes remain on the disk it is under the root, which goes then.
				err = errors.Join(err, t.Bucket(bTouched).Put([]byte(name), nil), t.Bucket(bKEK).Delete([]byte(name)))
			}
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("taking the log's old keys away: %w", err)
	}
	s.reached("month.dropped")
	s.log.Info("payloads of the audit log are erased, their time being over", "months", len(d.keys))
	s.rotator.wake()
	return nil
}

// payloadsErasedEvent is the payload of payloads.erased.
type payloadsErasedEvent struct {
	Before   int64  `json:"before"`   // entries before it, as the leaf's mark says
	Payloads int    `json:"payloads"` // how many went
	By       string `json:"by"`
}

// erasePayloads takes some payloads away that are before an entry and under no
// grant's key, and logs that in the same transaction. done: there are no more.
func (a *Audit) erasePayloads(ctx context.Context, before int64) (done bool, err error) {
	var from, until int64
	err = a.read(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bMeta).Get(kPayloadsErased); b != nil {
			from = int64(binary.BigEndian.Uint64(b))
		}
		cur := tx.Bucket(bPayload).Cursor()
		k, _ := cur.Seek(seqKey(from))
		for n := 0; k != nil && n < payloadsAtOnce; n++ {
			k, _ = cur.Next()
		}
		until = before
		if k != nil {
			until = min(before, int64(binary.BigEndian.Uint64(k)))
		}
		return nil
	})
	if err != nil || from >= before {
		return true, err
	}
	_, err = a.append(ctx, newEntry{kind: TypePayloadsErased, before: until, within: func(tx *bolt.Tx) ([]byte, error) {
		n, err := dropUnmarked(tx, from, until)
		if err != nil {
			return nil, err
		}
		if err := tx.Bucket(bMeta).Put(kPayloadsErased, seqKey(until)); err != nil {
			return nil, err
		}
		return json.Marshal(payloadsErasedEvent{until, n, system})
	}})
	return until == before, err
}

// dropUnmarked takes the payloads of a run of entries away, but for those under
// grants' keys.
func dropUnmarked(tx *bolt.Tx, from, until int64) (n int, err error) {
	var gone [][]byte // a bucket mustn't change under its cursor
	cur := tx.Bucket(bPayload).Cursor()
	for k, row := cur.Seek(seqKey(from)); k != nil && bytes.Compare(k, seqKey(until)) < 0; k, row = cur.Next() {
		if _, ok := grantOfRow(row); !ok {
			gone = append(gone, bytes.Clone(k))
		}
	}
	for _, k := range gone {
		err = errors.Join(err, tx.Bucket(bPayload).Delete(k))
	}
	return len(gone), err
}
