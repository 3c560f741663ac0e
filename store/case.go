package store

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/store/evidence"
)

// Case is all that is known of a recording: the consents that it was made under,
// its gaps, and who used it. Its file is read to the end for that, which is no use
// of it. ErrNotFound: there is no such recording.
func (s *Store) Case(ctx context.Context, id string) (evidence.Case, error) {
	c, _, err := s.caseOf(ctx, id)
	if err != nil {
		return c, err
	}
	reading, err := s.read(ctx, id, func(content) error { return nil })
	if errors.Is(err, ErrDamaged) {
		c.Damaged = err.Error()
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading recording %s: %w", id, err)
	}
	c.Rendered = rendered(reading)
	return c, nil
}

// ProveEntry proves that an entry is in the log, under its newest checkpoint. The
// payload goes along in the clear where that is wanted. ErrNoEntry: there is none.
func (a *Audit) ProveEntry(seq int64, payload bool) (p Proof, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		size := sizeOf(tx)
		text := tx.Bucket(bLeaf).Get(seqKey(seq))
		if seq < 0 || text == nil || seq >= size {
			return fmt.Errorf("%w: %d, among %d", ErrNoEntry, seq, size)
		}
		e, err := a.entryOf(tx, seqKey(seq), text)
		if err != nil {
			return err
		}
		if !payload {
			e.Salt, e.Payload = nil, nil
		}
		hashes, err := tlog.ProveRecord(size, seq, hashReader(tx))
		p = Proof{Format: proofFormat, To: string(tx.Bucket(bMeta).Get(kCheckpoint)), Entry: &e, Hashes: hashes}
		return err
	})
	return p, err
}

// ProveSince proves that the log continues an older checkpoint of it. ErrProof: the
// checkpoint isn't this log's, or the log doesn't continue it.
func (a *Audit) ProveSince(older []byte) (p Proof, err error) {
	vkey, err := a.verifierKey()
	if err != nil {
		return p, err
	}
	from, err := ParseCheckpoint(older, vkey)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrProof, err)
	}
	err = a.read(func(tx *bolt.Tx) (err error) {
		if err := continues(tx, from); err != nil {
			return fmt.Errorf("%w: %w", ErrProof, err)
		}
		p = Proof{Format: proofFormat, From: string(older), To: string(tx.Bucket(bMeta).Get(kCheckpoint))}
		p.Hashes, err = proveTree(tx, sizeOf(tx), from.Size)
		return err
	})
	return p, err
}
