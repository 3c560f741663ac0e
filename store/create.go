package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// ErrNoConsent means that a grant doesn't permit recording, or no longer.
var ErrNoConsent = errors.New("there is no valid consent to record")

// errSecond means that a grant has had its recorder: there is one for each.
var errSecond = errors.New("the grant has a recording already")

// Create makes a recorder for a valid grant: its file, under a key that hangs
// under the grant's. From then on the store accounts for the grant's end; after an error
// it is the caller's to close the grant (consent.Failed).
func (s *Store) Create(ctx context.Context, g consent.Grant) (*Recording, error) {
	if !g.Valid() {
		return nil, ErrNoConsent
	}
	if err := s.Ready(g.Record().Call.Trunk); err != nil {
		return nil, err
	}
	r, err := s.newRecording(g)
	if err != nil {
		return nil, err
	}
	if err := s.keep(ctx, r, g.Record()); errors.Is(err, errSecond) {
		return nil, err
	} else if err != nil {
		s.forgetLater(r.id) // it may yet become durable
		return nil, fmt.Errorf("keeping the recording's row: %w", err)
	}
	if err := r.create(g); err != nil {
		s.forgetLater(r.id)
		return nil, err
	}
	// The log names the recording before it holds a word; if that fails there
	// is no recording.
	if err := s.audit.appendOf(ctx, TypeStarted, recordingEvent{Recording: r.id, Grant: g.Hash().String(),
		Call: g.Record().Call.ID}, g.Hash()); err != nil {
		s.forgetLater(r.id)
		return nil, errors.Join(err, r.file.Close(), durable.Remove(r.path))
	}
	s.mu.Lock()
	s.live[r.id] = r
	s.mu.Unlock()
	return r, nil
}

// forgetLater takes away the rows of a recording that never came to be, off the
// caller's path.
func (s *Store) forgetLater(id string) {
	s.later("forgetting a recording that never began", func(ctx context.Context) error { return s.forget(ctx, id) })
}

func (s *Store) newRecording(g consent.Grant) (*Recording, error) {
	kept, err := s.keys.grantRow(g.Hash())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	salt := newKey() // a second try would have another key: a file's nonces count from 0
	r := &Recording{store: s, id: kept.ID, trunk: g.Record().Call.Trunk, start: start, path: s.livePath(kept.ID),
		row: row{Grant: g.Hash(), Start: start.UnixNano(), Salt: salt[:]}}
	r.room = sync.NewCond(&r.mu)
	return r, nil
}

// keep makes a recording's row durable, and gives the recording its key.
func (s *Store) keep(ctx context.Context, r *Recording, rec consent.Record) error {
	raw, err := idBytes(r.id)
	if err != nil {
		return err
	}
	id, kept, sum := r.id, r.row, summaryOf(r.id, rec, r.start)
	sum.read(s.numbers)
	var k key // written by the committer; read here only after it answered
	err = s.keys.update(ctx, func(t keysTx) (err error) {
		if _, second, err := getRow(t.Tx, id); second || err != nil {
			return errors.Join(errSecond, err)
		}
		if k, err = t.fileKey(id, kept); err != nil {
			return err
		}
		return t.index(id, kept, sum)
	})
	if err != nil {
		return err
	}
	r.frames = newSealer(k, raw)
	return nil
}

// create makes the file with its first frame.
func (r *Recording) create(g consent.Grant) error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making a recording's file: %w", err)
	}
	r.file = f
	r.good.bytes = int64(headerSize)
	first, err := firstFrame(g, r.start)
	if err == nil {
		_, err = f.Write(r.frames.header[:])
	}
	if err == nil {
		err = r.writeFrame(first, flagData)
	}
	if err == nil {
		err = errors.Join(f.Sync(), durable.SyncDir(filepath.Dir(r.path)))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("beginning a recording: %w", err), f.Close(), durable.Remove(r.path))
	}
	r.dirty, r.synced = false, r.good
	return nil
}
