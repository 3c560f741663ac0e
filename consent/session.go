package consent

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Grant is the permission to record one call, and the only key to a tap. The
// zero Grant permits nothing. It dies with the consent: after a withdrawal, a
// change of party or the end of the call it is no longer valid.
type Grant struct{ g *grant }

type grant struct {
	record Record
	hash   Hash
	index  uint64
	live   atomic.Bool
}

// Valid reports whether the grant permits recording now.
func (g Grant) Valid() bool { return g.g != nil && g.g.live.Load() }

// Record returns the durable Granted record; the zero Record for the zero Grant.
func (g Grant) Record() Record {
	if g.g == nil {
		return Record{}
	}
	return g.g.record
}

// Hash is the Granted record's; recordings' keys are bound to it.
func (g Grant) Hash() Hash {
	if g.g == nil {
		return Hash{}
	}
	return g.g.hash
}

// Index is the Granted record's place in the ledger.
func (g Grant) Index() uint64 {
	if g.g == nil {
		return 0
	}
	return g.g.index
}

// receipt proves that this session's ledger made a record durable.
type receipt struct {
	session *Session
	record  Record
	hash    Hash
	index   uint64
}

// Session is one call's consent with the ledger that proves it. Step is for one
// goroutine, the call's; Commit may run on another, for it waits for a disk.
type Session struct {
	machine Machine
	ledger  Ledger
	grant   *grant
}

// NewSession starts the consent of a call. Neither pointer's target may change
// afterwards. A nil ledger is one that always fails: nothing gets recorded.
func NewSession(call *Call, policy *Policy, ledger Ledger) *Session {
	return &Session{machine: NewMachine(call, policy), ledger: ledger}
}

// Continue makes what this call records a segment that continues an earlier
// grant's (RFC 3891: a call that replaces another). For use before the first
// Step.
func (s *Session) Continue(grant Hash) { s.machine.Continue(grant) }

// State tells where the call stands.
func (s *Session) State() State { return s.machine.State }

// Pauses tells who has paused the recording.
func (s *Session) Pauses() Pauses { return s.machine.pauses() }

// Step takes an event and says what to do, in order. expected is false where
// the event has no place in the state; it then changed nothing.
func (s *Session) Step(ev Event) (acts []Act, expected bool) {
	if ev.Kind == Committed && (ev.receipt == nil || ev.receipt.session != s || ev.receipt.hash != ev.Record) {
		ev.Kind, ev.Reason = CommitFailed, "no receipt of the ledger"
	}
	s.machine, acts, expected = s.machine.Step(ev)
	for i := range acts {
		if acts[i].Do == Create && ev.receipt != nil {
			acts[i].Grant = s.mint(ev.receipt)
		}
	}
	if s.grant != nil {
		s.grant.live.Store(s.permits())
	}
	return acts, expected
}

// mint is the only place where a Grant is made.
func (s *Session) mint(r *receipt) Grant {
	s.grant = &grant{record: r.record, hash: r.hash, index: r.index}
	return Grant{s.grant}
}

func (s *Session) permits() bool {
	switch s.machine.State {
	case Opening, Recording, Suspended, Resuming:
		return true
	}
	return false
}

var errNoLedger = errors.New("there is no audit log")

// Commit makes a Commit act's record durable and returns the event to step
// with. It blocks as long as the ledger does and ctx allows; the event's At is
// left for the caller, who has the clock.
func (s *Session) Commit(ctx context.Context, r *Record) Event {
	h := r.Hash()
	if s.ledger == nil {
		return Event{Kind: CommitFailed, Record: h, Reason: errNoLedger.Error()}
	}
	index, err := s.ledger.Append(ctx, *r)
	if err != nil {
		return Event{Kind: CommitFailed, Record: h, Reason: err.Error()}
	}
	return Event{Kind: Committed, Record: h, receipt: &receipt{session: s, record: *r, hash: h, index: index}}
}

// Bound is the longest that the policy may keep the parties apart, given the
// prompt's length: what law 2 allows.
func (pol *Policy) Bound(prompt time.Duration) time.Duration {
	return time.Duration(pol.Attempts) * (prompt + pol.Timeout)
}
