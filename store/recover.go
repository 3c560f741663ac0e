package store

import (
	"encoding/json"
	"errors"
	"fmt"
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
	files, err := filepath.Glob(filepath.Join(s.dir, "recordings", "*.live"))
	if err != nil {
		return err
	}
	anchors, err := s.lastAnchors(len(files) > 0)
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := s.recoverFile(path, anchors); err != nil {
			// One file must not keep the gate from starting: the others, and
			// the calls, go on.
			s.log.Error("a recording can't be recovered and is left as it is", "file", filepath.Base(path), "error", err)
		}
	}
	return s.settleGrants()
}

// lastAnchors reads how far the log saw each recording come.
func (s *Store) lastAnchors(wanted bool) (map[string]anchored, error) {
	out := map[string]anchored{}
	if !wanted {
		return out, nil
	}
	err := s.Entries(0, func(e Entry) bool {
		var ev anchorEvent
		if e.Type == TypeAnchor && json.Unmarshal(e.Payload, &ev) == nil {
			for _, a := range ev.Running {
				out[a.Recording] = a
			}
		}
		return true
	})
	return out, err
}

func (s *Store) recoverFile(path string, anchors map[string]anchored) error {
	id := strings.TrimSuffix(filepath.Base(path), ".live")
	row, ok, err := s.row(id)
	if err != nil {
		return err
	}
	if !ok { // its key was never kept, so nothing in it can be read
		return durable.Remove(path)
	}
	e, err := s.goodPart(path, id, row)
	if err != nil {
		return err
	}
	e.reason, e.truncated = "truncated: the gate stopped while recording", true
	if a := anchors[id]; a.Frames > e.frames {
		e.reason = fmt.Sprintf("truncated: %d frames are there, the log had seen %d", e.frames, a.Frames)
	}
	if err := cutFile(path, e.bytes); err != nil {
		return err
	}
	if err := durable.Rename(path, sealedPath(path)); err != nil {
		return err
	}
	s.log.Warn("a recording was cut off by a crash and closed", "recording", id, "frames", e.frames)
	return s.sealed(id, &row, e)
}

// goodPart reads a file to its last good frame.
func (s *Store) goodPart(path, id string, r row) (e ending, err error) {
	k, err := s.keys.recordingKey(id, r)
	if err != nil {
		return e, err
	}
	f, err := os.Open(path)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fr, err := openFrames(f, k)
	if err != nil {
		return e, err
	}
	for {
		plain, err := fr.next()
		if err != nil { // the end, or the first frame that isn't whole
			break
		}
		d := decoder{b: plain}
		for c, ok := d.next(); ok; c, ok = d.next() {
			e.length = max(e.length, c.at, c.to)
		}
	}
	e.progress = progress{frames: fr.count, hash: fr.hash, bytes: fr.offset}
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
		if err := s.audit.appendJSON(contextForever, TypeFailed, ev, g); err != nil {
			return err
		}
		s.metrics.recordings.WithLabelValues("failed").Inc()
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
	e, err := s.goodPart(path, id, r)
	if err != nil {
		return true, err
	}
	e.reason = "hang-up"
	return true, s.sealed(id, &r, e)
}

func (s *Store) row(id string) (r row, ok bool, err error) {
	err = s.keys.db.View(func(tx *bolt.Tx) (err error) {
		r, ok, err = getRow(tx, id)
		return err
	})
	return r, ok, err
}

func (s *Store) byGrant(g consent.Hash) (id string, r row, ok bool, err error) {
	err = s.keys.db.View(func(tx *bolt.Tx) (err error) {
		if b := tx.Bucket(bGrant).Get(g[:]); b != nil {
			id = string(b)
			r, ok, err = getRow(tx, id)
		}
		return err
	})
	return id, r, ok, err
}
