package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// ErrLive means that a recording is still being written, or sealed. Its erasure is
// carried out when it is.
var ErrLive = errors.New("the recording is still being written; it will be erased when it ends")

// eraseSealed removes a grant's recording: the grant's key, the rows, the file
// and what the log said of the grant, and logs that (GDPR Art. 17). Whether it may
// was decided before, by settle. ErrNotFound: there is none.
//
// The disk may still hold the wrapped key: until the next rotation (Rotate) who has
// it and the root key may restore an erased recording. Erasure tells how far it is.
//
// What comes after its first transaction is done by the clerk, or the next start,
// if it can't be now.
func (s *Store) eraseSealed(ctx context.Context, id string, grant consent.Hash, reason string) error {
	ev := recordingEvent{Recording: id, Grant: grant.String(), Reason: reason}
	told, err := s.audit.toldOf(grant)
	if err != nil {
		return err
	}
	var sum Summary // written by the committer; read here only after it answered
	err = s.keys.update(ctx, func(t keysTx) error {
		sum = Summary{}
		r, ok, err := getRow(t.Tx, id)
		switch {
		case err != nil:
			return err
		case ok:
			if sum, err = t.summary(id, r); err != nil {
				return err
			}
			month, err := t.unindex(id, r)
			return errors.Join(err, t.beginErasure(id, r, month, ev, told))
		case t.Bucket(bErasing).Get([]byte(id)) != nil: // a try that was given up came through after all
			return nil
		}
		return ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("erasing a recording's key: %w", err)
	}
	s.usage.add(sum.Trunk, -sum.Bytes)
	s.reached("erase.dropped")
	s.archiver.wake()
	finish := func(ctx context.Context) error { return s.finishErasure(ctx, id, ev) }
	if err := finish(ctx); err != nil {
		s.later("erasing recording "+id, finish)
		return err
	}
	return nil
}

// finishErasure removes the file of a recording whose key is gone, and logs it.
func (s *Store) finishErasure(ctx context.Context, id string, ev recordingEvent) error {
	live := s.livePath(id)
	if err := errors.Join(durable.Remove(live), durable.Remove(sealedPath(live)), durable.Remove(unfinishedPath(live))); err != nil {
		return fmt.Errorf("erasing a recording's file: %w", err)
	}
	s.reached("erase.unlinked")
	var grant consent.Hash
	if err := grant.UnmarshalText([]byte(ev.Grant)); err != nil {
		return fmt.Errorf("the note of an erasure: %w", err)
	}
	told, err := s.audit.toldOf(grant)
	if err != nil {
		return err
	}
	if err := s.audit.appendErased(ctx, ev); err != nil {
		return err
	}
	s.reached("erase.logged")
	s.metrics.recordings.WithLabelValues("erased").Inc()
	if err := s.noteFinished(ctx, id, told.given); err != nil {
		return err
	}
	s.reached("erase.done")
	s.rotator.wake()
	return nil
}

// finishErasures carries on what a crash interrupted.
func (s *Store) finishErasures() error {
	todo := map[string]recordingEvent{}
	err := s.keys.read(func(tx *bolt.Tx) error {
		return tx.Bucket(bErasing).ForEach(func(id, note []byte) error {
			var ev recordingEvent
			if err := json.Unmarshal(note, &ev); err != nil {
				return fmt.Errorf("the note of an erasure: %w", err)
			}
			todo[string(id)] = ev
			return nil
		})
	})
	for id, ev := range todo {
		err = errors.Join(err, s.dropKey(ev), s.finishErasure(contextForever, id, ev))
	}
	return err
}

// dropKey takes a grant's key away where an erasure that version 1 began, which
// knew no such keys, is carried on.
func (s *Store) dropKey(ev recordingEvent) error {
	var g consent.Hash
	if err := g.UnmarshalText([]byte(ev.Grant)); err != nil {
		return fmt.Errorf("the note of an erasure: %w", err)
	}
	return s.keys.update(contextForever, func(t keysTx) error { return t.drop(g) })
}
