package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rights"
)

// Retention says how recordings go when their time is over (GDPR Art. 5(1)(e)).
type Retention struct {
	Every time.Duration // 0: nothing goes by itself
	Brake rights.Brake
	// Purposes are the periods as they are configured now; rights.Until says
	// what they do to recordings of before.
	Purposes map[string]time.Duration
	Requests time.Duration // closed requests are kept for so long; 0: for good
	// Audit is how long payloads of the log are kept that go with no grant, from the
	// end of their month; 0: for good.
	Audit time.Duration
}

// Clock is where retention takes the time from.
type Clock struct {
	Now     func() time.Time                       // as the machine's clock shows it
	Elapsed func() time.Duration                   // since some moment; nobody sets it
	After   func(d time.Duration) <-chan time.Time // as time.After
}

func machineClock() Clock {
	begin := time.Now()
	return Clock{Now: time.Now, Elapsed: func() time.Duration { return time.Since(begin) }, After: time.After}
}

// Braked is why a run erased nothing, or nothing of some purposes, until an
// officer confirms it.
type Braked struct {
	At    time.Time      `json:"at"`
	Why   string         `json:"why"`
	Clock bool           `json:"clock,omitempty"` // it is the clock that isn't trusted
	Due   map[string]int `json:"due,omitempty"`   // recordings that would have gone, by purpose, of those that were stopped
	Total map[string]int `json:"total,omitempty"` // recordings of these
	// Months are those of the audit log that would have gone, where it was stopped.
	Months int `json:"months,omitempty"`
}

// retained is what is kept between runs. It names no person.
type retained struct {
	Seen      time.Time `json:"seen"`               // the latest time that was trusted
	Braked    *Braked   `json:"braked,omitempty"`   // and not confirmed
	Confirmed time.Time `json:"confirmed,omitzero"` // what was due then may go at once
}

var kRetained = []byte("retained")

// retainer is what lets recordings go when their time is over.
type retainer struct {
	Retention
	turn chan struct{} // holds one token: who has it runs, or confirms
	now  chan struct{} // has the next run begin
	seen rights.Seen   // for who has the turn

	mu     sync.Mutex // guards the rest
	last   time.Time  // end of the last run that wasn't stopped for the clock
	braked bool
	kept   int // found by it
	erased int // since the start
}

func newRetainer(r Retention) *retainer {
	return &retainer{Retention: r, turn: make(chan struct{}, 1), now: make(chan struct{}, 1)}
}

// lookBack finds the latest time that is trusted: that of the last run, or, where
// there was none, the log's last. It comes before this process adds to the log.
// The log's isn't asked otherwise: its entries have whatever the clock showed.
func (s *Store) lookBack() error {
	state, err := s.readRetained()
	if err != nil {
		return err
	}
	s.retainer.braked = state.Braked != nil
	s.retainer.seen.Wall = state.Seen
	if state.Seen.IsZero() {
		s.retainer.seen.Wall = s.opened
	}
	return nil
}

// retain is the goroutine of the runs.
func (s *Store) retain() {
	for {
		s.retainer.turn <- struct{}{}
		err := s.retainOnce()
		<-s.retainer.turn
		if err != nil {
			s.log.Error("a run of the retention isn't complete; the next one goes on", "error", err)
		}
		select {
		case <-s.quit:
			return
		case <-s.retainer.now:
		case <-s.clock.After(s.retainer.Every):
		}
	}
}

// stopping reports whether the store is being closed.
func (s *Store) stopping() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

// within gives f the time that a write may take that nobody waits for.
func within(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	return f(ctx)
}

// retainOnce is one run. Whoever calls it has the turn.
func (s *Store) retainOnce() error {
	t := s.retainer
	state, err := s.readRetained()
	if err != nil {
		return err
	}
	now := s.clock.Now().Round(0)
	if why := t.seen.Trust(now, s.clock.Elapsed()); why != "" {
		return s.brake(state, Braked{At: now, Why: why, Clock: true})
	}
	found, err := t.survey(s.keys.view, now)
	if err != nil {
		return err
	}
	fromLog, err := s.logDue(now, state.Confirmed)
	if err != nil {
		return err
	}
	stopped := t.stopped(found, state.Confirmed)
	erased, err := s.eraseDue(found, stopped)
	requests := 0
	if t.Requests > 0 {
		err = errors.Join(err, within(func(ctx context.Context) (err error) {
			requests, err = s.dropRequests(ctx, now.Add(-t.Requests))
			return err
		}))
	}
	if !fromLog.stopped() {
		err = errors.Join(err, s.eraseMonths(fromLog))
	}
	err = errors.Join(err, s.eraseBare(now))
	s.settleAsked(slices.Collect(maps.Keys(s.desk.allFiles()))...)
	err = errors.Join(err, within(s.carryOn))
	if len(erased) > 0 || requests > 0 {
		ev := retentionEvent{Erased: erased, Kept: found.kept(), Requests: requests, By: system}
		err = errors.Join(err, within(func(ctx context.Context) error { return s.audit.appendJSON(ctx, TypeRetentionRun, ev) }))
	}
	state.Seen = now
	t.seen = rights.Seen{Wall: now, Elapsed: s.clock.Elapsed(), Here: true}
	t.count(now, found.kept(), erased)
	if len(stopped) > 0 || fromLog.stopped() {
		return errors.Join(err, s.brake(state, found.braked(now, stopped, fromLog)))
	}
	state.Braked = nil
	return errors.Join(err, s.writeRetained(state))
}

func (t *retainer) count(now time.Time, kept int, erased map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.kept, t.braked = now, kept, false
	for _, n := range erased {
		t.erased += n
	}
}

// stopped are the purposes of which too much would go at once. What was due when
// an officer confirmed goes all the same.
func (p Retention) stopped(found survey, confirmed time.Time) (out []string) {
	due := map[string]int{}
	for _, d := range found.due {
		if d.Kept == "" && d.Until.After(confirmed) {
			due[d.Purpose]++
		}
	}
	for purpose, n := range due {
		if p.Brake.Stops(n, found.total[purpose]) {
			out = append(out, purpose)
		}
	}
	slices.Sort(out)
	return out
}

func (v survey) kept() (n int) {
	for _, d := range v.due {
		if d.Kept != "" {
			n++
		}
	}
	return n
}

func (v survey) braked(now time.Time, purposes []string, log logDue) Braked {
	of := slices.Clone(purposes)
	b := Braked{At: now, Due: map[string]int{}, Total: map[string]int{}}
	if log.stopped() {
		of, b.Months = append(of, "the audit log"), len(log.keys)
	}
	b.Why = "too much would go at once of " + strings.Join(of, ", ")
	for _, d := range v.due {
		if d.Kept == "" && slices.Contains(purposes, d.Purpose) {
			b.Due[d.Purpose]++
			b.Total[d.Purpose] = v.total[d.Purpose]
		}
	}
	return b
}

// eraseDue lets go what may. What is held or restricted meanwhile stays: settle
// decides, on what is on the disk. What is being given to its subject stays until
// it is: who asked for a copy in time isn't told that it is gone.
func (s *Store) eraseDue(found survey, stopped []string) (erased map[string]int, err error) {
	erased = map[string]int{}
	given := s.beingGiven()
	for _, d := range found.due {
		if s.stopping() {
			return erased, err
		}
		if d.Kept != "" || given[d.ID] || slices.Contains(stopped, d.Purpose) {
			continue
		}
		one := within(func(ctx context.Context) error { return s.settle(ctx, d.ID, true) })
		switch {
		case one == nil:
			erased[d.Purpose]++
		case !waits(one):
			err = errors.Join(err, one)
		}
	}
	return erased, err
}

// eraseBare lets go what is kept of grants that came to no recording.
func (s *Store) eraseBare(now time.Time) error {
	found, err := s.retainer.bareGrants(s.keys.view, now)
	if err != nil {
		return err
	}
	open := s.audit.openGrants()
	for _, g := range found {
		if _, is := open[g.grant]; is { // its end is still to be told
			continue
		}
		if s.stopping() {
			return err
		}
		err = errors.Join(err, within(func(ctx context.Context) error { return s.eraseGrant(ctx, g) }))
	}
	return err
}

// eraseGrant is eraseSealed where there is no recording.
func (s *Store) eraseGrant(ctx context.Context, g bareGrant) error {
	ev := recordingEvent{Recording: g.id, Grant: g.grant.String(), Reason: string(rights.Retention)}
	told, err := s.audit.toldOf(g.grant)
	if err != nil {
		return err
	}
	err = s.keys.update(ctx, func(t keysTx) error {
		if t.Bucket(bErasing).Get([]byte(g.id)) != nil { // a try that was given up came through after all
			return nil
		}
		return t.beginErasure(g.id, row{Grant: g.grant}, "", ev, told)
	})
	if err != nil {
		return fmt.Errorf("erasing a grant's key: %w", err)
	}
	return s.finishErasure(ctx, g.id, ev)
}

// brake notes that a run was stopped, once.
func (s *Store) brake(state retained, b Braked) error {
	s.retainer.mu.Lock()
	s.retainer.braked = true
	s.retainer.mu.Unlock()
	s.log.Error("retention is stopped until an officer confirms it", "why", b.Why, "due", b.Due, "of", b.Total, "months", b.Months)
	if state.Braked == nil || state.Braked.Why != b.Why {
		err := within(func(ctx context.Context) error {
			return s.audit.appendJSON(ctx, TypeRetentionBraked, retentionEvent{Braked: &b, By: system})
		})
		if err != nil {
			return err
		}
	}
	state.Braked = &b
	return s.writeRetained(state)
}

// Braked tells whether retention is stopped, and why.
func (s *Store) Braked() (Braked, bool, error) {
	state, err := s.readRetained()
	if err != nil || state.Braked == nil {
		return Braked{}, false, err
	}
	return *state.Braked, true, nil
}

// ErrNotBraked means that there is nothing to confirm.
var ErrNotBraked = errors.New("retention isn't stopped")

// ConfirmRetention lets go what a run was stopped over: all that was due then,
// and no more. Where the clock was the reason, the officer says by it that the
// clock is right now. The next run begins at once.
func (s *Store) ConfirmRetention(ctx context.Context, a rights.Act) error {
	if strings.TrimSpace(a.By) == "" || strings.TrimSpace(a.Reason) == "" {
		return fmt.Errorf("%w: who confirms it, and why, must be given", rights.ErrIncomplete)
	}
	select {
	case s.retainer.turn <- struct{}{}:
		defer func() { <-s.retainer.turn }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for a run of the retention: %w", ctx.Err())
	}
	state, err := s.readRetained()
	if err != nil {
		return err
	}
	if state.Braked == nil {
		return ErrNotBraked
	}
	ev := retentionEvent{Braked: state.Braked, Confirmed: true, By: a.By, Reason: a.Reason}
	if err := s.audit.appendJSON(ctx, TypeRetentionBraked, ev); err != nil {
		return err
	}
	seen := s.retainer.seen
	if state.Braked.Clock {
		state.Seen = s.clock.Now().Round(0)
		seen = rights.Seen{Wall: state.Seen, Elapsed: s.clock.Elapsed(), Here: true}
	} else {
		state.Confirmed = state.Braked.At
	}
	state.Braked = nil
	if err := s.writeRetained(state); err != nil {
		return err
	}
	s.retainer.seen = seen
	select {
	case s.retainer.now <- struct{}{}:
	default: // a run is about to begin
	}
	return nil
}

func (s *Store) readRetained() (r retained, err error) {
	err = s.keys.read(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bMeta).Get(kRetained); b != nil {
			return json.Unmarshal(b, &r)
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("reading how far retention has come: %w", err)
	}
	return r, nil
}

func (s *Store) writeRetained(r retained) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = within(func(ctx context.Context) error {
		return s.keys.commit(ctx, func(tx *bolt.Tx) error { return tx.Bucket(bMeta).Put(kRetained, b) })
	})
	if err != nil {
		return fmt.Errorf("noting how far retention has come: %w", err)
	}
	return nil
}
