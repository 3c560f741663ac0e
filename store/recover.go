package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// startSealing bounds how long a start seals what a crash left, before it lets
// calls in. The rest is sealed behind it.
const startSealing = 5 * time.Second

// recover brings in order what the last process left open. A recording that wasn't
// ended, or not sealed, is sealed from its good frames, and its end, frame count
// and hash go into the log.
func (s *Store) recover() error {
	live, err := s.liveFiles()
	if err != nil {
		return err
	}
	anchors, err := s.audit.lastAnchors(live)
	if err != nil {
		return err
	}
	until := time.Now().Add(startSealing)
	for id := range live {
		e, err := s.recoverFile(id, anchors[id])
		if err != nil {
			// One file must not keep the gate from starting: the others, and
			// the calls, go on.
			s.log.Error("a recording can't be recovered and is left as it is", "recording", id, "error", err)
		}
		if e == nil {
			continue
		}
		s.ending[id] = e
		if time.Now().Before(until) {
			s.seal(e)
		}
	}
	return errors.Join(s.finishErasures(), s.settleGrants(), s.settleRows(), s.forgetGhosts(), s.dropOrphans())
}

// liveFiles lists the recordings that weren't ended or sealed, and takes away what
// was half sealed.
func (s *Store) liveFiles() (map[string]bool, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, recordingsDir))
	live := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), unfinishedPath(".live")) {
			err = errors.Join(err, durable.Remove(filepath.Join(s.dir, recordingsDir, f.Name())))
		}
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

// recoverFile finds what is to be done with one; nil: nothing more. seen is how far
// the log saw it come.
func (s *Store) recoverFile(id string, seen anchored) (*ended, error) {
	row, ok, err := s.row(id)
	if err != nil {
		return nil, err
	}
	if !ok { // an erasure goes on with it, or a backup may have its row: the scan reports it
		return nil, nil
	}
	if _, err := s.keys.fileKey(id, row); err != nil {
		return nil, err
	}
	e := &ended{id: id, row: row, most: allFrames, least: seen.Frames, crash: true}
	if s.audit.isOpen(row.Grant) {
		s.log.Warn("a recording was cut off by a crash and is sealed", "recording", id)
		return e, nil
	}
	logged, err := s.loggedEnd(id, row)
	if err != nil {
		return nil, err
	}
	if logged.File == "" { // an earlier version logged the end, and couldn't give the file its name
		e.most = logged.Frames
		return e, nil
	}
	return nil, s.dropLive(id, row, logged)
}

// dropLive takes a live file away whose sealed file is in the log, if that is there.
func (s *Store) dropLive(id string, r row, logged recordingEvent) error {
	path := s.livePath(id)
	sum, size, err := sumOf(sealedPath(path))
	if err != nil {
		return fmt.Errorf("its sealed file: %w", err)
	}
	if r.File == nil || size != logged.Size || hex.EncodeToString(sum[:]) != logged.File {
		return fmt.Errorf("%w: its sealed file isn't the one that the log tells of", ErrDamaged)
	}
	if r.End == 0 { // the row wasn't told
		e := ending{length: time.Duration(logged.Seconds * float64(time.Second)), reason: logged.Reason, truncated: logged.Truncated}
		e.bytes = size
		if err := s.noteEnd(contextForever, id, e, noEntry); err != nil {
			return err
		}
	}
	return durable.Remove(path)
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

// settleSealed logs the end of a recording whose file has its name already: an
// earlier version was killed between the two. done is false where there is no
// file.
func (s *Store) settleSealed(id string, r row) (done bool, err error) {
	live := s.livePath(id)
	if !missing(live) { // it will be sealed, or couldn't be recovered, which was said
		return true, nil
	}
	if missing(sealedPath(live)) {
		return false, nil
	}
	got, err := s.read(contextForever, id, func(content) error { return nil })
	if err != nil {
		return true, err
	}
	e := ending{progress: progress{frames: got.Frames, hash: got.Hash}, length: got.Length, reason: got.Reason, truncated: recorderFailed(got.Reason), gaps: tellGaps(got.Gaps)}
	if !got.Final {
		e.reason, e.truncated = "truncated: the recorder failed", true
	}
	sum, size, err := sumOf(sealedPath(live))
	if err != nil {
		return true, err
	}
	if e.bytes = size; r.File != nil {
		e.file = sealedSum{sum, size}
	}
	s.metrics.recordings.WithLabelValues(e.state()).Inc()
	return true, s.logEnd(contextForever, id, r, e)
}
