package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
)

// ending is how a recording ended.
type ending struct {
	progress
	length    time.Duration
	reason    string
	truncated bool
}

// sealed notes a recording's end in the log and in its summary. If the log
// can't take it now the clerk tries again, and the next start.
func (s *Store) sealed(id string, r row, e ending) {
	outcome := StateSealed
	if e.truncated {
		outcome = StateTruncated
	}
	s.metrics.recordings.WithLabelValues(outcome).Inc()
	ev := recordingEvent{Recording: id, Grant: r.Grant.String(), Frames: e.frames, Bytes: e.bytes,
		Hash: hex.EncodeToString(e.hash[:]), Seconds: e.length.Seconds(), Reason: e.reason, Truncated: e.truncated}
	s.end("logging the end of recording "+id, func(ctx context.Context) error {
		seq, err := s.audit.appendEnd(ctx, TypeSealed, ev, r.Grant)
		if err != nil {
			return err
		}
		return s.noteEnd(ctx, id, e, outcome, seq)
	})
}

// noteEnd puts the end into the recording's row and summary, where it is found.
func (s *Store) noteEnd(ctx context.Context, id string, e ending, outcome string, seq int64) error {
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
		sum.State, sum.Ended, sum.Seconds, sum.Bytes, sum.Reason = outcome, sum.Started.Add(e.length), e.length.Seconds(), e.bytes, e.reason
		if seq != noEntry {
			r.End = seq
		}
		return t.put(id, r, sum)
	})
	if err != nil {
		return fmt.Errorf("noting the end of a recording: %w", err)
	}
	s.usage.add(sum.Trunk, more)
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
