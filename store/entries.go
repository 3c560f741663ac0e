package store

import (
	"bytes"
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

func (a *Audit) batch(from int64, n int) (out []Entry, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		for k, text := cur.Seek(seqKey(from)); k != nil && len(out) < n; k, text = cur.Next() {
			e, err := entryOf(tx, k, text, a.keys.payloadKey)
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
	l, err := parseLeaf(text)
	if err != nil {
		return Entry{}, err
	}
	salt, payload, _, _ := openPayload(tx.Bucket(bPayload).Get(k), text, keys)
	return Entry{l.Seq, l.At, l.Type, string(text), salt, payload}, nil
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
			e, err := entryOf(tx, k, text, a.keys.payloadKey)
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
