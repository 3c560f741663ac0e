package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"consentgate/consent"
	"consentgate/store/rights"
)

// ErrHeld means that a recording is to be erased and isn't yet, because a legal
// hold or another subject's restriction keeps it. It is erased by itself when the
// last of them ends.
var ErrHeld = errors.New("the recording is kept and restricted until its legal holds, and others' restrictions, end; then it is erased")

// Hold puts a legal hold on a recording, and returns the hold's ID. There may be
// any number. The recording isn't erased, whoever asks and whatever its
// retention, until the last is released. The reason is kept as long as the
// recording is. kase names what it is for; "" if nothing does.
//
// ErrNotFound, rights.ErrGoing: it is too late. The hold is on stable storage,
// and in the log, when Hold returns nil.
func (s *Store) Hold(ctx context.Context, id string, a rights.Act, kase string) (string, error) {
	h := rights.Hold{ID: freshID(), Act: a, Case: kase}
	return h.ID, s.amend(ctx, id, func(f *rights.File) ([]untold, error) {
		if err := f.Hold(h); err != nil {
			return nil, err
		}
		return one(telling(TypeHoldSet, rightsEvent{Recording: id, ID: h.ID, By: a.By, Reason: a.Reason, Case: h.Case}))
	})
}

// one is what most acts have to tell.
func one(u untold, err error) ([]untold, error) { return []untold{u}, err }

// Release ends a hold. If it was the last and an erasure waits for it, that is
// carried out; what couldn't be done at once is done later, by itself.
func (s *Store) Release(ctx context.Context, id, hold string, a rights.Act) error {
	err := s.amend(ctx, id, func(f *rights.File) ([]untold, error) {
		h, err := f.Release(hold, a)
		if err != nil {
			return nil, err
		}
		return one(telling(TypeHoldReleased, rightsEvent{Recording: id, ID: h.ID, By: a.By, Reason: a.Reason, Case: h.Case, Set: h.At}))
	})
	if err != nil {
		return err
	}
	s.settleSoon(id)
	return nil
}

// Restrict restricts a recording for a subject (GDPR Art. 18): it is kept, and
// nobody plays or exports it but by a Permit. The restriction's ID is made here
// and returned.
func (s *Store) Restrict(ctx context.Context, id string, r rights.Restriction) (string, error) {
	r.ID, r.Subject = freshID(), s.subjectOf(r.Subject)
	return r.ID, s.amend(ctx, id, func(f *rights.File) ([]untold, error) {
		if err := f.Restrict(r); err != nil {
			return nil, err
		}
		return one(telling(TypeRestrictionSet, rightsEvent{Recording: id, ID: r.ID, By: r.By, Reason: r.Reason, Ground: r.Ground, Request: r.Request}))
	})
}

// Lift ends a restriction; told says that its subject was told before (Art.
// 18(3)). An erasure that waited for it is carried out.
func (s *Store) Lift(ctx context.Context, id, restriction string, a rights.Act, told bool) error {
	err := s.amend(ctx, id, func(f *rights.File) ([]untold, error) {
		r, err := f.Lift(restriction, a, told)
		if err != nil {
			return nil, err
		}
		return one(telling(TypeRestrictionLifted, liftedEvent(id, r, a)))
	})
	if err != nil {
		return err
	}
	s.settleSoon(id)
	return nil
}

func liftedEvent(id string, r rights.Restriction, a rights.Act) rightsEvent {
	return rightsEvent{Recording: id, ID: r.ID, By: a.By, Reason: a.Reason, Ground: r.Ground, Request: r.Request, Set: r.At}
}

// AskErase asks for a recording's erasure, and carries it out if nothing keeps
// the recording. ErrHeld, ErrLive: it will be carried out by itself. Asking is on
// stable storage first, and in the log.
func (s *Store) AskErase(ctx context.Context, id string, a rights.Ask) error {
	err := s.askErase(ctx, id, a)
	if err != nil && !waits(err) {
		s.later("erasing recording "+id, s.settling(id))
	}
	return err
}

func (s *Store) askErase(ctx context.Context, id string, a rights.Ask) error {
	a.Subject = s.subjectOf(a.Subject)
	err := s.amend(ctx, id, func(f *rights.File) (out []untold, err error) {
		asks := len(f.Asks)
		lifted, err := f.Ask(a)
		if err != nil || len(f.Asks) == asks { // asked before
			return nil, err
		}
		u, err := telling(TypeErasureAsked, rightsEvent{Recording: id, By: a.By, Reason: a.Reason, Request: a.Request})
		out = append(out, u)
		for _, r := range lifted {
			u, err2 := telling(TypeRestrictionLifted, liftedEvent(id, r, a.Act))
			out, err = append(out, u), errors.Join(err, err2)
		}
		return out, err
	})
	if err != nil && !errors.Is(err, rights.ErrGoing) {
		return err
	}
	return s.settle(ctx, id, false)
}

// Erase asks for the erasure of a grant's recording, in the gate's own name:
// what policies do when a consent is taken back. As AskErase; ErrNotFound: there
// is none.
func (s *Store) Erase(ctx context.Context, grant consent.Hash, reason string) error {
	id, _, ok, err := s.byGrant(grant)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	return s.AskErase(ctx, id, rights.Ask{Act: rights.Act{By: system, At: s.clock.Now(), Reason: reason}})
}

// settle erases a recording if its rights say so. From the moment that is
// decided, in one transaction, no hold can be put on any more.
func (s *Store) settle(ctx context.Context, id string, over bool) error {
	if s.isLive(id) {
		return ErrLive
	}
	if e := s.endingOf(id); e != nil {
		if !s.sealNow(ctx, e) {
			return ErrLive
		}
		if _, ok, err := s.row(id); err != nil || !ok { // erased when it was
			return err
		}
	}
	var why rights.Decision
	var asks []rights.Ask
	err := s.amend(ctx, id, func(f *rights.File) ([]untold, error) {
		f.Go(over)
		why, asks = f.Decide(over), f.Asks
		return nil, nil
	})
	switch {
	case err != nil:
		return err
	case why.Erase == rights.None && len(asks) > 0:
		return ErrHeld
	case why.Erase == rights.None:
		return nil
	}
	if !s.desk.first(s.desk.going, id) {
		return rights.ErrGoing
	}
	defer s.desk.finished(s.desk.going, id)
	r, ok, err := s.row(id)
	if err == nil && ok {
		err = s.eraseSealed(ctx, id, r.Grant, erasureReason(why.Erase, asks))
	}
	if err == nil {
		s.desk.setFile(id, rights.File{})
	}
	return err
}

// erasureReason is what the log keeps of why, when all else about the recording
// is gone: nothing that a person wrote.
func erasureReason(c rights.Cause, asks []rights.Ask) string {
	if c != rights.Asked {
		return string(c)
	}
	for _, a := range asks {
		if a.Request != "" {
			return "request " + a.Request
		}
		if a.By == system {
			return a.Reason
		}
	}
	return string(c)
}

// settleSoon settles now, or leaves it to the clerk: what asked for it is done.
func (s *Store) settleSoon(id string) {
	s.end("erasing recording "+id, s.settling(id))
}

func (s *Store) settling(id string) func(context.Context) error {
	return func(ctx context.Context) error {
		requests := requestsOf(s.desk.file(id))
		if err := s.settle(ctx, id, s.isOver(id)); err != nil && !waits(err) {
			return err
		}
		for _, request := range requests {
			if err := s.carryOnWith(ctx, request); err != nil && !waits(err) {
				return err
			}
		}
		return nil
	}
}

// waits reports whether an erasure that isn't done will be by itself, or is.
func waits(err error) bool {
	return errors.Is(err, ErrHeld) || errors.Is(err, ErrLive) || errors.Is(err, ErrNotFound) || errors.Is(err, rights.ErrGoing)
}

func requestsOf(f rights.File) (out []string) {
	for _, a := range f.Asks {
		if a.Request != "" {
			out = append(out, a.Request)
		}
	}
	return out
}

func (s *Store) isLive(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id] != nil
}

// endingOf is what waits to be sealed of a recording; nil: nothing does.
func (s *Store) endingOf(id string) *ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending[id]
}

// Rights is what holds and restricts a recording, and who asked for its erasure.
func (s *Store) Rights(id string) (rights.File, error) {
	if _, ok, err := s.row(id); err != nil || !ok {
		return rights.File{}, errors.Join(err, notFoundUnless(ok))
	}
	return s.desk.file(id), nil
}

func notFoundUnless(ok bool) error {
	if !ok {
		return ErrNotFound
	}
	return nil
}

// withRights adds to a summary what its recording's rights are now.
func (s *Store) withRights(sum Summary) Summary {
	until, err := s.retainer.until(sum, time.Time{}), error(nil)
	if sum.Retention == 0 {
		until, err = s.untilOf(sum.ID)
	}
	over := err == nil && !s.clock.Now().Before(until)
	f := s.desk.file(sum.ID)
	sum.Until, sum.Held, sum.Restricted = until, len(f.Holds) > 0, f.Decide(over).Restricted
	return sum
}

// subjectOf makes one spelling of a subject's number. Where trunks would read it in
// several ways it is one of them: two spellings that don't meet are two subjects,
// and then each keeps what it had restricted.
func (s *Store) subjectOf(number string) string {
	if number == "" {
		return ""
	}
	return slices.Min(s.numbers.Readings(number)) // + sorts before digits
}

// ErrRestricted means that a recording is kept, and may be played or exported
// only by a Permit (GDPR Art. 18(2)).
var ErrRestricted = errors.New("the recording is restricted")

// mayUse is asked by all that plays or exports.
func (s *Store) mayUse(id string) error {
	f := s.desk.file(id)
	if d := f.Decide(s.isOver(id)); d.Restricted {
		return fmt.Errorf("%w: %s; it may be used for legal claims, and for its subject, with a permit", ErrRestricted, d.Why)
	}
	return nil
}
