package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rights"
)

// ErrNoRequest means that there is no such request, or none any more.
var ErrNoRequest = errors.New("no such request")

// ofRequests begins the name of a month's key bucket: the requests that were
// received in it, which go together when the last of them has been closed for
// as long as they are kept.
const ofRequests = "request/"

// filedRequest is a request's row, opened.
type filedRequest struct {
	rights.Request
	Untold []untold `json:"untold,omitempty"`
}

func requestBucket(r rights.Date) string { return ofRequests + r.String()[:len("2026-11")] }

// getRequest reads a request's row.
func (t keysTx) getRequest(id string) (f filedRequest, err error) {
	raw := t.Bucket(bRequest).Get([]byte(id))
	if raw == nil {
		return f, ErrNoRequest
	}
	bucket, box, ok := bytes.Cut(raw, []byte{0})
	if !ok {
		return f, fmt.Errorf("request %s: its row can't be read", id)
	}
	k, err := t.lookup(bKEK, asBucketKey, string(bucket))
	if err != nil {
		return f, fmt.Errorf("request %s: %w", id, err)
	}
	plain, err := open(k, asRequest, id, box)
	if err != nil {
		return f, fmt.Errorf("request %s: %w", id, err)
	}
	return f, json.Unmarshal(plain, &f)
}

func (t keysTx) putRequest(f filedRequest) error {
	bucket := requestBucket(f.Received)
	k, err := t.need(bKEK, asBucketKey, bucket)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if t.Bucket(bRequest).Get([]byte(f.ID)) != nil {
		if err := t.Bucket(bChanged).Put([]byte(bucket), nil); err != nil {
			return err
		}
	}
	return t.Bucket(bRequest).Put([]byte(f.ID), append([]byte(bucket+"\x00"), seal(k, asRequest, f.ID, plain)...))
}

// readRequests fills the desk at a start.
func (s *Store) readRequests(t keysTx) error {
	return t.Bucket(bRequest).ForEach(func(k, _ []byte) error {
		f, err := t.getRequest(string(k))
		if err != nil {
			s.log.Error("a subject's request can't be read", "request", string(k), "error", err)
			return nil
		}
		s.desk.setRequest(f.Request)
		return nil
	})
}

func (d *desk) setRequest(r rights.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests[r.ID] = r
}

// Request returns one.
func (s *Store) Request(id string) (rights.Request, error) {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	r, ok := s.desk.requests[id]
	if !ok {
		return r, ErrNoRequest
	}
	return r, nil
}

// Requests returns all, or those that are open, by the day they are due.
func (s *Store) Requests(openOnly bool) []rights.Request {
	s.desk.mu.Lock()
	out := make([]rights.Request, 0, len(s.desk.requests))
	for _, r := range s.desk.requests {
		if !openOnly || r.State.Open() {
			out = append(out, r)
		}
	}
	s.desk.mu.Unlock()
	slices.SortFunc(out, func(a, b rights.Request) int {
		if c := strings.Compare(a.Due.String(), b.Due.String()); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Receive takes a subject's request in. party is the number that the subject
// says is theirs; received the day on which it came in.
func (s *Store) Receive(ctx context.Context, k rights.Kind, party string, received rights.Date, a rights.Act) (rights.Request, error) {
	if err := s.oneNumber(party); err != nil {
		return rights.Request{}, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	a.At = a.At.In(s.place)
	r, err := rights.NewRequest(freshID(), k, party, received, salt, s.holidays, a)
	if err != nil {
		return rights.Request{}, err
	}
	return s.amendRequest(ctx, r.ID, r, TypeRequestReceived, func(*rights.Request) error { return nil })
}

// oneNumber refuses what trunks of several countries read as several people's
// numbers: who asks would be given, or have erased, what is somebody else's.
func (s *Store) oneNumber(party string) error {
	countries := 0
	for _, n := range s.numbers.Readings(party) {
		if strings.HasPrefix(n, "+") {
			countries++
		}
	}
	if countries > 1 {
		return fmt.Errorf("%w: the trunks are in several countries, and %d of them have such a number; write it with + and its country's code",
			rights.ErrIncomplete, countries)
	}
	return nil
}

// AskIdentity notes that the subject was asked for proof of who they are, and
// for which.
func (s *Store) AskIdentity(ctx context.Context, id string, a rights.Act) (rights.Request, error) {
	return s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error { return r.AskIdentity(a) })
}

// Identify notes how an officer made sure of who the subject is.
func (s *Store) Identify(ctx context.Context, id string, a rights.Act) (rights.Request, error) {
	return s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error { return r.Identify(a) })
}

// Extend takes two further months, for a reason that the subject is told today.
func (s *Store) Extend(ctx context.Context, id string, a rights.Act) (rights.Request, error) {
	today := rights.DateOf(s.clock.Now().In(s.place))
	return s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error { return r.Extend(a, today, s.holidays) })
}

// Tell notes that the subject was told that the request waits for a hold.
func (s *Store) Tell(ctx context.Context, id string, a rights.Act) (rights.Request, error) {
	return s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error { return r.Tell(a) })
}

// Refuse ends a request undone, by an article of the GDPR. What it had asked for
// and wasn't carried out is taken back.
func (s *Store) Refuse(ctx context.Context, id string, a rights.Act, article string) (rights.Request, error) {
	var left []string
	r, err := s.amendRequest(ctx, id, nil, "", func(r *rights.Request) error {
		left = slices.Clone(r.Outstanding)
		return r.Refuse(a, article)
	})
	if err != nil {
		return r, err
	}
	for _, recording := range left {
		err := s.amend(ctx, recording, func(f *rights.File) ([]untold, error) { f.Unask(id); return nil, nil })
		if err != nil && !errors.Is(err, ErrNotFound) {
			return r, err
		}
	}
	return r, nil
}

// amendRequest changes a request, or files a fresh one, and has the log hear of
// it, as amend does.
func (s *Store) amendRequest(ctx context.Context, id string, fresh *rights.Request, kind string, change func(*rights.Request) error) (rights.Request, error) {
	done, err := s.desk.turn(ctx)
	if err != nil {
		return rights.Request{}, err
	}
	defer done()
	var refused error // both written by the committer; read here only after it answered
	var now rights.Request
	err = s.keys.submit(ctx, &write{do: func(tx *bolt.Tx) error {
		t, err := s.keys.at(tx)
		if err != nil {
			return err
		}
		f, err := t.getRequest(id)
		if fresh != nil {
			f, err = filedRequest{Request: *fresh}, nil
		}
		if errors.Is(err, ErrNoRequest) {
			refused = err
			return nil
		}
		if err != nil {
			return err
		}
		steps := len(f.Steps)
		if refused = change(&f.Request); refused != nil {
			return nil
		}
		now = f.Request
		if len(now.Steps) > steps || fresh != nil {
			u, err := telling(kindOr(kind, now), eventOf(now))
			if err != nil {
				return err
			}
			f.Untold = append(f.Untold, u)
		}
		return t.putRequest(f)
	}, after: func() {
		if refused == nil {
			s.desk.setRequest(now)
		}
	}})
	if err != nil {
		s.tellRequestLater(id) // it may yet become durable
		return rights.Request{}, fmt.Errorf("noting it: %w", err)
	}
	if refused != nil {
		return rights.Request{}, refused
	}
	if err := s.tellRequest(ctx, id); err != nil {
		s.tellRequestLater(id)
		return now, fmt.Errorf("it is done, and the log hasn't heard of it yet: %w", err)
	}
	return now, nil
}

func kindOr(kind string, r rights.Request) string {
	switch {
	case kind != "":
		return kind
	case !r.State.Open():
		return TypeRequestDone
	}
	return TypeRequestUpdated
}

func eventOf(r rights.Request) requestEvent {
	last := r.Steps[len(r.Steps)-1]
	ev := requestEvent{Request: r.ID, Kind: r.Kind, State: r.State, Received: r.Received, Due: r.Due, By: last.By,
		Reason: last.Reason, Carried: r.Carried, Left: len(r.Outstanding)}
	if r.Refusal != nil {
		ev.Article = r.Refusal.Article
	}
	return ev
}

// tellRequest has the log hear what it hasn't heard of a request. Whoever calls
// it has the turn.
func (s *Store) tellRequest(ctx context.Context, id string) error {
	var f filedRequest
	err := s.keys.view(func(t keysTx) (err error) {
		f, err = t.getRequest(id)
		return err
	})
	if errors.Is(err, ErrNoRequest) || err == nil && len(f.Untold) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, u := range f.Untold {
		if _, err := s.audit.append(ctx, newEntry{kind: u.Type, payload: u.Payload}); err != nil {
			return err
		}
	}
	return s.keys.update(ctx, func(t keysTx) error {
		now, err := t.getRequest(id)
		if err != nil {
			return err
		}
		now.Untold = now.Untold[min(len(f.Untold), len(now.Untold)):]
		return t.putRequest(now)
	})
}

func (s *Store) tellRequestLater(id string) {
	if !s.desk.first(s.desk.untold, id) {
		return
	}
	s.later("logging what was done to request "+id, func(ctx context.Context) error {
		done, err := s.desk.turn(ctx)
		if err != nil {
			return err
		}
		defer done()
		if err := s.tellRequest(ctx, id); err != nil {
			return err
		}
		s.desk.finished(s.desk.untold, id)
		return nil
	})
}

// dropRequests takes away the months of requests that are all closed, and were
// before a time; it returns how many requests went.
func (s *Store) dropRequests(ctx context.Context, before time.Time) (n int, err error) {
	months := map[string][]string{}
	keep := map[string]bool{}
	for _, r := range s.Requests(false) {
		b := requestBucket(r.Received)
		months[b] = append(months[b], r.ID)
		keep[b] = keep[b] || r.State.Open() || !r.Steps[len(r.Steps)-1].At.Before(before)
	}
	for b, ids := range months {
		if keep[b] {
			continue
		}
		err := s.keys.update(ctx, func(t keysTx) error {
			// Where its bytes remain on the disk it is under the root, which goes then.
			err := errors.Join(t.Bucket(bTouched).Put([]byte(b), nil), t.Bucket(bKEK).Delete([]byte(b)))
			for _, id := range ids {
				err = errors.Join(err, t.Bucket(bRequest).Delete([]byte(id)))
			}
			return err
		})
		if err != nil {
			return n, fmt.Errorf("taking old requests away: %w", err)
		}
		s.rotator.wake()
		s.desk.mu.Lock()
		for _, id := range ids {
			delete(s.desk.requests, id)
		}
		s.desk.mu.Unlock()
		n += len(ids)
	}
	return n, nil
}
