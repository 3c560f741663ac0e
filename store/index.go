package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// States of a recording.
const (
	StateRecording = "recording"
	StateSealed    = "sealed"
	StateTruncated = "truncated" // it ends before the call did, for a reason of ours
)

// Summary is what is known of a recording without its audio. Remote and Local
// are personal data.
type Summary struct {
	ID        string            `json:"id"`
	Call      string            `json:"call"`
	Grant     consent.Hash      `json:"grant"`
	Trunk     string            `json:"trunk"`
	Direction consent.Direction `json:"direction"`
	Remote    string            `json:"remote"`
	Local     string            `json:"local"`
	Purpose   string            `json:"purpose"`
	State     string            `json:"state"`
	Reason    string            `json:"reason,omitempty"`
	Started   time.Time         `json:"started"`
	Ended     time.Time         `json:"ended,omitzero"`
	Seconds   float64           `json:"seconds"`
	Bytes     int64             `json:"bytes"`
}

func summaryOf(id string, rec consent.Record, start time.Time) Summary {
	return Summary{ID: id, Call: rec.Call.ID, Grant: rec.Hash(), Trunk: rec.Call.Trunk, Direction: rec.Call.Direction,
		Remote: rec.Call.Remote, Local: rec.Call.Local, Purpose: rec.Purpose.Name, State: StateRecording, Started: start.UTC()}
}

var idText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID makes a recording's name: 128 random bits.
func newID() (string, [idSize]byte) {
	var raw [idSize]byte
	rand.Read(raw[:])
	return idText.EncodeToString(raw[:]), raw
}

func firstFrame(g consent.Grant, start time.Time) ([]byte, error) {
	b, err := json.Marshal(meta{Grant: g.Hash(), Record: g.Record(), Started: start.UTC()})
	if err != nil {
		return nil, err
	}
	return appendRecord(nil, content{kind: recMeta, data: b}), nil
}

// tokenSize is enough that two numbers of a telephone network never meet.
const tokenSize = 16

// token is what a number is found by: a keyed hash. Without the key, which the
// root wraps, numbers can't be tried out.
func (s *Store) token(ctx context.Context, number string) ([]byte, error) {
	k, err := s.keys.system(ctx, "number-index")
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(normalise(number)))
	return mac.Sum(nil)[:tokenSize], nil
}

// normalise makes one spelling of many: URI schemes, hosts and parameters and
// visual separators go, 00 becomes +.
func normalise(number string) string {
	n := strings.ToLower(strings.TrimSpace(number))
	if _, uri, ok := strings.Cut(n, "<"); ok { // RFC 3261 section 20.10: name and address
		n, _, _ = strings.Cut(uri, ">")
	}
	for _, scheme := range []string{"sip:", "sips:", "tel:"} {
		n = strings.TrimPrefix(n, scheme)
	}
	n, _, _ = strings.Cut(n, ";")
	if user, _, ok := strings.Cut(n, "@"); ok {
		n = user
	}
	digits := strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "", "/", "").Replace(n)
	if strings.Trim(digits, "+0123456789*#") != "" {
		return n // a name
	}
	if rest, ok := strings.CutPrefix(digits, "00"); ok {
		digits = "+" + rest
	}
	return digits
}

// found is what a recording is found by, apart from its id.
type found struct {
	row    row
	tokens [][]byte
}

// foundBy makes it; outside of a transaction, for it may have to make keys.
func (s *Store) foundBy(ctx context.Context, r row, remote, local string) (found, error) {
	f := found{row: r}
	for _, number := range []string{remote, local} {
		t, err := s.token(ctx, number)
		if err != nil {
			return f, err
		}
		f.tokens = append(f.tokens, t)
	}
	return f, nil
}

// numberKey sorts a number's recordings by time.
func numberKey(token []byte, start int64, id string) []byte {
	k := append(make([]byte, 0, len(token)+8+len(id)), token...)
	return append(append(k, timeKey(start)...), id...)
}

// index puts a recording's row and what it is found by.
func (f found) index(tx *bolt.Tx, id string) error {
	err := errors.Join(putRow(tx, id, f.row),
		tx.Bucket(bTime).Put(append(timeKey(f.row.Start), id...), nil),
		tx.Bucket(bGrant).Put(f.row.Grant[:], []byte(id)))
	for _, t := range f.tokens {
		err = errors.Join(err, tx.Bucket(bNumber).Put(numberKey(t, f.row.Start, id), nil))
	}
	return err
}

// unindex takes all of it away again.
func (f found) unindex(tx *bolt.Tx, id string) error {
	err := errors.Join(tx.Bucket(bRecording).Delete([]byte(id)),
		tx.Bucket(bTime).Delete(append(timeKey(f.row.Start), id...)),
		tx.Bucket(bGrant).Delete(f.row.Grant[:]))
	for _, t := range f.tokens {
		err = errors.Join(err, tx.Bucket(bNumber).Delete(numberKey(t, f.row.Start, id)))
	}
	return err
}

// foundOf makes it from a recording's row.
func (s *Store) foundOf(ctx context.Context, id string, r row) (found, error) {
	sum, err := s.keys.summary(id, r)
	if err != nil {
		return found{}, err
	}
	return s.foundBy(ctx, r, sum.Remote, sum.Local)
}

// forget takes a recording's rows away.
func (s *Store) forget(ctx context.Context, id string) error {
	r, ok, err := s.row(id)
	if err != nil || !ok {
		return err
	}
	f, err := s.foundOf(ctx, id, r)
	if err != nil {
		return err
	}
	return s.keys.commit(ctx, func(tx *bolt.Tx) error { return f.unindex(tx, id) })
}
