package store

import (
	"context"
	"maps"
	"sync"
	"time"
)

// refusals counts what was sealed and didn't open, until the clerk logs it: some
// failures come with every scrape, and the log isn't to grow by them.
type refusals struct {
	mu     sync.Mutex // guards the rest
	counts map[string]int
	noted  time.Time
}

// refusalsEvery is how often they are logged at most.
const refusalsEvery = 10 * time.Minute

func (r *refusals) add(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[what]++
}

// take gives what is to be logged now; nil: nothing.
func (r *refusals) take(now time.Time) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.counts) == 0 || !r.noted.IsZero() && now.Sub(r.noted) < refusalsEvery {
		return nil
	}
	out := r.counts
	r.counts, r.noted = nil, now
	return out
}

// putBack is for what couldn't be logged.
func (r *refusals) putBack(counts map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noted = (time.Time{}); r.counts == nil {
		r.counts = map[string]int{}
	}
	for what, n := range maps.All(counts) {
		r.counts[what] += n
	}
}

// noteRefusals logs what didn't open since it did so last. The clerk calls it.
func (s *Store) noteRefusals() {
	counts := s.keys.refused.take(time.Now())
	if counts == nil {
		return
	}
	s.log.Error("what is kept sealed doesn't open: a damaged disk, another root key, or somebody tries", "failed", counts)
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	if err := s.audit.Note(ctx, UnwrapFailed{Failed: counts}); err != nil {
		s.keys.refused.putBack(counts)
		s.log.Error("logging what didn't open", "error", err)
	}
}

// Refused counts a root cell that refused before the store was open: whoever
// opened it at last tells.
func (s *Store) Refused(times int) {
	for range times {
		s.keys.refused.add("root")
	}
}
