package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// How far an erasure has come.
const (
	ErasureRequested = "requested" // it was asked for; the recording is still there
	ErasureLogical   = "logical"   // its key is gone; the log has yet to hear of it
	ErasurePending   = "pending"   // the gate can't read it any more; who has the disk and the root key may
	ErasureShredded  = "shredded"  // the root key that it hung under was destroyed
)

// Types of audit entries that erasures make, or count.
const (
	TypeShredded = "erasure.shredded" // the root key that erased recordings hung under was destroyed
)

// Erasure says how far a recording's erasure has come.
type Erasure struct {
	State     string
	Requested time.Time
	Logical   time.Time // zero before it is
	Shredded  time.Time // zero before it is; then Store.Certificate gives a certificate
	Archive   []ErasedCopy
}

// erasure is what is kept of one: nothing of a person, and enough for a
// certificate.
type erasure struct {
	Salt       []byte    `json:"salt"`
	Commitment []byte    `json:"commitment"` // to the grant's hash
	Cause      cause     `json:"cause"`
	Requested  time.Time `json:"requested"`
	Logical    time.Time `json:"logical"`
	Given      given     `json:"given"`
	KEK        string    `json:"kek"`             // the bucket key that wrapped the grant's when it was dropped
	Month      string    `json:"month,omitempty"` // the key that what the catalog had of it goes with
	Epoch      uint64    `json:"epoch,omitempty"` // of the root that it goes with; 0: not known yet
	Entry      int64     `json:"entry,omitempty"` // of erasure.shredded; 0: it isn't yet
	Shredded   time.Time `json:"shredded,omitzero"`

	Archive []erasedCopy `json:"archive,omitempty"` // places that had a copy, or may have had
}

// given counts what was given out of a recording before it was erased.
type given struct {
	Plays   int `json:"plays"`
	Exports int `json:"exports"`
}

// cause is why something was erased, in words that no person wrote.
type cause struct {
	Role    string `json:"role"`              // subject, officer or system
	Kind    string `json:"kind"`              // withdrawal, request, asked, retention, other
	Request []byte `json:"request,omitempty"` // a commitment to the request's ID
}

// causeOf reads the reason that an erasure is logged with.
func causeOf(salt []byte, reason string) cause {
	if id, ok := strings.CutPrefix(reason, "request "); ok {
		return cause{"subject", "request", commit(asErasedRequest, salt, id)}
	}
	switch reason {
	case "withdrawn":
		return cause{Role: "subject", Kind: "withdrawal"}
	case "asked":
		return cause{Role: "officer", Kind: "asked"}
	case "retention":
		return cause{Role: "system", Kind: "retention"}
	}
	return cause{Role: "system", Kind: "other"}
}

// What commitments of certificates are to.
const (
	asErasedGrant   = "consentgate/1/erased-grant"
	asErasedRequest = "consentgate/1/erased-request"
)

// commit commits to a text: who knows it can check, with the salt.
func commit(what string, salt []byte, text string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", what, salt, text))
	return sum[:]
}

// beginErasure takes a grant's key away, and notes in the same transaction what
// is left to do: a crash from here on leaves it to recovery. month is unindex's.
func (t keysTx) beginErasure(id string, r row, month string, ev recordingEvent, told told) error {
	var g grantRow
	if err := json.Unmarshal(t.Bucket(bGrantKey).Get(r.Grant[:]), &g); err != nil {
		return fmt.Errorf("the key of grant %s: %w", r.Grant, err)
	}
	salt := newKey()
	e := erasure{Salt: salt[:], Commitment: commit(asErasedGrant, salt[:], r.Grant.String()), Cause: causeOf(salt[:], ev.Reason),
		Requested: told.requested, Logical: time.Now().UTC(), Given: told.given, KEK: g.kek(), Month: month}
	if e.Requested.IsZero() {
		e.Requested = e.Logical
	}
	var err error
	if e.Archive, err = t.owe(id, e.Logical); err != nil {
		return err
	}
	note, err := json.Marshal(ev)
	return errors.Join(err, t.drop(r.Grant), t.Bucket(bErasing).Put([]byte(id), note), putErasure(t.Tx, id, e),
		t.Bucket(bWaiting).Put([]byte(id), nil))
}

// eachWaiting calls f with the erasures that aren't shredded, in the order of
// recordings' IDs.
func eachWaiting(tx *bolt.Tx, f func(id string, e erasure)) error {
	return tx.Bucket(bWaiting).ForEach(func(id, _ []byte) error {
		e, ok, err := getErasure(tx, string(id))
		if err != nil || !ok {
			return errors.Join(fmt.Errorf("the note of the erasure of recording %s can't be read", id), err)
		}
		f(string(id), e)
		return nil
	})
}

func putErasure(tx *bolt.Tx, id string, e erasure) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return tx.Bucket(bErasure).Put([]byte(id), raw)
}

func getErasure(tx *bolt.Tx, id string) (e erasure, ok bool, err error) {
	raw := tx.Bucket(bErasure).Get([]byte(id))
	if raw == nil {
		return e, false, nil
	}
	return e, true, json.Unmarshal(raw, &e)
}

// told is what the log has of a grant that its erasure has to tell of.
type told struct {
	requested time.Time // zero: nobody asked
	given     given
}

// toldOf reads it from leaves alone.
func (a *Audit) toldOf(g consent.Hash) (out told, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		out = told{}
		for _, seq := range ofGrantSeqs(tx, g) {
			l, err := parseLeaf(tx.Bucket(bLeaf).Get(seqKey(seq)))
			if err != nil {
				return err
			}
			switch l.Type {
			case TypeErasureAsked:
				if out.requested.IsZero() {
					out.requested = l.At
				}
			case TypePlayed:
				out.given.Plays++
			case TypeExported:
				out.given.Exports++
			}
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("what the log has of an erasure: %w", err)
	}
	return out, nil
}

// Erasure tells how far the erasure of a recording has come. ErrNotFound: nobody
// asked for one, as far as is known.
func (s *Store) Erasure(id string) (out Erasure, err error) {
	e, ok, finished, err := s.erasure(id)
	switch {
	case err != nil:
		return out, err
	case !ok:
		return s.requested(id)
	case e.Entry > 0:
		out.State = ErasureShredded
	case finished:
		out.State = ErasurePending
	default:
		out.State = ErasureLogical
	}
	out.Requested, out.Logical, out.Shredded = e.Requested, e.Logical, e.Shredded
	out.Archive, err = s.erasedCopies(id, e)
	return out, err
}

func (s *Store) erasure(id string) (e erasure, ok, finished bool, err error) {
	err = s.keys.read(func(tx *bolt.Tx) (err error) {
		finished = tx.Bucket(bErasing).Get([]byte(id)) == nil
		e, ok, err = getErasure(tx, id)
		return err
	})
	return e, ok, finished, err
}

// requested tells of an erasure that waits: for the recording's end, for one.
func (s *Store) requested(id string) (out Erasure, err error) {
	r, ok, err := s.row(id)
	if err != nil {
		return out, err
	}
	if !ok {
		return out, ErrNotFound
	}
	told, err := s.audit.toldOf(r.Grant)
	if err != nil {
		return out, err
	}
	if told.requested.IsZero() {
		return out, ErrNotFound
	}
	return Erasure{State: ErasureRequested, Requested: told.requested}, nil
}

// noteFinished notes that the log has an erasure, and what it had of the grant
// to the last.
func (s *Store) noteFinished(ctx context.Context, id string, last given) error {
	return s.keys.commit(ctx, func(tx *bolt.Tx) error {
		e, ok, err := getErasure(tx, id)
		if err != nil {
			return err
		}
		if ok {
			e.Given = given{max(e.Given.Plays, last.Plays), max(e.Given.Exports, last.Exports)}
			err = putErasure(tx, id, e)
		}
		return errors.Join(err, tx.Bucket(bErasing).Delete([]byte(id)))
	})
}
