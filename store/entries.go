package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// batchSize is how many entries are read in one transaction. A transaction must
// not be open while somebody else works on what it gave: bbolt can't let its
// file grow meanwhile, and every grant would wait for a slow reader.
const batchSize = 128

// Entries calls f for each entry from seq on, in order, until f says no. It
// comes to the entries that are written meanwhile, too. f may take its time.
func (s *Store) Entries(from int64, f func(Entry) bool) error {
	for {
		batch, err := s.audit.batch(from, batchSize)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, e := range batch {
			if !f(e) {
				return nil
			}
		}
		from = batch[len(batch)-1].Seq + 1
	}
}

// EntriesOf calls f for the entries of some types from seq on, in order, until f
// says no, and returns where to go on the next time. Of the others nothing is
// opened. It comes to the entries that are written meanwhile, too. f may take its
// time.
func (s *Store) EntriesOf(from int64, types map[string]bool, f func(Entry) bool) (next int64, err error) {
	for {
		batch, came, err := s.audit.batchOf(from, types)
		if err != nil || came == from {
			return from, err
		}
		for _, e := range batch {
			if !f(e) {
				return e.Seq + 1, nil
			}
		}
		from = came
	}
}

// EntriesBefore calls f for entries before one, the latest first, until f says no;
// before -1: from the end. kind is their type; "" is all, and of others nothing is
// opened. f may take its time.
func (s *Store) EntriesBefore(before int64, kind string, f func(Entry) bool) error {
	for {
		batch, came, err := s.audit.batchBefore(before, kind)
		if err != nil {
			return err
		}
		for _, e := range batch {
			if !f(e) {
				return nil
			}
		}
		if came <= 0 || came == before {
			return nil
		}
		before = came
	}
}

// batchBefore reads entries back from one, and says how far it came.
func (a *Audit) batchBefore(before int64, kind string) (out []Entry, came int64, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		k, text := cur.Last()
		if before >= 0 {
			if found, _ := cur.Seek(seqKey(before)); found != nil {
				k, text = cur.Prev()
			} else {
				k, text = cur.Last()
			}
		}
		looked := 0
		for ; k != nil && len(out) < batchSize && looked < scanSize; k, text = cur.Prev() {
			looked++
			came = int64(binary.BigEndian.Uint64(k))
			if l, err := parseLeaf(text); kind != "" && (err != nil || l.Type != kind) {
				continue
			}
			e, err := a.entryOf(tx, k, text)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, came, err
}

// scanSize is how many leaves are looked at in one transaction.
const scanSize = 4096

// batchOf reads entries of some types, and says how far it came.
func (a *Audit) batchOf(from int64, types map[string]bool) (out []Entry, next int64, err error) {
	next = from
	err = a.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		for k, text := cur.Seek(seqKey(from)); k != nil && len(out) < batchSize && next < from+scanSize; k, text = cur.Next() {
			next = int64(binary.BigEndian.Uint64(k)) + 1
			if l, err := parseLeaf(text); err != nil || !types[l.Type] {
				continue // a leaf that can't be read is for the verifier to tell
			}
			e, err := a.entryOf(tx, k, text)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, next, err
}

// entryOf is readEntry of the log that is open: what doesn't open is counted.
func (a *Audit) entryOf(tx *bolt.Tx, k, text []byte) (Entry, error) {
	e, wrong, err := readEntry(tx, k, text, a.keys.payloadKey)
	if wrong == payloadChanged {
		a.keys.refused.add("entry")
	}
	return e, err
}

func (a *Audit) batch(from int64, n int) (out []Entry, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		for k, text := cur.Seek(seqKey(from)); k != nil && len(out) < n; k, text = cur.Next() {
			e, err := a.entryOf(tx, k, text)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// entryOf reads an entry; without its payload where that doesn't open.
func entryOf(tx *bolt.Tx, k, text []byte, keys payloadKeys) (Entry, error) {
	e, _, err := readEntry(tx, k, text, keys)
	return e, err
}

// readEntry is entryOf, and says why a payload doesn't open that should.
func readEntry(tx *bolt.Tx, k, text []byte, keys payloadKeys) (e Entry, wrong string, err error) {
	l, err := parseLeaf(text)
	if err != nil {
		return Entry{}, "", err
	}
	salt, payload, _, wrong := openPayload(tx.Bucket(bPayload).Get(k), text, keys)
	return Entry{l.Seq, l.At, l.Type, string(text), salt, payload}, wrong, nil
}

// lastAnchors reads how far the log saw the recordings come that wanted names.
// It goes back from the log's end to where the oldest of them was started.
func (a *Audit) lastAnchors(wanted map[string]bool) (map[string]anchored, error) {
	out := map[string]anchored{}
	left := len(wanted)
	err := a.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		for k, text := cur.Last(); k != nil && left > 0; k, text = cur.Prev() {
			if !bytes.Contains(text, []byte(" "+TypeAnchor+" ")) && !bytes.Contains(text, []byte(" "+TypeStarted+" ")) {
				continue
			}
			e, err := a.entryOf(tx, k, text)
			if err != nil {
				return err
			}
			var ev struct {
				recordingEvent
				anchorEvent
			}
			if json.Unmarshal(e.Payload, &ev) != nil {
				continue // damaged: for the verifier to say; the gate must start
			}
			for _, r := range ev.Running {
				if _, later := out[r.Recording]; !later && wanted[r.Recording] {
					out[r.Recording] = r
				}
			}
			if wanted[ev.Recording] {
				left--
			}
		}
		return nil
	})
	return out, err
}

// verifierKey is what log.vkey says.
func (a *Audit) verifierKey() (string, error) {
	return readVerifier(filepath.Dir(a.db.Path()))
}
