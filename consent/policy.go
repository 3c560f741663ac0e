package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Direction says which way a call was set up through the trunk.
type Direction string

const (
	Any      Direction = "any" // in a Policy only
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
)

// Party is one of the two people on a call, as seen from the call centre.
type Party uint8

const (
	Remote Party = iota // the carrier's side: the public
	Local               // the PBX's side: the agent
)

// Other returns the party at the far end.
func (p Party) Other() Party { return 1 - p }

func (p Party) String() string {
	if p == Local {
		return "local"
	}
	return "remote"
}

// MarshalText gives "remote" or "local", the words of the configuration.
func (p Party) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Party) UnmarshalText(b []byte) error {
	switch string(b) {
	case "remote":
		*p = Remote
	case "local":
		*p = Local
	default:
		return errUnknownParty
	}
	return nil
}

// Action is what a policy does with the calls that it matches.
type Action string

const (
	Ask    Action = "ask"    // the parties are asked
	Bypass Action = "bypass" // nobody is asked, nothing is recorded
)

// When a party is asked.
const (
	Answered = "answer" // after the called party has answered
	Ring     = "ring"   // the caller, before the called party is rung
)

// OnRefusal is what becomes of a call whose recording nobody agreed to.
type OnRefusal string

const (
	Connect    OnRefusal = "connect" // the call goes on, unrecorded
	Disconnect OnRefusal = "hangup"
)

// OnWithdrawal is what becomes of what was recorded before a withdrawal
// (GDPR Art. 7(3): withdrawal doesn't make the earlier processing unlawful).
type OnWithdrawal string

const (
	Keep  OnWithdrawal = "keep"
	Erase OnWithdrawal = "erase"
)

// Purpose is what a recording may be used for (GDPR Art. 5(1)(b)).
type Purpose struct {
	Name      string            `json:"name"`
	Text      map[string]string `json:"text"` // language to the words that the prompt says
	Retention time.Duration     `json:"retention"`
}

// Controller decides the purposes and answers for them (GDPR Art. 4(7)).
type Controller struct {
	Name    string `json:"name"`
	Contact string `json:"contact"`
}

// Policy rules the calls that it matches. It isn't changed once a call uses it.
type Policy struct {
	Name         string        `json:"name"`
	Direction    Direction     `json:"direction"`
	Numbers      []string      `json:"numbers,omitempty"` // called numbers; "*" at the end is a prefix; none: every number
	Action       Action        `json:"action"`
	Purpose      Purpose       `json:"purpose"`
	Parties      []Party       `json:"parties"` // who must say yes
	When         string        `json:"when"`
	Language     string        `json:"language"`
	Prompt       string        `json:"prompt"`
	Accept       Key           `json:"accept"`
	Decline      Key           `json:"decline"`
	BargeIn      bool          `json:"barge_in"` // an accept key counts before the prompt's end
	Timeout      time.Duration `json:"timeout"`  // silence allowed after the prompt
	Attempts     int           `json:"attempts"`
	OnRefusal    OnRefusal     `json:"on_refusal"`
	Withdraw     string        `json:"withdraw"` // key sequences during the call; "" is none
	OnWithdrawal OnWithdrawal  `json:"on_withdrawal"`
	Pause        string        `json:"pause"`
	Resume       string        `json:"resume"`
}

// Asks reports whether the policy wants a yes from p.
func (pol *Policy) Asks(p Party) bool {
	for _, q := range pol.Parties {
		if q == p {
			return true
		}
	}
	return false
}

// Hash names this exact policy in the evidence.
func (pol *Policy) Hash() Hash {
	b, err := json.Marshal(pol)
	if err != nil { // no field of Policy can fail to marshal
		panic("consent: internal error: " + err.Error())
	}
	return Hash(sha256.Sum256(b))
}

// Policies are tried in order; the first that matches rules the call.
type Policies []*Policy

// Match returns the policy for a call to the called number, or nil: such a
// call is neither asked nor recorded. The emergency service URN (RFC 5031) is
// matched by a bypass policy that lists it or a prefix of it.
func (ps Policies) Match(d Direction, called string) *Policy {
	called = normalise(called)
	for _, p := range ps {
		if (p.Direction == Any || p.Direction == "" || p.Direction == d) && p.matches(called) {
			return p
		}
	}
	return nil
}

func (pol *Policy) matches(called string) bool {
	if len(pol.Numbers) == 0 {
		return true
	}
	for _, n := range pol.Numbers {
		prefix, isPrefix := strings.CutSuffix(n, "*")
		prefix = normalise(prefix)
		if called == prefix || isPrefix && strings.HasPrefix(called, prefix) {
			return true
		}
	}
	return false
}

// separators are RFC 3966's.
var separators = strings.NewReplacer("-", "", ".", "", "(", "", ")", "", " ", "")

// normalise takes the visual separators out of a telephone number
// (RFC 3966 section 5.1.1) and leaves other names as they are but for case.
func normalise(number string) string {
	if strings.ContainsAny(number, ":@") {
		return strings.ToLower(number)
	}
	return strings.ToLower(separators.Replace(number))
}

// Hash is a SHA-256.
type Hash [sha256.Size]byte

func (h Hash) String() string               { return hex.EncodeToString(h[:]) }
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (h *Hash) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(h) {
		return errBadHash
	}
	copy(h[:], raw)
	return nil
}
