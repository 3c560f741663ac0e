package consent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"
)

var (
	errUnknownParty = errors.New("consent: a party is remote or local")
	errBadHash      = errors.New("consent: a hash is 64 hexadecimal digits")
	errBadKey       = errors.New("consent: a key is one of 0-9, *, #, A-D")
)

// Key is a telephone key: 0-9, *, # or A-D. It marshals as that character.
type Key byte

// ParseKey reads a one-character key.
func ParseKey(s string) (Key, error) {
	if len(s) == 1 && Key(s[0]).Valid() {
		return Key(s[0]), nil
	}
	return 0, errBadKey
}

// Valid reports whether a telephone has such a key.
func (k Key) Valid() bool {
	return k >= '0' && k <= '9' || k == '*' || k == '#' || k >= 'A' && k <= 'D'
}

func (k Key) MarshalText() ([]byte, error) {
	if k == 0 {
		return nil, nil
	}
	return []byte{byte(k)}, nil
}

// UnmarshalText is the inverse of MarshalText.
func (k *Key) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*k = 0
		return nil
	}
	*k, err = ParseKey(string(b))
	return err
}

// Press is a key and how it reached us: part of the evidence.
type Press struct {
	Key      Key           `json:"key"`
	Via      string        `json:"via"`                // "rfc4733", "info" or "inband"; "rfc4733+info" where it came by more ways
	SSRC     uint32        `json:"ssrc,omitempty"`     // of the RTP stream that carried it
	RTPTime  uint32        `json:"rtp_time,omitempty"` // RFC 4733 section 2.1: the event's start
	Duration time.Duration `json:"duration,omitempty"` // as reported when the key counted
	End      bool          `json:"end_bit"`            // RFC 4733 section 2.3.2: E bit seen by then
	At       time.Time     `json:"at"`                 // arrival here
}

// Heard is what a party was told, and how much of it reached them.
type Heard struct {
	Prompt   string        `json:"prompt"` // the prompt's name
	SHA256   Hash          `json:"sha256"` // of the audio played: 16-bit little-endian PCM at 8 kHz
	Language string        `json:"language"`
	Heard    time.Duration `json:"heard"`
	Complete bool          `json:"complete"` // the whole of it was sent to the party
}

// Answer is one party's yes.
type Answer struct {
	Party   Party `json:"party"`
	Heard   Heard `json:"heard"`
	Press   Press `json:"press"`
	Attempt int   `json:"attempt"` // 1 for the first time asked
	Early   int   `json:"early"`   // keys pressed before the prompt's end, which didn't count
}

// Call is what a record says of the call. Remote and Local are personal data.
type Call struct {
	ID         string     `json:"id"`      // the gate's own, unique
	CallID     string     `json:"call_id"` // SIP Call-ID, RFC 3261 section 8.1.1.4
	Node       string     `json:"node"`
	Trunk      string     `json:"trunk"`
	Direction  Direction  `json:"direction"`
	Remote     string     `json:"remote"`              // number or address of record, carrier side
	Local      string     `json:"local"`               // the same, PBX side
	Connected  string     `json:"connected,omitempty"` // who answered, where that is somebody else than was called
	Diverted   string     `json:"diverted,omitempty"`  // who was called first (RFC 5806, RFC 7044)
	Withheld   bool       `json:"withheld,omitempty"`  // the caller asked that its number be kept from the called party (RFC 3323)
	Controller Controller `json:"controller"`
	Started    time.Time  `json:"started"`
}

// Called is the party that was called.
func (c Call) Called() Party {
	if c.Direction == Outbound {
		return Remote
	}
	return Local
}

// Kind is what a Record testifies to.
type Kind string

const (
	Granted   Kind = "granted"   // every party asked said yes
	Declined  Kind = "declined"  // a party pressed the decline key
	Silent    Kind = "silent"    // no answer to the last attempt
	WrongKey  Kind = "wrong_key" // another key at the last attempt
	HungUp    Kind = "hung_up"   // the call ended before an answer
	Failed    Kind = "failed"    // not recorded for a reason of ours; with Grant set, it closes that grant
	Bypassed  Kind = "bypassed"  // the policy asks nobody
	Withdrawn Kind = "withdrawn" // GDPR Art. 7(3)
	Paused    Kind = "paused"
	Resumed   Kind = "resumed"
)

// Record is one piece of evidence (GDPR Art. 7(1)). It is written once and
// never changed.
type Record struct {
	Kind       Kind      `json:"kind"`
	At         time.Time `json:"at"`
	Call       Call      `json:"call"`
	Policy     string    `json:"policy"`
	PolicyHash Hash      `json:"policy_hash"`
	Purpose    Purpose   `json:"purpose"`
	Parties    []Party   `json:"parties,omitempty"` // who had to say yes
	Answers    []Answer  `json:"answers,omitempty"` // the answers there were
	Party      *Party    `json:"party,omitempty"`   // whose act it is, where it is one party's, or whom it is done for
	By         string    `json:"by,omitempty"`      // who did it at the console, in the party's stead
	Grant      *Hash     `json:"grant,omitempty"`   // the Granted record that this one acts on
	// Continues is the Granted record of the segment before, where a party
	// changed during the call.
	Continues *Hash  `json:"continues,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// Encode gives the bytes that are stored and hashed.
func (r Record) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil { // no field of Record can fail to marshal
		panic("consent: internal error: " + err.Error())
	}
	return b
}

// Hash names the record: SHA-256 of Encode.
func (r Record) Hash() Hash { return Hash(sha256.Sum256(r.Encode())) }

// Ledger keeps records for good.
type Ledger interface {
	// Append returns the record's index only after the record is on stable
	// storage. An error, or no return at all, means: not durable, so nothing
	// that depends on the record may happen. Safe for concurrent use.
	Append(ctx context.Context, r Record) (index uint64, err error)
}
