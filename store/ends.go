package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// ending is how a recording ended.
type ending struct {
	progress  // of its live file
	length    time.Duration
	reason    string
	truncated bool
	gaps      *loggedGaps
	file      sealedSum // of the sealed file; zero where there is none
}

// sealedSum is what the log says of a sealed file.
type sealedSum struct {
	sha256 [sha256.Size]byte
	size   int64
}

// state is what it leaves the recording in; recordings_total counts it by that.
func (e ending) state() string {
	if e.truncated {
		return StateTruncated
	}
	return StateSealed
}

// logEnd notes a recording's end in the log, once, and in its summary.
func (s *Store) logEnd(ctx context.Context, id string, r row, e ending) error {
	ev := recordingEvent{Recording: id, Grant: r.Grant.String(), Frames: e.frames, Bytes: e.bytes,
		Hash: hex.EncodeToString(e.hash[:]), Seconds: e.length.Seconds(), Reason: e.reason, Truncated: e.truncated, Gaps: e.gaps, Size: e.file.size}
	if e.file.size > 0 {
		ev.File = hex.EncodeToString(e.file.sha256[:])
	}
	seq, err := s.audit.appendEnd(ctx, TypeSealed, ev, r.Grant)
	if err != nil {
		return fmt.Errorf("logging the end of a recording: %w", err)
	}
	if e.file.size > 0 {
		e.bytes = e.file.size // what it takes from here on
	}
	return s.noteEnd(ctx, id, e, seq)
}

// noteEnd puts the end into the recording's row and summary, where it is found.
func (s *Store) noteEnd(ctx context.Context, id string, e ending, seq int64) error {
	var sum Summary // written by the committer, as is more; read here only after it answered
	var more int64
	err := s.keys.update(ctx, func(t keysTx) error {
		more = 0
		r, ok, err := getRow(t.Tx, id)
		if err != nil || !ok { // erased since
			return err
		}
		if sum, err = t.summary(id, r); err != nil {
			return err
		}
		more = e.bytes - sum.Bytes
		sum.State, sum.Ended, sum.Seconds, sum.Bytes, sum.Reason = e.state(), sum.Started.Add(e.length), e.length.Seconds(), e.bytes, e.reason
		if seq != noEntry {
			r.End = seq
		}
		if err := t.put(id, r, sum); err != nil || s.archiver == nil || r.File == nil || r.End == 0 {
			return err
		}
		return queue(t.Tx, id)
	})
	if err != nil {
		return fmt.Errorf("noting the end of a recording: %w", err)
	}
	s.usage.add(sum.Trunk, more)
	s.archiver.wake()
	return nil
}

// end does it now, or leaves it to the clerk.
func (s *Store) end(what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	if err := do(ctx); err != nil {
		s.log.Error("not done yet", "what", what, "error", err)
		s.later(what, do)
	}
}
