package office

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"consentgate/console/access"
	"consentgate/store"
)

// Acts that wait for a second officer where the configuration wants that.
const (
	ActExport   = "export"
	ActErase    = "erase"
	ActBundle   = "bundle"
	ActCarryOut = "carry_out"
)

// States of an approval.
const (
	Pending  = "pending"
	Approved = "approved" // who asked may do it, for an hour
	Done     = "done"     // it was done when it was approved
	Rejected = "rejected"
)

const (
	// askedFor is how long an approval can be given.
	askedFor = 24 * time.Hour
	// approvedFor is how long it is good for, and how long one that is decided is
	// shown.
	approvedFor = time.Hour
	// approvalsMost bounds those that are open. They are in memory: a restart
	// forgets them, and who asked asks again.
	approvalsMost = 1000
)

// wish is what somebody wants to do: the same wish again is the same approval.
type wish struct {
	Act    string `json:"act"`
	Object string `json:"object"`           // a recording, or a request
	Form   string `json:"form,omitempty"`   // of an export
	Why    string `json:"why,omitempty"`    // its purpose
	To     string `json:"to,omitempty"`     // who gets it
	Case   string `json:"case,omitempty"`   // the legal claim that it is for
	Detail string `json:"detail,omitempty"` // of what is carried out
}

// Approval is an act that two officers have to agree on.
type Approval struct {
	ID string `json:"id"`
	wish
	State    string    `json:"state"`
	By       string    `json:"by"` // who asked
	Reason   string    `json:"reason,omitempty"`
	Asked    time.Time `json:"asked"`
	Expires  time.Time `json:"expires"`
	Second   string    `json:"second,omitempty"` // who decided
	Decision string    `json:"decision,omitempty"`
	Decided  time.Time `json:"decided,omitzero"`

	run func(context.Context) error // does it, at once when it is approved; nil: who asked does it
}

// PendingError says that an act waits for an approval. It is ErrPending.
type PendingError struct{ Approval Approval }

func (e *PendingError) Error() string {
	return fmt.Sprintf("%v: approval %s, until %s", ErrPending, e.Approval.ID, e.Approval.Expires.Format(time.RFC3339))
}

// Is makes it ErrPending.
func (e *PendingError) Is(err error) bool { return err == ErrPending }

// approvals are those that are open, and those decided lately.
type approvals struct {
	now func() time.Time

	mu  sync.Mutex
	all map[string]*Approval
}

// agreed is nil where somebody may do what they want now. Else they are the first of
// two who want it. run is what an approval does; nil: it lets who asked do it.
func (o *Office) agreed(ctx context.Context, p access.Principal, w wish, reason string, run func(context.Context) error) error {
	if !o.c.FourEyes {
		return nil
	}
	s, err := o.store()
	if err != nil {
		return err
	}
	a, known := o.approvals.of(p.Name, w)
	if known && a.State == Approved {
		return nil
	}
	if known {
		return &PendingError{a}
	}
	now := o.c.Now()
	a = Approval{ID: strings.ToLower(rand.Text()), wish: w, State: Pending, By: p.Name, Reason: strings.TrimSpace(reason), Asked: now,
		Expires: now.Add(askedFor), run: run}
	if err := a.note(ctx, s); err != nil {
		return err
	}
	if !o.approvals.put(a) {
		return fmt.Errorf("%w: %d approvals are open", ErrBusy, approvalsMost)
	}
	return &PendingError{a}
}

// note has the log hear of it. What names a recording goes with it.
func (a Approval) note(ctx context.Context, s *store.Store) error {
	ev := store.Approval{ID: a.ID, Act: a.Act, Form: a.Form, Why: a.Why, To: a.To, State: a.State, By: a.By, Reason: a.Reason, Second: a.Second}
	if a.Second != "" {
		ev.Reason = a.Decision
	}
	if a.Act == ActExport || a.Act == ActErase {
		ev.Recording = a.Object
		return s.NoteOf(ctx, a.Object, ev)
	}
	ev.Request = a.Object
	return s.Audit().Note(ctx, ev)
}

// Approvals lists what waits for a second officer, and what was decided lately, the
// latest first.
func (o *Office) Approvals(access.Principal) (out []Approval) {
	v := &o.approvals
	v.mu.Lock()
	v.clean()
	for _, a := range v.all {
		out = append(out, *a)
	}
	v.mu.Unlock()
	slices.SortFunc(out, func(a, b Approval) int {
		if c := b.Asked.Compare(a.Asked); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Approval is one of them.
func (o *Office) Approval(_ access.Principal, id string) (Approval, error) {
	v := &o.approvals
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clean()
	if a := v.all[id]; a != nil {
		return *a, nil
	}
	return Approval{}, ErrNoApproval
}

// Approve agrees to what somebody else asked for. What can be done without them is
// done then; an error of that is returned, and it can be approved again.
func (o *Office) Approve(ctx context.Context, p access.Principal, id, reason string) (Approval, error) {
	return o.decide(ctx, p, id, reason, Approved)
}

// Reject doesn't agree. Who asked may, too: they take it back.
func (o *Office) Reject(ctx context.Context, p access.Principal, id, reason string) (Approval, error) {
	return o.decide(ctx, p, id, reason, Rejected)
}

func (o *Office) decide(ctx context.Context, p access.Principal, id, reason, as string) (Approval, error) {
	s, err := o.store()
	if err != nil {
		return Approval{}, err
	}
	a, err := o.approvals.take(id, p.Name, as)
	if err != nil {
		return a, err
	}
	now := o.c.Now()
	before := a
	a.State, a.Second, a.Decision, a.Decided, a.Expires = as, p.Name, strings.TrimSpace(reason), now, now.Add(approvedFor)
	if err := a.note(ctx, s); err != nil {
		o.approvals.put(before)
		return before, err
	}
	if as == Approved && a.run != nil {
		if err := a.run(ctx); err != nil {
			o.approvals.put(before)
			return before, err
		}
		a.State = Done
	}
	o.approvals.put(a)
	return a, nil
}

// deciding is the state of one that somebody decides about now.
const deciding = "deciding"

// take takes one out of the pending ones, for somebody to decide about it.
func (v *approvals) take(id, by, as string) (Approval, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clean()
	a := v.all[id]
	switch {
	case a == nil:
		return Approval{}, ErrNoApproval
	case a.State != Pending:
		return *a, ErrDecided
	case as == Approved && a.By == by:
		return *a, ErrOwn
	}
	out := *a
	a.State = deciding
	return out, nil
}

// of finds the one that somebody asked for, unless it was turned down or used.
func (v *approvals) of(by string, w wish) (Approval, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clean()
	for _, a := range v.all {
		if a.By == by && a.wish == w && a.State != Rejected && a.State != Done {
			return *a, true
		}
	}
	return Approval{}, false
}

// put keeps one; false where there are too many.
func (v *approvals) put(a Approval) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clean()
	if v.all == nil {
		v.all = map[string]*Approval{}
	}
	if v.all[a.ID] == nil && len(v.all) >= approvalsMost {
		return false
	}
	v.all[a.ID] = &a
	return true
}

// clean forgets those whose time is over. Whoever calls it holds mu.
func (v *approvals) clean() {
	for id, a := range v.all {
		if a.State != deciding && !v.now().Before(a.Expires) {
			delete(v.all, id)
		}
	}
}

// waiting makes nothing of errors that say that an act will be done by itself.
func waiting(err error) error {
	if errors.Is(err, store.ErrHeld) || errors.Is(err, store.ErrLive) {
		return nil
	}
	return err
}
