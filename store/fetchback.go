package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"

	"consentgate/internal/durable"
)

// TypeRestored is of the entry that says that a recording's file was fetched back
// from the archive.
const TypeRestored = "recording.restored"

// restoredEvent is its payload. It goes with its grant.
type restoredEvent struct {
	Recording string `json:"recording"`
	Grant     string `json:"grant"`
	Place     string `json:"place"`
	Reason    string `json:"reason"`
}

// soundFiles remembers which files were found to be those that the log tells of, so
// that each is read for that once.
type soundFiles struct {
	mu    sync.Mutex // guards files
	files map[string]os.FileInfo
}

const (
	// remembered bounds them.
	remembered = 1024
	fileLost   = "its file was missing"
	fileBad    = "its file was damaged"
)

func (f *soundFiles) know(id string, st os.FileInfo) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.files[id]
	return was != nil && os.SameFile(was, st) && was.Size() == st.Size() && was.ModTime().Equal(st.ModTime())
}

func (f *soundFiles) remember(id string, st os.FileInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil || len(f.files) >= remembered {
		f.files = map[string]os.FileInfo{}
	}
	f.files[id] = st
}

// forget reports whether there was something to forget.
func (f *soundFiles) forget(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.files[id] != nil
	delete(f.files, id)
	return was
}

// ensure sees that a sealed recording's file is there, and the one that the log tells
// of, before it is read; where it isn't, and the archive has a copy, that comes in
// its place. Without a copy nothing is done: reading says what is wrong.
func (s *Store) ensure(ctx context.Context, id string, r row) error {
	if s.archiver == nil || r.File == nil || r.End == 0 {
		return nil
	}
	path := sealedPath(s.livePath(id))
	st, err := os.Stat(path)
	if err == nil && s.archiver.sound.know(id, st) {
		return nil
	}
	if there, err := s.copied(id); err != nil || !there {
		return err
	}
	logged, logErr := s.loggedEnd(id, r)
	if logErr != nil {
		return logErr
	}
	why := fileLost
	if err == nil {
		why = fileBad
		sum, size, err := sumOf(path)
		if err == nil && size == logged.Size && hex.EncodeToString(sum[:]) == logged.File {
			s.archiver.sound.remember(id, st)
			return nil
		}
	}
	if err := s.archiver.restore(ctx, id, r, logged, why); err != nil {
		s.metrics.archive.WithLabelValues("read").Inc()
		s.log.Error("a recording can't be fetched back from the archive", "recording", id, "why", why, "error", err)
		return fmt.Errorf("%s, and the archive's copy can't be fetched: %w", why, err)
	}
	return nil
}

// restore puts the archive's copy in the place of a recording's file.
func (a *archiver) restore(ctx context.Context, id string, r row, logged recordingEvent, why string) error {
	select { // one at a time: what is fetched lies beside the files for a while
	case a.fetching <- struct{}{}:
		defer func() { <-a.fetching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var want [sha256.Size]byte
	if n, err := hex.Decode(want[:], []byte(logged.File)); err != nil || n != len(want) {
		return errors.New("the log has no SHA-256 of it")
	}
	if err := a.disk.refuses(); err != nil {
		return err
	}
	sized, cancel := a.sized(logged.Size)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	path := sealedPath(a.livePath(id))
	if err := a.fetchTo(sized, id, unfinishedPath(a.livePath(id)), logged.Size, want); err != nil {
		return errors.Join(err, durable.Remove(unfinishedPath(a.livePath(id))))
	}
	a.reached("archive.fetched")
	ev := restoredEvent{Recording: id, Grant: r.Grant.String(), Place: a.place.Name(), Reason: why}
	err := a.audit.appendOf(sized, TypeRestored, ev, r.Grant)
	if err == nil {
		err = durable.Rename(unfinishedPath(a.livePath(id)), path)
	}
	if err != nil {
		return errors.Join(err, durable.Remove(unfinishedPath(a.livePath(id))))
	}
	if _, still, err := a.row(id); err != nil || !still { // it was erased meanwhile
		return errors.Join(err, durable.Remove(path))
	}
	a.log.Warn("a recording's file was fetched back from the archive", "recording", id, "why", why)
	if st, err := os.Stat(path); err == nil {
		a.sound.remember(id, st)
	}
	return nil
}

func (a *archiver) fetchTo(ctx context.Context, id, path string, size int64, sum [sha256.Size]byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := a.fetch(ctx, id, f, size, sum); err != nil {
		return err
	}
	return f.Sync()
}

// unsound has a file be looked at anew that couldn't be read to its end, and reports
// whether that may help.
func (s *Store) unsound(id string) bool { return s.archiver != nil && s.archiver.sound.forget(id) }
