package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/store/rights"
)

// Due is a recording whose retention is over.
type Due struct {
	ID      string
	Purpose string
	Until   time.Time // when it was
	Kept    string    // why it stays nevertheless; "" if it goes
}

// survey is what a run finds.
type survey struct {
	due   []Due
	total map[string]int // recordings by purpose
}

// surveyBatch is how many rows are read in one transaction.
const surveyBatch = 500

// survey looks through all recordings for those whose time is over at now.
func (p Retention) survey(view func(func(keysTx) error) error, now time.Time) (out survey, err error) {
	out.total = map[string]int{}
	for at := []byte(nil); ; {
		var last []byte
		err := view(func(t keysTx) (err error) {
			last, err = p.batch(t, at, now, &out)
			return err
		})
		if err != nil {
			return out, fmt.Errorf("looking for recordings whose time is over: %w", err)
		}
		if last == nil {
			return out, nil
		}
		at = last
	}
}

// batch looks through some rows from at on, and says where to go on; nil: it is
// through.
func (p Retention) batch(t keysTx, at []byte, now time.Time, out *survey) (last []byte, err error) {
	cur := t.Bucket(bRecording).Cursor()
	k, v := cur.Seek(at)
	for n := 0; k != nil; k, v = cur.Next() {
		if n++; n > surveyBatch {
			return bytes.Clone(k), nil
		}
		var r row
		if err := json.Unmarshal(v, &r); err != nil {
			return nil, err
		}
		bucket, err := t.bucketOfGrant(r)
		if errors.Is(err, errNoKey) {
			continue // it can't be read; its file is nobody's any more
		}
		if err != nil {
			return nil, err
		}
		purpose, day := partsOf(bucket)
		out.total[purpose]++
		if p.early(r, purpose, day, now) {
			continue
		}
		id := string(k)
		sum, err := t.summary(id, r)
		if err != nil {
			return nil, err
		}
		if until := p.until(sum, day); !now.Before(until) {
			f, err := t.getFiled(id, r)
			if err != nil {
				f.File = unreadable()
			}
			d := f.Decide(true)
			kept := ""
			if d.Erase == rights.None {
				kept = d.Why
			}
			out.due = append(out.due, Due{id, purpose, until, kept})
		}
	}
	return nil, nil
}

// bareGrant is a grant that came to no recording. What the log has of it is under
// its key, and goes on the day on which a recording's time would be over.
type bareGrant struct {
	grant consent.Hash
	id    string
}

// bareGrants looks for those whose day is over.
func (p Retention) bareGrants(view func(func(keysTx) error) error, now time.Time) (out []bareGrant, err error) {
	for at := []byte(nil); ; {
		var last []byte
		err := view(func(t keysTx) error {
			last = nil
			cur := t.Bucket(bGrantKey).Cursor()
			k, v := cur.Seek(at)
			for n := 0; k != nil; k, v = cur.Next() {
				if n++; n > surveyBatch {
					last = bytes.Clone(k)
					return nil
				}
				var g grantRow
				if err := json.Unmarshal(v, &g); err != nil {
					return err
				}
				_, day := partsOf(g.Bucket)
				if !day.IsZero() && !now.Before(day.Add(24*time.Hour)) && t.Bucket(bGrant).Get(k) == nil {
					out = append(out, bareGrant{consent.Hash(k), g.ID})
				}
			}
			return nil
		})
		if err != nil {
			return out, fmt.Errorf("looking for grants whose time is over: %w", err)
		}
		if last == nil {
			return out, nil
		}
		at = last
	}
}

// bucketOfGrant is the name of the key bucket that a recording's keys are in.
func (t keysTx) bucketOfGrant(r row) (string, error) {
	raw := t.Bucket(bGrantKey).Get(r.Grant[:])
	if raw == nil {
		return "", errNoKey
	}
	var g grantRow
	return g.Bucket, json.Unmarshal(raw, &g)
}

// partsOf takes a bucket's name apart: purpose, and the day on which a recording's
// retention would be over that began with its grant and ended at once.
func partsOf(bucket string) (purpose string, day time.Time) {
	name := strings.TrimPrefix(bucket, "recording/")
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name, time.Time{}
	}
	day, err := time.Parse(time.DateOnly, name[i+1:])
	if err != nil {
		day = time.Time{}
	}
	return name[:i], day
}

// early reports whether a recording's time can't be over yet, without opening
// anything: it isn't before that of one that had ended as it began.
func (p Retention) early(r row, purpose string, day, now time.Time) bool {
	configured := p.Purposes[purpose]
	return now.Before(day) && (configured == 0 || now.Before(time.Unix(0, r.Start).Add(configured)))
}

// until is when a recording's time is over. One without an end is counted from
// the latest that it can have ended: it may be running, or its file was never
// readable again.
func (p Retention) until(sum Summary, day time.Time) time.Time {
	ended := sum.Ended
	if ended.IsZero() {
		ended = sum.Started.Add(maxTime)
	}
	told := sum.Retention
	if told == 0 { // of a version that didn't note it: never earlier than it was
		told = day.Add(24 * time.Hour).Sub(sum.Started)
	}
	return rights.Until(ended, told, p.Purposes[sum.Purpose])
}

// untilOf is until of a recording, by its ID.
func (s *Store) untilOf(id string) (until time.Time, err error) {
	err = s.keys.view(func(t keysTx) error {
		r, ok, err := getRow(t.Tx, id)
		if err != nil || !ok {
			return errors.Join(err, notFoundUnless(ok))
		}
		bucket, err := t.bucketOfGrant(r)
		if err != nil {
			return err
		}
		sum, err := t.summary(id, r)
		_, day := partsOf(bucket)
		until = s.retainer.until(sum, day)
		return err
	})
	return until, err
}

// isOver reports whether a recording's retention is. What can't be read isn't
// erased for it.
func (s *Store) isOver(id string) bool {
	until, err := s.untilOf(id)
	return err == nil && !s.clock.Now().Before(until)
}
