package store

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"consentgate/consent"
	"consentgate/store/phone"
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
	Connected string            `json:"connected,omitempty"` // who answered instead of who was called
	Purpose   string            `json:"purpose"`
	State     string            `json:"state"`
	Reason    string            `json:"reason,omitempty"`
	Started   time.Time         `json:"started"`
	Ended     time.Time         `json:"ended,omitzero"`
	Seconds   float64           `json:"seconds"`
	Bytes     int64             `json:"bytes"`

	// What the recording is found by: the parties' numbers as they were read when
	// it was made, and the country that national ones were completed for.
	RemoteNumber string `json:"remote_number"`
	LocalNumber  string `json:"local_number"`
	// ConnectedNumber is who was on the line in the called party's place; "": that one was.
	ConnectedNumber string `json:"connected_number,omitempty"`
	Region          string `json:"region,omitempty"`

	// Retention is the one that was told at the consent; 0 where an earlier version
	// didn't note it.
	Retention time.Duration `json:"retention,omitempty"`

	// What follows is of the moment of reading, and never kept.
	Until      time.Time `json:"until,omitzero"`       // when its retention is over, as far as is known now
	Held       bool      `json:"held,omitempty"`       // by a legal hold
	Restricted bool      `json:"restricted,omitempty"` // it may be used by a Permit only
}

func summaryOf(id string, rec consent.Record, start time.Time) Summary {
	return Summary{ID: id, Call: rec.Call.ID, Grant: rec.Hash(), Trunk: rec.Call.Trunk, Direction: rec.Call.Direction,
		Remote: rec.Call.Remote, Local: rec.Call.Local, Connected: rec.Call.Connected, Purpose: rec.Purpose.Name, State: StateRecording, Started: start.UTC(),
		Retention: rec.Purpose.Retention}
}

// read reads the parties' numbers.
func (s *Summary) read(numbers phone.Book) {
	rules := numbers.Of(s.Trunk)
	s.RemoteNumber, s.LocalNumber, s.Region = rules.Read(s.Remote), rules.Read(s.Local), rules.Region
	if s.Connected == "" {
		return
	}
	if n := rules.Read(s.Connected); n != s.called() {
		s.ConnectedNumber = n
	}
}

// answers is the party that was called.
func (s Summary) answers() consent.Party { return consent.Call{Direction: s.Direction}.Called() }

// called is the number that was called.
func (s Summary) called() string {
	if s.answers() == consent.Remote {
		return s.RemoteNumber
	}
	return s.LocalNumber
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

// CheckID says whether a text can be a recording's name.
func CheckID(id string) error {
	_, err := idBytes(id)
	return err
}

// index puts a recording's row and what it is found by.
func (t keysTx) index(id string, r row, sum Summary) error {
	return errors.Join(t.put(id, r, sum), t.Bucket(bGrant).Put(r.Grant[:], []byte(id)))
}

// unindex takes all of it away again, and says which key what the catalog had of
// it goes with. The grant's key stays.
func (t keysTx) unindex(id string, r row) (kek string, err error) {
	kek, err = t.unlist(id, r)
	return kek, errors.Join(err, t.Bucket(bRecording).Delete([]byte(id)), t.Bucket(bRights).Delete([]byte(id)), t.Bucket(bGrant).Delete(r.Grant[:]))
}

// forget takes a recording's rows away. What the log has of its grant stays, and
// so does the grant's key: both go on the day on which the recording would have.
func (s *Store) forget(ctx context.Context, id string) error {
	return s.keys.update(ctx, func(t keysTx) error {
		r, ok, err := getRow(t.Tx, id)
		if err != nil || !ok {
			return err
		}
		_, err = t.unindex(id, r)
		return err
	})
}
