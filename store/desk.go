package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rights"
)

// Buckets of keys.db for what people ask and order. They are sealed: a reason or
// a name is personal data.
var (
	bRights  = []byte("rights")  // recording id -> filed, under a key derived from its grant's
	bRequest = []byte("request") // request id -> the month of its receipt | 0 | filedRequest, under that month's key
)

// desk is where officers' acts are done. Each is one transaction in keys.db that
// holds the act and what the log has to hear of it; then the log hears of it;
// only then what follows from the act is done. A crash in between leaves the
// rest to the next start.
type desk struct {
	// acts holds one token: who has it acts. It lets the log have acts in the
	// order in which they were done.
	acts chan struct{}

	mu       sync.Mutex // guards the rest; never held for I/O
	files    map[string]rights.File
	requests map[string]rights.Request
	untold   map[string]bool // recordings and requests that the clerk has to tell the log of
	going    map[string]bool // recordings that somebody is erasing
}

func newDesk() *desk {
	return &desk{acts: make(chan struct{}, 1), files: map[string]rights.File{}, requests: map[string]rights.Request{},
		untold: map[string]bool{}, going: map[string]bool{}}
}

// first notes id in one of the desk's sets, and reports whether it wasn't there.
func (d *desk) first(set map[string]bool, id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if set[id] {
		return false
	}
	set[id] = true
	return true
}

func (d *desk) finished(set map[string]bool, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(set, id)
}

// turn waits until nobody else acts; done must be called.
func (d *desk) turn(ctx context.Context) (done func(), err error) {
	select {
	case d.acts <- struct{}{}:
		return func() { <-d.acts }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another act to be done: %w", ctx.Err())
	}
}

// file is what is known of a recording's rights; empty where there is nothing.
func (d *desk) file(id string) rights.File {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[id]
}

func (d *desk) allFiles() map[string]rights.File {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.files)
}

func (d *desk) setFile(id string, f rights.File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.Empty() {
		delete(d.files, id)
		return
	}
	d.files[id] = f
}

// untold is an entry that the log hasn't taken yet.
type untold struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

func telling(kind string, v any) (untold, error) {
	b, err := json.Marshal(v)
	return untold{kind, b}, err
}

// filed is a recording's row.
type filed struct {
	rights.File
	Untold []untold `json:"untold,omitempty"`
}

// getFiled reads a recording's row; an empty one where there is none.
func (t keysTx) getFiled(id string, r row) (f filed, err error) {
	box := t.Bucket(bRights).Get([]byte(id))
	if box == nil {
		return f, nil
	}
	rk, _, err := t.grantKey(r.Grant)
	if err != nil {
		return f, err
	}
	plain, err := open(derive(rk, forRights, nil), asRights, id, box)
	if err != nil {
		return f, fmt.Errorf("the holds and restrictions of recording %s: %w", id, err)
	}
	return f, json.Unmarshal(plain, &f)
}

func (t keysTx) putFiled(id string, r row, f filed) error {
	if f.Empty() && len(f.Untold) == 0 {
		return t.Bucket(bRights).Delete([]byte(id))
	}
	rk, _, err := t.grantKey(r.Grant)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return t.Bucket(bRights).Put([]byte(id), seal(derive(rk, forRights, nil), asRights, id, plain))
}

// amend changes what is kept of a recording's rights, and has the log hear of it.
// change may run more than once, each time on what is on the disk; an error of
// it is returned, and nothing is changed then. An error after that means that the
// change may have been made; the log will hear of it if so.
func (s *Store) amend(ctx context.Context, id string, change func(f *rights.File) ([]untold, error)) error {
	done, err := s.desk.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	var refused error // written by the committer; read here only after it answered
	var now rights.File
	err = s.keys.submit(ctx, &write{do: func(tx *bolt.Tx) error {
		t, err := s.keys.at(tx)
		if err != nil {
			return err
		}
		r, ok, err := getRow(tx, id)
		if err != nil {
			return err
		}
		if !ok {
			refused = ErrNotFound
			return nil
		}
		f, err := t.getFiled(id, r)
		if err != nil {
			return err
		}
		was := flagsOf(f.File)
		entries, err := change(&f.File)
		if refused = err; err != nil {
			return nil
		}
		f.Untold = append(f.Untold, entries...)
		now = f.File
		if err = t.putFiled(id, r, f); err == nil && flagsOf(now) != was {
			err = t.listAgain(id, r)
		}
		return err
	}, after: func() {
		if refused == nil {
			s.desk.setFile(id, now)
		}
	}})
	if err != nil {
		s.tellLater(id) // it may yet become durable
		return fmt.Errorf("noting it: %w", err)
	}
	if refused != nil {
		return refused
	}
	if err := s.tell(ctx, id); err != nil {
		s.tellLater(id)
		return fmt.Errorf("it is done, and the log hasn't heard of it yet: %w", err)
	}
	return nil
}

// listAgain has a recording found by what it is now.
func (t keysTx) listAgain(id string, r row) error {
	sum, err := t.summary(id, r)
	if err != nil {
		return err
	}
	return t.list(id, r, sum)
}

// tellLater leaves it to the clerk, once.
func (s *Store) tellLater(id string) {
	if !s.desk.first(s.desk.untold, id) {
		return
	}
	s.later("logging what was done to recording "+id, func(ctx context.Context) error {
		if err := s.tellInTurn(ctx, id); err != nil {
			return err
		}
		s.desk.finished(s.desk.untold, id)
		s.settleAsked(id)
		return nil
	})
}

// tell has the log hear what it hasn't heard of a recording. Whoever calls it has
// the turn.
func (s *Store) tell(ctx context.Context, id string) error {
	var r row
	var f filed
	err := s.keys.view(func(t keysTx) (err error) {
		var ok bool
		if r, ok, err = getRow(t.Tx, id); err != nil || !ok {
			return err
		}
		f, err = t.getFiled(id, r)
		return err
	})
	if err != nil || len(f.Untold) == 0 {
		return err
	}
	for _, u := range f.Untold {
		if _, err := s.audit.append(ctx, newEntry{kind: u.Type, payload: u.Payload, grant: r.Grant}); err != nil {
			return err
		}
	}
	return s.keys.update(ctx, func(t keysTx) error {
		r, ok, err := getRow(t.Tx, id)
		if err != nil || !ok {
			return err
		}
		now, err := t.getFiled(id, r)
		if err != nil {
			return err
		}
		now.Untold = now.Untold[min(len(f.Untold), len(now.Untold)):]
		return t.putFiled(id, r, now)
	})
}

func (s *Store) tellInTurn(ctx context.Context, id string) error {
	done, err := s.desk.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.tell(ctx, id)
}

// openDesk reads what is kept, and does what a crash left undone: the log hears
// what it hasn't heard, and what nothing keeps any more goes.
func (s *Store) openDesk() error {
	var ids []string
	err := s.keys.view(func(t keysTx) error {
		err := t.Bucket(bRights).ForEach(func(k, _ []byte) error {
			id := string(k)
			r, ok, err := getRow(t.Tx, id)
			if err != nil || !ok {
				return err
			}
			f, err := t.getFiled(id, r)
			if err != nil {
				// Unreadable, it holds: nothing is erased that may be held.
				s.log.Error("what holds or restricts a recording can't be read; it is kept and not played", "recording", id, "error", err)
				s.desk.setFile(id, unreadable())
				return nil
			}
			s.desk.setFile(id, f.File)
			ids = append(ids, id)
			return nil
		})
		return errors.Join(err, s.readRequests(t))
	})
	if err != nil {
		return fmt.Errorf("reading holds and requests: %w", err)
	}
	for _, id := range ids {
		s.end("logging what was done to recording "+id, func(ctx context.Context) error { return s.tellInTurn(ctx, id) })
	}
	s.settleAsked(slices.Collect(maps.Keys(s.desk.allFiles()))...)
	s.end("carrying on with requests", s.carryOn)
	return nil
}

// settleAsked erases those of some recordings whose erasure was asked for and
// that nothing keeps.
func (s *Store) settleAsked(ids ...string) {
	for _, id := range ids {
		if s.desk.file(id).Decide(false).Erase != rights.None {
			s.settleSoon(id)
		}
	}
}

// unreadable is a file that lets nothing be done.
func unreadable() rights.File {
	why := rights.Act{By: system, At: time.Now(), Reason: "its row can't be read"}
	return rights.File{Holds: []rights.Hold{{ID: "unreadable", Act: why}},
		Restrictions: []rights.Restriction{{ID: "unreadable", Act: why, Ground: rights.Accuracy}}}
}

// system acts where no person does.
const system = "system"

// freshID names holds, restrictions and requests, as recordings are.
func freshID() string {
	id, _ := newID()
	return id
}
