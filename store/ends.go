package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// ending is how a recording ended.
type ending struct {
	progress
	length    time.Duration
	reason    string
	truncated bool
}

// pendingEnd is an end that the log couldn't take yet.
type pendingEnd struct {
	kind  string
	event recordingEvent
	grant consent.Hash
}

// sealed notes a recording's end in the log and in its summary. If the log
// can't take it now it is tried again, and at the next start.
func (s *Store) sealed(id string, r *row, e ending) error {
	ev := recordingEvent{Recording: id, Grant: r.Grant.String(), Frames: e.frames, Bytes: e.bytes,
		Hash: hex.EncodeToString(e.hash[:]), Seconds: e.length.Seconds(), Reason: e.reason, Truncated: e.truncated}
	outcome := StateSealed
	if e.truncated {
		outcome = StateTruncated
	}
	s.metrics.recordings.WithLabelValues(outcome).Inc()
	s.end(pendingEnd{TypeSealed, ev, r.Grant})
	sum, err := s.keys.summary(id, *r)
	if err != nil {
		return err
	}
	sum.State, sum.Ended, sum.Seconds, sum.Bytes, sum.Reason = outcome, sum.Started.Add(e.length), e.length.Seconds(), e.bytes, e.reason
	if err := s.keys.sealSummary(id, r, sum); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(contextForever, 10*time.Second)
	defer cancel()
	if err := s.keys.commit(ctx, func(tx *bolt.Tx) error { return putRow(tx, id, *r) }); err != nil {
		return fmt.Errorf("noting the end of a recording: %w", err)
	}
	return nil
}

// end logs an end now, or later.
func (s *Store) end(p pendingEnd) {
	ctx, cancel := context.WithTimeout(contextForever, 10*time.Second)
	defer cancel()
	if err := s.audit.appendJSON(ctx, p.kind, p.event, p.grant); err != nil {
		s.log.Error("a recording's end can't be logged yet", "recording", p.event.Recording, "error", err)
		s.mu.Lock()
		s.pending = append(s.pending, p)
		s.mu.Unlock()
	}
}

func (s *Store) retryEnds() {
	s.mu.Lock()
	todo := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, p := range todo {
		s.end(p)
	}
}

// settling is how long a new grant may take to its recorder before it counts as
// unaccounted.
const settling = time.Minute

// unaccounted counts grants that have no end in the log, aren't being recorded,
// and aren't fresh: what must not be.
func (s *Store) unaccounted() (n int) {
	recorded := map[consent.Hash]bool{}
	for _, r := range s.running() {
		recorded[r.row.Grant] = true
	}
	for g, since := range s.audit.openGrants() {
		if !recorded[g] && time.Since(since) > settling {
			n++
		}
	}
	return n
}
