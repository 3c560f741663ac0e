package store

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
	"consentgate/store/evidence"
)

// Receipt writes the consent receipt of a recording as JSON-LD, for a reader.
// ErrNotFound: there is no such recording.
func (s *Store) Receipt(ctx context.Context, id string, setting evidence.Setting, r evidence.Reader) ([]byte, error) {
	c, _, err := s.caseOf(ctx, id)
	if err != nil {
		return nil, err
	}
	return evidence.Receipt(c, setting, r, time.Now())
}

// VConOptions say what of a recording a vCon holds.
type VConOptions struct {
	Reader  evidence.Reader
	Setting evidence.Setting
	Only    *consent.Party   // the one party that is heard; nil: both
	Signer  *evidence.Signer // nil: unsigned

	// Audio puts the audio inside: an export, which is logged, By somebody for
	// a Purpose that was consented to, To somebody.
	Audio           bool
	By, Purpose, To string

	// URL is where the audio can be fetched, as OpenWAV gives it; it goes in with
	// the hash of that. Nobody hears anything by it, so it isn't logged: who
	// fetches it is.
	URL string
}

// VCon writes a recording as a vCon. An error after the first byte leaves w with
// half of one. ErrNotFound, ErrPurpose, ErrRestricted: as they say;
// nothing is written then. A recording that goes on has no hash that stays.
func (s *Store) VCon(ctx context.Context, w io.Writer, id string, o VConOptions) error {
	c, _, err := s.caseOf(ctx, id)
	if err != nil {
		return err
	}
	audio := evidence.Audio{Only: o.Only}
	if o.URL != "" {
		reading, err := s.read(ctx, id, func(content) error { return nil })
		if err != nil {
			return err
		}
		c.Rendered, audio.URL = rendered(reading), o.URL
		if audio.SHA512, err = s.hashWAV(ctx, id, WAVOptions{Only: o.Only}); err != nil {
			return err
		}
	}
	if o.Audio {
		if err := s.mayUse(id); err != nil {
			return err
		}
		reading, err := s.read(ctx, id, func(content) error { return nil })
		if err != nil {
			return err
		}
		if err := s.Exported(ctx, id, o.By, o.Purpose, "vcon", o.To); err != nil {
			return err
		}
		c.Rendered = rendered(reading)
		audio.Write = func(w io.Writer) error { _, err := s.render(ctx, id, w, WAVOptions{Only: o.Only}); return err }
	}
	if o.Signer != nil {
		return evidence.SignedVCon(w, c, o.Setting, o.Reader, audio, time.Now(), *o.Signer)
	}
	return evidence.VCon(w, c, o.Setting, o.Reader, audio, time.Now())
}

// hashWAV is the SHA-512 of what OpenWAV gives.
func (s *Store) hashWAV(ctx context.Context, id string, o WAVOptions) (sum []byte, err error) {
	sound, err := s.OpenWAV(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sound.Close()) }()
	h := sha512.New()
	if _, err := io.Copy(h, sound); err != nil {
		return nil, fmt.Errorf("hashing the audio of recording %s: %w", id, err)
	}
	return h.Sum(nil), nil
}

// BundleOptions say what an access bundle holds, and who asked for it.
type BundleOptions struct {
	evidence.Bundle           // its Subject is a number in any spelling; Made is set here where it is zero
	By              string    // the user who makes it
	From, To        time.Time // of which time; zero: all
}

// Bundle writes everything that is kept of somebody's recordings, the oldest
// first, as one zip (GDPR Art. 15, 20). For each of them it is logged before a
// byte of it is written. Restricted ones are in it: it is their subject who asks
// (Art. 18(2)). Nothing that was written counts unless it returns nil.
func (s *Store) Bundle(ctx context.Context, w io.Writer, o BundleOptions) error {
	if o.By == "" {
		return errors.New("who makes a bundle must be named")
	}
	found, err := s.recordingsOf(o)
	if err != nil {
		return err
	}
	if o.Made.IsZero() {
		o.Made = time.Now()
	}
	return o.Write(w, func(yield func(evidence.Item, error) bool) {
		for _, sum := range found {
			it, err := s.item(ctx, sum, o)
			if errors.Is(err, ErrNotFound) {
				continue // erased since
			}
			if !yield(it, err) {
				return
			}
		}
	})
}

func (s *Store) recordingsOf(o BundleOptions) (all []Summary, err error) {
	q := Query{Party: o.Subject, From: o.From, To: o.To, Limit: MaxPage}
	for {
		page, cursor, err := s.Search(q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if cursor == "" {
			slices.Reverse(all)
			return all, nil
		}
		q.Cursor = cursor
	}
}

// item is a recording for its subject's bundle. One that can't be read goes in
// without audio.
func (s *Store) item(ctx context.Context, sum Summary, o BundleOptions) (evidence.Item, error) {
	c, sum, err := s.caseOf(ctx, sum.ID)
	if err != nil {
		return evidence.Item{}, err
	}
	it := evidence.Item{Case: c}
	given := useEvent{Recording: sum.ID, By: o.By, Why: evidence.SubjectAccess, Form: "bundle", Request: o.Request}
	if it.Party, it.Case.Elsewhere, err = s.partyOf(o.Subject, sum); err != nil {
		return it, err
	}
	if it.Case.Elsewhere {
		return it, s.logUse(ctx, TypeExported, sum, given)
	}
	var only *consent.Party
	if !o.Both {
		only = &it.Party
	}
	need := scout{rate: narrow}
	reading, err := s.read(ctx, sum.ID, need.take)
	it.Case.Rendered = rendered(reading)
	switch {
	case err == nil && reading.Length.Microseconds()*need.rate/1e6 > mostSamples:
		it.Case.Damaged = errTooLong.Error()
	case errors.Is(err, ErrDamaged):
		it.Case.Length, it.Case.Damaged = time.Duration(sum.Seconds*float64(time.Second)), err.Error()
	case err != nil:
		return it, err
	default:
		it.Audio = func(w io.Writer) (evidence.Rendered, error) {
			reading, err := s.render(ctx, sum.ID, w, WAVOptions{Only: only})
			return rendered(reading), err
		}
	}
	return it, s.logUse(ctx, TypeExported, sum, given)
}

// partyOf is which of a call's parties has a number. elsewhere: outside it was called,
// and another one answered. ErrNotFound: neither has.
func (s *Store) partyOf(number string, sum Summary) (p consent.Party, elsewhere bool, err error) {
	readings := s.numbers.Readings(number)
	switch {
	case sum.ConnectedNumber != "" && slices.Contains(readings, sum.ConnectedNumber):
		return sum.answers(), false, nil
	case slices.Contains(readings, sum.RemoteNumber):
		return consent.Remote, sum.ConnectedNumber != "" && sum.answers() == consent.Remote, nil
	case slices.Contains(readings, sum.LocalNumber):
		return consent.Local, false, nil
	}
	return 0, false, fmt.Errorf("recording %s has another party: %w", sum.ID, ErrNotFound)
}

func rendered(r Reading) evidence.Rendered {
	out := evidence.Rendered{Length: r.Length, Unheard: r.Unheard, Damaged: r.Damaged}
	for _, g := range r.Gaps {
		out.Gaps = append(out.Gaps, evidence.Gap{Party: g.Party, Cause: g.Cause, From: g.From, To: g.To})
	}
	return out
}

// caseOf puts together what log and keys.db know of a recording.
func (s *Store) caseOf(ctx context.Context, id string) (c evidence.Case, sum Summary, err error) {
	if sum, err = s.Get(id); err != nil {
		return c, sum, err
	}
	entries, err := s.audit.ofGrant(sum.Grant)
	if err != nil {
		return c, sum, fmt.Errorf("reading what the log has of recording %s: %w", id, err)
	}
	c = evidence.Case{Recording: id, Started: sum.Started, Reason: sum.Reason, Due: sum.Until}
	c.Length = time.Duration(sum.Seconds * float64(time.Second))
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return c, sum, err
		}
		take(&c, e)
	}
	if len(c.Records) > 0 && c.Records[0].Hash() == sum.Grant {
		return c, sum, nil
	}
	// The log's payload is gone or damaged, which verify finds. The recording's
	// first frame has the same record; its place in the log isn't known then.
	reading, err := s.read(ctx, id, func(content) error { return nil })
	if err != nil {
		return c, sum, err
	}
	if reading.Record.Hash() != sum.Grant {
		return c, sum, fmt.Errorf("%w: neither the log nor its file has the consent it was made under", ErrDamaged)
	}
	c.Records = slices.Insert(c.Records, 0, evidence.Logged{Record: reading.Record, Seq: -1})
	return c, sum, nil
}

// take adds an entry to a case.
func take(c *evidence.Case, e Entry) {
	switch e.Type {
	case TypeConsent:
		var r consent.Record
		if json.Unmarshal(e.Payload, &r) == nil {
			h := tlog.RecordHash([]byte(e.Leaf))
			c.Records = append(c.Records, evidence.Logged{Record: r, Seq: e.Seq, Leaf: hex.EncodeToString(h[:])})
		}
	case TypePlayed, TypeExported:
		if u, ok := readUse(e.Payload); ok && u.Recording == c.Recording {
			c.Accesses = append(c.Accesses, evidence.Access{At: e.At, By: u.By, Exported: e.Type == TypeExported, Purpose: u.Why, To: u.To,
				From: seconds(u.From), Up: seconds(u.Until)})
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// ofGrant reads the entries whose payloads are sealed under a grant's key, in
// order; those that don't open are left out.
func (a *Audit) ofGrant(g consent.Hash) (out []Entry, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		for _, seq := range ofGrantSeqs(tx, g) {
			k := seqKey(seq)
			e, err := a.entryOf(tx, k, bytes.Clone(tx.Bucket(bLeaf).Get(k)))
			if err != nil {
				return err
			}
			if e.Payload != nil {
				out = append(out, e)
			}
		}
		return nil
	})
	return out, err
}
