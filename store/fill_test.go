package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/catalog"
)

// fillIn is a recording for fill.
type fillIn struct {
	call    consent.Call
	purpose consent.Purpose
	start   time.Time
	length  time.Duration
	state   string
	reason  string
	bytes   int64
	end     int64
}

// fill writes the rows of n recordings in their final state as the gate does, but
// many in one transaction: what lies by id in the order of ids, which spares the
// disk, then the catalog in the order of time, in which it comes to be. The i-th
// must begin after the one before.
func (s *Store) fill(n int, recording func(i int) fillIn) error {
	ids, grants := make([]string, n), make([]consent.Hash, n)
	for i := range ids {
		ids[i], _ = newID()
		rand.Read(grants[i][:])
	}
	slices.Sort(ids)
	slices.SortFunc(grants, func(a, b consent.Hash) int { return bytes.Compare(a[:], b[:]) })
	at := make([]int, n) // the place among ids of the i-th recording
	for i := range at {
		at[i] = i
	}
	mathrand.Shuffle(n, func(a, b int) { at[a], at[b] = at[b], at[a] })
	which := make([]int, n)
	for i, j := range at {
		which[j] = i
	}
	read := map[string]string{} // reading a number takes longer than all else
	number := func(trunk, spelling string) string {
		at := trunk + "\x00" + spelling
		if read[at] == "" {
			read[at] = s.numbers.Of(trunk).Read(spelling)
		}
		return read[at]
	}
	row := func(i int) (string, row, Summary, consent.Purpose) {
		f, j := recording(i), at[i]
		rec := consent.Record{Call: f.call, Purpose: f.purpose}
		sum := summaryOf(ids[j], rec, f.start)
		sum.RemoteNumber, sum.LocalNumber, sum.Region = number(sum.Trunk, sum.Remote), number(sum.Trunk, sum.Local), s.numbers.Of(sum.Trunk).Region
		sum.Grant, sum.State, sum.Reason, sum.Bytes = grants[j], f.state, f.reason, f.bytes
		sum.Ended, sum.Seconds = sum.Started.Add(f.length), f.length.Seconds()
		return ids[j], row{Grant: grants[j], Start: f.start.UnixNano(), End: f.end, Salt: make([]byte, len(key{}))}, sum, f.purpose
	}
	inTurn := func(do func(t keysTx, j int) error) error {
		for from := 0; from < n; from += 20_000 {
			if err := s.keys.update(context.Background(), func(t keysTx) error {
				for _, name := range [][]byte{bRecording, bGrantKey, bGrant} {
					t.Bucket(name).FillPercent = 0.7 // as full as pages are that rows come to in any order
				}
				for j := from; j < min(from+20_000, n); j++ {
					if err := do(t, j); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.Join(inTurn(func(t keysTx, j int) error {
		id, r, sum, purpose := row(which[j])
		_, err := t.needGrant(r.Grant, id, bucketOf(purpose, sum.Started))
		rand.Read(r.Salt)
		return errors.Join(err, t.write(id, r, sum), t.Bucket(bGrant).Put(r.Grant[:], []byte(id)))
	}), inTurn(func(t keysTx, i int) error {
		id, r, sum, _ := row(i)
		return t.list(id, r, sum)
	}))
}

// shape is all that keys.db has of a recording, but for what is random.
func (t keysTx) shape(id string) (string, error) {
	r, ok, err := getRow(t.Tx, id)
	if err != nil || !ok {
		return "", errors.Join(err, ErrNotFound)
	}
	sum, err := t.summary(id, r)
	if err != nil {
		return "", err
	}
	_, g, err := t.grantKey(r.Grant)
	if err != nil {
		return "", err
	}
	named := string(t.Bucket(bGrant).Get(r.Grant[:])) == id
	var listed []catalog.Row
	if err := t.catalog().Scan(catalog.Any(), func(c catalog.Row) (bool, error) {
		if idText.EncodeToString(c.ID[:]) == id {
			c.ID = catalog.ID{}
			listed = append(listed, c)
		}
		return true, nil
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("row %d %d, salt %d, wrapped %d, summary %d; grant %v %d %s %d; %v; %+v %+v", r.Start, r.End, len(r.Salt), len(r.Wrapped),
		len(r.Summary), g.ID == id, len(g.ID), g.Bucket, len(g.Wrapped), named, listed, withoutNames(sum)), nil
}

func withoutNames(s Summary) Summary {
	s.ID, s.Grant = "", consent.Hash{}
	return s
}

// TestFilledRowsAreThoseOfTheGate: what the benchmark fills in is what Create and
// Seal leave.
func TestFilledRowsAreThoseOfTheGate(t *testing.T) {
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	ctx := context.Background()
	call := consent.Call{ID: "a-call", Trunk: "main", Direction: consent.Inbound, Remote: filledNumber, Local: "201"}
	rec := recordOf(t, s, call)
	must(t, rec.Seal(time.Now(), "hang-up"))
	made, ok, err := s.row(rec.ID())
	must(t, err)
	sum, err := s.Get(rec.ID())
	if must(t, err); !ok || sum.State != StateSealed {
		t.Fatalf("%+v", sum)
	}
	purpose := consent.Purpose{Name: sum.Purpose, Retention: 90 * 24 * time.Hour}
	must(t, s.fill(1, func(int) fillIn {
		return fillIn{call: call, purpose: purpose, start: time.Unix(0, made.Start), length: sum.Ended.Sub(sum.Started), state: sum.State,
			reason: sum.Reason, bytes: sum.Bytes, end: made.End}
	}))
	page, _, err := s.Search(Query{})
	must(t, err)
	var shapes []string
	for _, sum := range page {
		must(t, s.keys.view(func(k keysTx) error {
			text, err := k.shape(sum.ID)
			shapes = append(shapes, text)
			return err
		}))
	}
	if len(shapes) != 2 || shapes[0] != shapes[1] {
		t.Errorf("%q", shapes)
	}
	must(t, s.Erase(ctx, page[0].Grant, "asked"))
	must(t, s.Erase(ctx, page[1].Grant, "asked"))
}

// recordOf records a call, by the way that the gate goes.
func recordOf(t *testing.T, s *Store, call consent.Call) *Recording {
	t.Helper()
	policy := &consent.Policy{Name: "p", Action: consent.Ask, Parties: []consent.Party{consent.Remote}, Accept: '1', Decline: '2', Attempts: 1,
		Purpose: consent.Purpose{Name: "training", Retention: 90 * 24 * time.Hour}}
	session := consent.NewSession(&call, policy, s.Audit())
	session.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	session.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := session.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	commit := slices.IndexFunc(acts, func(a consent.Act) bool { return a.Do == consent.Commit })
	if commit < 0 {
		t.Fatalf("%+v", acts)
	}
	acts, _ = session.Step(session.Commit(context.Background(), acts[commit].Record))
	create := slices.IndexFunc(acts, func(a consent.Act) bool { return a.Do == consent.Create })
	if create < 0 {
		t.Fatalf("%+v", acts)
	}
	r, err := s.Create(context.Background(), acts[create].Grant)
	must(t, err)
	return r
}
