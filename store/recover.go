package store

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// recover closes what the last process left open. A recording that wasn't ended
// keeps its good frames: the file is cut behind the last of them, and its end,
// frame count and hash go into the log. Nothing is encrypted again, so no nonce
// can be used twice.
func (s *Store) recover() error {
	live, err := s.liveFiles()
	if err != nil {
		return err
	}
	anchors, err := s.audit.lastAnchors(live)
	if err != nil {
		return err
	}
	for id := range live {
		if err := s.recoverFile(id, anchors[id]); err != nil {
			// One file must not keep the gate from starting: the others, and
			// the calls, go on.
			s.log.Error("a recording can't be recovered and is left as it is", "recording", id, "error", err)
		}
	}
	return errors.Join(s.finishErasures(), s.settleGrants(), s.settleRows(), s.forgetGhosts(), s.dropOrphans())
}

// liveFiles lists the recordings that weren't ended.
func (s *Store) liveFiles() (map[string]bool, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, recordingsDir))
	live := map[string]bool{}
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), ".live"); ok {
			live[id] = true
		}
	}
	return live, err
}

// forgetGhosts takes away the rows of recordings that never came to be: their
// key was kept and the crash came before their file.
func (s *Store) forgetGhosts() error {
	var ghosts []string
	err := s.keys.read(func(tx *bolt.Tx) error {
		return tx.Bucket(bRecording).ForEach(func(k, _ []byte) error {
			live := s.livePath(string(k))
			if missing(live) && missing(sealedPath(live)) {
				ghosts = append(ghosts, string(k))
			}
			return nil
		})
	})
	for _, id := range ghosts {
		r, ok, rowErr := s.row(id)
		if rowErr != nil || !ok || r.End != 0 { // one that was sealed is missed, not forgotten
			err = errors.Join(err, rowErr)
			continue
		}
		err = errors.Join(err, s.forget(contextForever, id))
	}
	return err
}

// dropOrphans takes away the keys of grants that nothing is under: the crash came
// before the grant was in the log.
func (s *Store) dropOrphans() error {
	var orphans []consent.Hash
	err := s.audit.read(func(log *bolt.Tx) error {
		return s.keys.read(func(tx *bolt.Tx) error {
			return tx.Bucket(bGrantKey).ForEach(func(g, _ []byte) error {
				if h := consent.Hash(g); tx.Bucket(bGrant).Get(g) == nil && len(ofGrantSeqs(log, h)) == 0 {
					orphans = append(orphans, h)
				}
				return nil
			})
		})
	})
	if err != nil || len(orphans) == 0 {
		return err
	}
	return s.keys.update(contextForever, func(t keysTx) (err error) {
		for _, g := range orphans {
			err = errors.Join(err, t.drop(g))
		}
		return err
	})
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

// recoverFile closes one. seen is how far the log saw it come.
func (s *Store) recoverFile(id string, seen anchored) error {
	path := s.livePath(id)
	row, ok, err := s.row(id)
	if err != nil {
		return err
	}
	if !ok { // an erasure goes on with it, or a backup may have its row: the scan reports it
		return nil
	}
	most := uint64(math.MaxUint64)
	if !s.audit.isOpen(row.Grant) { // the log has its end already: its file couldn't be closed
		if ended, err := s.loggedEnd(id, row); err == nil {
			most = ended.Frames
		}
	}
	e, err := s.readGood(path, id, row, most)
	if err != nil {
		return err
	}
	if !e.final {
		e.reason, e.truncated = "truncated: the gate stopped while recording", true
	}
	if seen.Frames > e.frames {
		e.truncated = true
		e.reason = fmt.Sprintf("truncated: %d frames are there, the log had seen %d", e.frames, seen.Frames)
	}
	if e.frames == 0 { // it never began: settleGrants says so
		return durable.Remove(path)
	}
	if err := cutFile(path, e.bytes); err != nil {
		return err
	}
	if err := durable.Rename(path, sealedPath(path)); err != nil {
		return err
	}
	s.log.Warn("a recording was cut off by a crash and closed", "recording", id, "frames", e.frames)
	s.sealed(id, row, e.ending)
	return nil
}

// goodPart is what a file holds up to its last good frame.
type goodPart struct {
	ending
	final bool // the last good frame is the recording's last
}

// readGood reads a file to its last good frame, or to the last of so many. An
// error is the disk's or the key's: the file must then be left as it is.
func (s *Store) readGood(path, id string, r row, most uint64) (e goodPart, err error) {
	k, err := s.keys.fileKey(id, r)
	if err != nil {
		return e, err
	}
	f, err := os.Open(path)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fr, err := openFrames(f, k)
	if errors.Is(err, errNoHeader) {
		return e, nil // cut off before it began: nothing of it is good
	}
	if err != nil {
		return e, err
	}
	for fr.count < most {
		plain, err := fr.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errFrame) {
			break
		}
		if err != nil {
			return e, fmt.Errorf("reading recording %s: %w", id, err)
		}
		d := decoder{b: plain}
		for c, ok := d.next(); ok; c, ok = d.next() {
			e.length = max(e.length, c.at, c.to)
			if c.kind == recEnd {
				e.reason = c.text
			}
		}
	}
	e.progress = progress{frames: fr.count, hash: fr.hash, bytes: fr.offset}
	e.final = fr.final
	return e, nil
}

func cutFile(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// settleGrants gives every grant an end: sealed if its recording is there after
// all, failed if none is.
func (s *Store) settleGrants() error {
	for g := range s.audit.openGrants() {
		id, row, ok, err := s.byGrant(g)
		if err != nil {
			return err
		}
		if ok {
			if done, err := s.settleSealed(id, row); err != nil || done {
				if err != nil {
					s.log.Error("a recording's end can't be told yet", "recording", id, "error", err)
				}
				continue
			}
		}
		ev := recordingEvent{Recording: id, Grant: g.String(), Reason: "the gate stopped before the recording began"}
		if _, err := s.audit.appendEnd(contextForever, TypeFailed, ev, g); err != nil {
			return err
		}
		if ok {
			if err := s.forget(contextForever, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleSealed logs the end of a recording whose file has its name already; the
// crash came between the two. done is false where there is no file.
func (s *Store) settleSealed(id string, r row) (done bool, err error) {
	path := sealedPath(s.livePath(id))
	if _, err := os.Stat(s.livePath(id)); err == nil {
		return true, errors.New("its file could not be recovered")
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	e, err := s.readGood(path, id, r, math.MaxUint64)
	if err != nil {
		return true, err
	}
	if !e.final {
		e.reason, e.truncated = "truncated: the recorder failed", true
	}
	s.sealed(id, r, e.ending)
	return true, nil
}
