package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/rights"
)

// Hold puts a legal hold on a recording and returns it. kase names what it is for, ""
// if nothing does. One for the same reason and case is there once.
func (o *Office) Hold(ctx context.Context, p access.Principal, id, reason, kase string) (h rights.Hold, fresh bool, err error) {
	s, _, err := o.recording(id)
	if err != nil {
		return h, false, err
	}
	file, err := s.Rights(id)
	if err != nil {
		return h, false, err
	}
	a := o.act(p, reason)
	for _, there := range file.Holds {
		if there.Reason == a.Reason && there.Case == kase {
			return there, false, nil
		}
	}
	hold, err := s.Hold(ctx, id, a, kase)
	return rights.Hold{ID: hold, Act: a, Case: kase}, true, err
}

// Release ends a hold; the one that there is where hold is "". ErrSeveral: there are
// more.
func (o *Office) Release(ctx context.Context, p access.Principal, id, hold, reason string) error {
	s, _, err := o.recording(id)
	if err != nil {
		return err
	}
	if hold == "" {
		file, err := s.Rights(id)
		switch {
		case err != nil:
			return err
		case len(file.Holds) == 0:
			return rights.ErrNoSuch
		case len(file.Holds) > 1:
			return fmt.Errorf("%w: the recording has %d holds", ErrSeveral, len(file.Holds))
		}
		hold = file.Holds[0].ID
	}
	return s.Release(ctx, id, hold, o.act(p, reason))
}

// Restrict restricts a recording for a subject (GDPR Art. 18); letGo is their
// consent that it goes when its time is over.
func (o *Office) Restrict(ctx context.Context, p access.Principal, id string, ground rights.Ground, subject string, letGo bool, reason string) (rights.Restriction, error) {
	s, _, err := o.recording(id)
	if err != nil {
		return rights.Restriction{}, err
	}
	r := rights.Restriction{Act: o.act(p, reason), Ground: ground, Subject: subject, LetGo: letGo}
	r.ID, err = s.Restrict(ctx, id, r)
	return r, err
}

// Lift ends a restriction; told says that its subject was told before (GDPR Art.
// 18(3)).
func (o *Office) Lift(ctx context.Context, p access.Principal, id, restriction string, told bool, reason string) error {
	s, _, err := o.recording(id)
	if err != nil {
		return err
	}
	return s.Lift(ctx, id, restriction, o.act(p, reason), told)
}

// Erase asks for a recording's erasure and tells how far it came. What a hold or the
// call that goes on keeps is erased by itself later. ErrPending: a second officer
// has to agree, and that carries it out.
func (o *Office) Erase(ctx context.Context, p access.Principal, id, reason string) (store.Erasure, error) {
	s, _, err := o.recording(id)
	if err != nil {
		return store.Erasure{}, err
	}
	ask := rights.Ask{Act: o.act(p, reason)}
	if ask.Reason == "" {
		return store.Erasure{}, fmt.Errorf("%w: why it is to be erased must be given", rights.ErrIncomplete)
	}
	run := func(ctx context.Context) error { return waiting(s.AskErase(ctx, id, ask)) }
	if err := o.agreed(ctx, p, wish{Act: ActErase, Object: id}, reason, run); err != nil {
		return store.Erasure{}, err
	}
	if err := run(ctx); err != nil {
		return store.Erasure{}, err
	}
	return o.settled(ctx, s, id)
}

const (
	finalTime = 5 * time.Second // that an erasure at once has to become final
	finalLook = 20 * time.Millisecond
)

// settled tells of an erasure; where erasures become final at once, when it is.
func (o *Office) settled(ctx context.Context, s *store.Store, id string) (store.Erasure, error) {
	ctx, cancel := context.WithTimeout(ctx, finalTime)
	defer cancel()
	for {
		e, err := s.Erasure(id)
		if err != nil || !o.c.AtOnce || e.State == store.ErasureRequested || e.State == store.ErasureShredded {
			return e, err
		}
		select {
		case <-ctx.Done():
			return e, nil
		case <-time.After(finalLook):
		}
	}
}

// Erasure tells how far an erasure came, and gives its certificate once it is
// final: a signed note, nil before.
func (o *Office) Erasure(id string) (e store.Erasure, certificate []byte, err error) {
	s, err := o.store()
	if err != nil {
		return e, nil, err
	}
	if !isID(id) {
		return e, nil, store.ErrNotFound
	}
	if e, err = s.Erasure(id); err != nil || e.State != store.ErasureShredded {
		return e, nil, err
	}
	certificate, err = s.Certificate(id)
	if errors.Is(err, store.ErrNotShredded) {
		err = nil
	}
	return e, certificate, err
}
