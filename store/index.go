package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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

// idBytes is the inverse.
func idBytes(id string) (raw [idSize]byte, err error) {
	b, err := idText.DecodeString(id)
	if err != nil || len(b) != idSize {
		return raw, fmt.Errorf("%q isn't a recording's name", id)
	}
	return [idSize]byte(b), nil
}

// numberIndex is the name of the key that numbers' tokens are made with.
const numberIndex = "number-index"

// tokenSize is enough that two numbers of a telephone network never meet.
const tokenSize = 16

// token is what a number is found by: a keyed hash. Without the key, which the
// root wraps, numbers can't be tried out.
func token(k key, number string) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(normalise(number)))
	return mac.Sum(nil)[:tokenSize]
}

// token is that of a number that is looked for.
func (s *Store) token(ctx context.Context, number string) ([]byte, error) {
	k, err := s.keys.system(ctx, numberIndex)
	if err != nil {
		return nil, err
	}
	return token(k, number), nil
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

// numberKey sorts a number's recordings by time.
func numberKey(token []byte, start int64, id string) []byte {
	k := append(make([]byte, 0, len(token)+8+len(id)), token...)
	return append(append(k, timeKey(start)...), id...)
}

// index puts a recording's row and what it is found by.
func (t keysTx) index(id string, r row, sum Summary) error {
	k, err := t.need(bSystem, asSystemKey, numberIndex)
	if err != nil {
		return err
	}
	err = errors.Join(t.put(id, r, sum),
		t.Bucket(bTime).Put(append(timeKey(r.Start), id...), nil),
		t.Bucket(bGrant).Put(r.Grant[:], []byte(id)))
	for _, number := range []string{sum.Remote, sum.Local} {
		err = errors.Join(err, t.Bucket(bNumber).Put(numberKey(token(k, number), r.Start, id), nil))
	}
	return err
}

// unindex takes all of it away again. The grant's key stays.
func (t keysTx) unindex(id string, r row) error {
	sum, err := t.summary(id, r)
	if err != nil {
		return err
	}
	k, err := t.need(bSystem, asSystemKey, numberIndex)
	if err != nil {
		return err
	}
	err = errors.Join(t.Bucket(bRecording).Delete([]byte(id)),
		t.Bucket(bTime).Delete(append(timeKey(r.Start), id...)),
		t.Bucket(bGrant).Delete(r.Grant[:]))
	for _, number := range []string{sum.Remote, sum.Local} {
		err = errors.Join(err, t.Bucket(bNumber).Delete(numberKey(token(k, number), r.Start, id)))
	}
	return err
}

// forget takes a recording's rows away. What the log has of its grant stays, and
// so does the grant's key: both go on the day on which the recording would have.
func (s *Store) forget(ctx context.Context, id string) error {
	return s.keys.update(ctx, func(t keysTx) error {
		r, ok, err := getRow(t.Tx, id)
		if err != nil || !ok {
			return err
		}
		return t.unindex(id, r)
	})
}
