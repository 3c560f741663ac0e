package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/store/catalog"
)

// ErrNotFound means that there is no such recording, or none any more.
var ErrNotFound = errors.New("no such recording")

// ErrQuery means that a search can't be done as it is asked for.
var ErrQuery = errors.New("the search can't be done")

// Query says which recordings are wanted; what is zero doesn't restrict.
type Query struct {
	Party     string    // a number of either party, or of who answered for it, in any spelling
	Agent     string    // a number of the local party, likewise
	From      time.Time // the first moment of their start that is wanted
	To        time.Time // the first that isn't any more
	Purpose   string
	Trunk     string
	Direction consent.Direction
	State     string
	Outcome   string // how it ended: one of Outcomes

	Held       bool // what a legal hold keeps
	Restricted bool // what a subject had restricted, or whose erasure waits; not what its time being over restricts

	Limit  int    // of a page; 0: 100; at most MaxPage
	Cursor string // of the page before, of the same search; "" for the first
}

// MaxPage is how many recordings a page can have.
const MaxPage = 1000

// Search returns recordings, the latest first, and the cursor of the next page,
// "" at the end. Recordings that come or go meanwhile move no other: none of
// those that stay is on two pages, or on none. An error that is ErrQuery is the
// query's.
func (s *Store) Search(q Query) (page []Summary, cursor string, err error) {
	if err := q.check(); err != nil {
		return nil, "", err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	err = s.keys.view(func(t keysTx) error {
		page, cursor = nil, ""
		k, err := t.lookup(bSystem, asSystemKey, numberIndex)
		if errors.Is(err, errNoKey) && q.Cursor == "" {
			return nil // there never was a recording
		}
		if err != nil {
			return err
		}
		f, err := s.filter(q, k)
		if err != nil {
			return err
		}
		var last catalog.Position
		var agents []string
		if q.Agent != "" {
			agents = s.numbers.Readings(q.Agent)
		}
		return t.catalog().Scan(f, func(r catalog.Row) (more bool, err error) {
			sum, err := t.listed(r)
			if err != nil || !q.wants(sum) || !sum.hasAgent(agents) {
				return true, err
			}
			if len(page) == limit {
				cursor = q.cursor(k, last)
				return false, nil
			}
			page, last = append(page, sum), r.Position
			return true, nil
		})
	})
	if err != nil {
		return nil, "", err
	}
	for i, sum := range page {
		page[i] = s.withRights(sum)
	}
	return page, cursor, nil
}

// check refuses what can't be meant.
func (q Query) check() error {
	switch {
	case q.Limit < 0 || q.Limit > MaxPage:
		return fmt.Errorf("%w: a page of %d recordings; allowed: 1 to %d", ErrQuery, q.Limit, MaxPage)
	case !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To):
		return fmt.Errorf("%w: it is to end at %s, before it begins", ErrQuery, q.To.Format(time.RFC3339))
	case q.State != "" && stateCodes[q.State] == 0:
		return fmt.Errorf("%w: there is no state %q; allowed: %s, %s, %s", ErrQuery, q.State, StateRecording, StateSealed, StateTruncated)
	case q.Outcome != "" && outcomeCode(q.Outcome) == 0:
		return fmt.Errorf("%w: there is no outcome %q; allowed: %s", ErrQuery, q.Outcome, strings.Join(Outcomes(), ", "))
	case q.Direction != "" && directionCodes[q.Direction] == 0:
		return fmt.Errorf("%w: there is no direction %q; allowed: %s, %s", ErrQuery, q.Direction, consent.Inbound, consent.Outbound)
	}
	return nil
}

// filter is the query as the catalog knows it.
func (s *Store) filter(q Query, k key) (catalog.Filter, error) {
	f := catalog.Any()
	if !q.To.IsZero() {
		f.Before = catalog.Position{Start: nanoseconds(q.To)}
	}
	if !q.From.IsZero() {
		f.Since = nanoseconds(q.From)
	}
	if q.Cursor != "" {
		p, err := q.position(k)
		if err != nil {
			return f, err
		}
		f.Before = p // it is of this query, so before its To
	}
	numbers := func(spelling string) (hashes []uint64) {
		for _, n := range s.numbers.Readings(spelling) {
			hashes = append(hashes, hashedNumber(k, n))
		}
		return hashes
	}
	if q.Party != "" {
		f.Either = numbers(q.Party)
	}
	if q.Agent != "" {
		f.Local = numbers(q.Agent)
	}
	if q.Purpose != "" {
		f.Purpose(hashedName(k, "purpose", q.Purpose))
	}
	if q.Trunk != "" {
		f.Trunk(hashedName(k, "trunk", q.Trunk))
	}
	if q.State != "" {
		f.State(stateCodes[q.State])
	}
	if q.Outcome != "" {
		f.Outcome(outcomeCode(q.Outcome))
	}
	if q.Direction != "" {
		f.Direction(directionCodes[q.Direction])
	}
	if q.Held {
		f.Flag(flagHeld, true)
	}
	if q.Restricted {
		f.Flag(flagRestricted, true)
	}
	return f, nil
}

// nanoseconds since 1970, at most until 2262.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.After(time.Unix(0, catalog.End.Start)):
		return catalog.End.Start
	}
	return t.UnixNano()
}

// wants looks at what the catalog has hashes of only that may meet, or didn't note in
// earlier versions.
func (q Query) wants(s Summary) bool {
	return (q.Purpose == "" || s.Purpose == q.Purpose) && (q.Trunk == "" || s.Trunk == q.Trunk) &&
		(q.Outcome == "" || s.Outcome() == q.Outcome)
}

// hasAgent tells whether one of the numbers is the local party's; none: any is. The
// catalog doesn't tell on which side it was that another one answered.
func (s Summary) hasAgent(numbers []string) bool {
	return len(numbers) == 0 || slices.Contains(numbers, s.LocalNumber) ||
		s.answers() == consent.Local && slices.Contains(numbers, s.ConnectedNumber)
}

// listed reads what the catalog lists.
func (t keysTx) listed(r catalog.Row) (Summary, error) {
	id := idText.EncodeToString(r.ID[:])
	row, ok, err := getRow(t.Tx, id)
	if err != nil {
		return Summary{}, fmt.Errorf("recording %s: %w", id, err)
	}
	if !ok {
		return Summary{}, fmt.Errorf("recording %s is listed and isn't there", id)
	}
	return t.summary(id, row)
}

// errCursor is the answer to a cursor that Search didn't give, or not to this
// query.
var errCursor = fmt.Errorf("%w: its cursor is of another search, or none at all; begin without a cursor", ErrQuery)

const cursorSize = 8 + idSize + 16

// cursor says where a page ended, and by a keyed hash of which query.
func (q Query) cursor(k key, p catalog.Position) string {
	at := append(binary.BigEndian.AppendUint64(nil, uint64(p.Start)), p.ID[:]...)
	return idText.EncodeToString(append(at, q.mark(k, at)...))
}

func (q Query) position(k key) (p catalog.Position, err error) {
	b, err := idText.DecodeString(q.Cursor)
	if err != nil || len(b) != cursorSize || !hmac.Equal(b[8+idSize:], q.mark(k, b[:8+idSize])) {
		return p, errCursor
	}
	return catalog.Position{Start: int64(binary.BigEndian.Uint64(b)), ID: catalog.ID(b[8 : 8+idSize])}, nil
}

// mark ties a position to what is asked. Pages of one search may differ in length.
func (q Query) mark(k key, at []byte) []byte {
	q.Cursor, q.Limit, q.From, q.To = "", 0, q.From.UTC(), q.To.UTC()
	text, err := json.Marshal(q)
	if err != nil {
		text = nil // a year that has no place in JSON: such a query finds nothing twice
	}
	k = derive(k, forCursor, nil)
	mac := hmac.New(sha256.New, k[:])
	mac.Write(bytes.Join([][]byte{at, text}, nil))
	return mac.Sum(nil)[:16]
}

// forCursor is the label of the key that cursors are marked with.
const forCursor = "consentgate/2/cursor"

// Get returns a recording's summary.
func (s *Store) Get(id string) (Summary, error) {
	r, ok, err := s.row(id)
	if err != nil {
		return Summary{}, err
	}
	if !ok {
		return Summary{}, ErrNotFound
	}
	sum, err := s.keys.summary(id, r)
	if err != nil {
		return sum, err
	}
	return s.withRights(sum), nil
}
