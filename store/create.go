package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// ErrNoConsent means that a grant doesn't permit recording, or no longer.
var ErrNoConsent = errors.New("there is no valid consent to record")

// Create makes a recorder for a valid grant: its key, bound to the consent, and
// its file. From then on the store accounts for the grant's end; after an error
// it is the caller's to close the grant (consent.Failed).
func (s *Store) Create(ctx context.Context, g consent.Grant) (*Recording, error) {
	if !g.Valid() {
		return nil, ErrNoConsent
	}
	r, err := s.newRecording(ctx, g)
	if err != nil {
		return nil, err
	}
	rec := g.Record()
	f, err := s.foundBy(ctx, r.row, rec.Call.Remote, rec.Call.Local)
	if err != nil {
		return nil, err
	}
	if err := s.keys.commit(ctx, func(tx *bolt.Tx) error { return f.index(tx, r.id) }); err != nil {
		s.forgetLater(r.id) // it may yet become durable
		return nil, fmt.Errorf("keeping the recording's key: %w", err)
	}
	if err := r.create(g); err != nil {
		s.forgetLater(r.id)
		return nil, err
	}
	// The log names the recording before it holds a word; if that fails there
	// is no recording.
	if err := s.audit.appendJSON(ctx, TypeStarted, recordingEvent{Recording: r.id, Grant: g.Hash().String(),
		Call: rec.Call.ID}); err != nil {
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

func (s *Store) newRecording(ctx context.Context, g consent.Grant) (*Recording, error) {
	rec := g.Record()
	id, raw := newID()
	k := newKey()
	start := time.Now()
	r := &Recording{store: s, id: id, start: start, path: s.livePath(id),
		row: row{Bucket: bucketOf(rec.Purpose, start), Grant: g.Hash(), Start: start.UnixNano()}}
	r.room = sync.NewCond(&r.mu)
	kek, err := s.keys.bucket(ctx, r.row.Bucket)
	if err != nil {
		return nil, err
	}
	r.row.Wrapped = seal(kek, asRecordingKey, about(id, r.row), k[:])
	if err := s.keys.sealSummary(ctx, id, &r.row, summaryOf(id, rec, start)); err != nil {
		return nil, err
	}
	r.frames = newSealer(k, raw)
	return r, nil
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
