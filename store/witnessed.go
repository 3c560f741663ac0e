package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/store/checkpoint"
	"consentgate/store/witness"
)

// startWitnesses brings checkpoints to where they are kept, from now on. Without
// witnesses the gate goes on: calls are recorded, and its metrics say so.
func (s *Store) startWitnesses(o Options) {
	var err error
	s.witnesses, err = witness.Start(s.audit, o.Witnesses, witness.Options{Dir: s.dir, Log: s.log, Registerer: o.Registerer,
		Every: o.WitnessEvery, OnConflict: s.conflict})
	if err != nil {
		s.log.Error("nobody witnesses the audit log", "error", err)
	}
}

// closeWitnesses has what was logged last witnessed, too.
func (s *Store) closeWitnesses() error {
	if s.witnesses == nil {
		return nil
	}
	return s.witnesses.Close()
}

// conflict notes that a witness keeps another history: in the very log that
// isn't the one that was witnessed, so that the entry is there to be explained.
func (s *Store) conflict(c witness.Conflict) {
	e := WitnessConflict{Witness: c.Witness, Size: c.Held.Size, Reason: c.Err.Error()}
	if c.Held.Size > 0 {
		e.Root = c.Held.Root.String()
	}
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	if err := s.audit.Note(ctx, e); err != nil {
		s.log.Error("not done yet", "what", "logging a witness's conflict", "error", err)
		s.later("logging a witness's conflict", func(ctx context.Context) error { return s.audit.Note(ctx, e) })
	}
}

var _ witness.Log = (*Audit)(nil)

// VerifierKey is what log.vkey says.
func (a *Audit) VerifierKey() (string, error) { return a.verifierKey() }

// Prove proves that the first size entries continue the first older ones, which
// is at least 1.
func (a *Audit) Prove(older, size int64) (hashes []tlog.Hash, err error) {
	err = a.db.View(func(tx *bolt.Tx) error {
		hashes, err = tlog.ProveTree(size, older, hashReader(tx))
		return err
	})
	return hashes, err
}

// Continues is nil if the log begins with what the checkpoint speaks of.
func (a *Audit) Continues(c checkpoint.Checkpoint) error {
	err := a.db.View(func(tx *bolt.Tx) error { return continues(tx, c) })
	if errors.Is(err, errNotContinued) {
		return fmt.Errorf("%w: %w", witness.ErrConflict, err)
	}
	return err
}

// DefaultWitnessEvery is how often checkpoints are witnessed by default.
const DefaultWitnessEvery = time.Minute
