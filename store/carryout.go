package store

import (
	"context"
	"errors"
	"slices"

	"consentgate/store/rights"
)

// Order is how a request is to be carried out.
type Order struct {
	rights.Act
	Recordings []string      // on which; nil: all whose party is the request's
	Ground     rights.Ground // of a restriction
	LetGo      bool          // of a restriction: see rights.Restriction
}

// CarryOut does what a request asks for. Recordings are erased (erasure, and
// objection: rights.Objecting says why) or restricted; what a hold keeps is
// restricted and erased by itself when the hold ends, and the request is done
// then. An access or portability request goes into progress, and its
// Outstanding are what to give away (PermitRequest, WAVBy); Delivered ends it.
// What is to be done is on stable storage before any of it is; what an error or
// a crash leaves is done later, by itself.
func (s *Store) CarryOut(ctx context.Context, id string, o Order) (rights.Request, error) {
	r, err := s.Request(id)
	if err != nil {
		return r, err
	}
	if o.Recordings == nil {
		if o.Recordings, err = s.ofParty(r.Party); err != nil {
			return r, err
		}
	}
	r, err = s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error {
		if r.Kind == rights.Restricting {
			if err := r.RestrictBy(o.Ground, o.LetGo); err != nil {
				return err
			}
		}
		return r.Start(o.Act, o.Recordings)
	})
	if err != nil || r.Kind.Discloses() {
		return r, err
	}
	err = s.carryOnWith(ctx, id)
	r, err2 := s.Request(id)
	return r, errors.Join(err, err2)
}

// Delivered ends an access or portability request: everything was given to its
// subject.
func (s *Store) Delivered(ctx context.Context, id string, a rights.Act) (rights.Request, error) {
	return s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error {
		if !r.Kind.Discloses() {
			return rights.ErrOutOfOrder
		}
		r.Carry(slices.Clone(r.Outstanding)...)
		return r.Settle(a)
	})
}

// beingGiven are the recordings that access and portability requests give away now.
func (s *Store) beingGiven() map[string]bool {
	out := map[string]bool{}
	for _, r := range s.Requests(true) {
		if r.Kind.Discloses() {
			for _, id := range r.Outstanding {
				out[id] = true
			}
		}
	}
	return out
}

// ofParty finds all recordings of a number.
func (s *Store) ofParty(party string) ([]string, error) {
	ids := []string{}
	for cursor := ""; ; {
		page, next, err := s.Search(Query{Party: party, Limit: MaxPage, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for _, sum := range page {
			ids = append(ids, sum.ID)
		}
		if cursor = next; next == "" {
			return ids, nil
		}
	}
}

// carryOn carries on with all requests that were begun.
func (s *Store) carryOn(ctx context.Context) (err error) {
	for _, r := range s.Requests(true) {
		err = errors.Join(err, s.carryOnWith(ctx, r.ID))
	}
	return err
}

// carryOnWith does what is left of a request, and notes how far it came.
func (s *Store) carryOnWith(ctx context.Context, id string) error {
	r, err := s.Request(id)
	if err != nil || r.State != rights.InProgress && r.State != rights.Held || r.Kind.Discloses() {
		return err
	}
	begun := r.Steps[len(r.Steps)-1].Act
	var done []string
	for _, recording := range r.Outstanding {
		ok, err := s.carryOutOn(ctx, r, recording, begun)
		if err != nil {
			return err
		}
		if ok {
			done = append(done, recording)
		}
	}
	if len(done) == 0 && r.State == rights.Held {
		return nil
	}
	_, err = s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error {
		if !r.State.Open() {
			return nil // refused meanwhile
		}
		r.Carry(done...)
		return r.Settle(rights.Act{By: system, At: s.clock.Now(), Reason: "carried out as far as nothing keeps the recordings"})
	})
	return err
}

// carryOutOn carries a request out on a recording; done is false where it has to
// wait.
func (s *Store) carryOutOn(ctx context.Context, r rights.Request, recording string, begun rights.Act) (done bool, err error) {
	if r.Kind == rights.Restricting {
		err := s.restrictFor(ctx, r, recording, begun)
		return err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, rights.ErrGoing), ignore(err, ErrNotFound, rights.ErrGoing)
	}
	err = s.askErase(ctx, recording, rights.Ask{Act: begun, Subject: r.Party, Request: r.ID})
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		return true, nil
	case waits(err):
		return false, nil
	}
	return false, err
}

// restrictFor restricts a recording for a request, once.
func (s *Store) restrictFor(ctx context.Context, r rights.Request, recording string, begun rights.Act) error {
	for _, there := range s.desk.file(recording).Restrictions {
		if there.Request == r.ID {
			return nil
		}
	}
	_, err := s.Restrict(ctx, recording, rights.Restriction{Act: begun, Ground: r.Ground, LetGo: r.LetGo, Subject: r.Party, Request: r.ID})
	return err
}

// ignore makes nothing of errors that are none here.
func ignore(err error, harmless ...error) error {
	for _, h := range harmless {
		if errors.Is(err, h) {
			return nil
		}
	}
	return err
}
