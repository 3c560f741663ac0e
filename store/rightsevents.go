package store

import (
	"time"

	"consentgate/store/rights"
)

// Types of the entries that say what became of whose rights.
const (
	TypeHoldSet           = "hold.set" // a legal hold was put on a recording
	TypeHoldReleased      = "hold.released"
	TypeRestrictionSet    = "restriction.set" // a subject had a recording restricted
	TypeRestrictionLifted = "restriction.lifted"
	TypeErasureAsked      = "erasure.requested" // a recording is to be erased as soon as nothing keeps it
	TypeRequestReceived   = "request.received"  // a subject asked for something
	TypeRequestUpdated    = "request.updated"
	TypeRequestDone       = "request.done"     // carried out, or refused
	TypeRetentionRun      = "retention.run"    // recordings went because their time was over
	TypeRetentionBraked   = "retention.braked" // a run was stopped, or an officer confirmed it
)

// rightsEvent is the payload of the hold.*, restriction.* and erasure.requested
// entries.
type rightsEvent struct {
	Recording string        `json:"recording"`
	Grant     string        `json:"grant,omitempty"`
	ID        string        `json:"id,omitempty"` // of the hold or restriction
	By        string        `json:"by"`
	Reason    string        `json:"reason"`
	Case      string        `json:"case,omitempty"`
	Ground    rights.Ground `json:"ground,omitempty"`
	Request   string        `json:"request,omitempty"`
	Set       time.Time     `json:"set,omitzero"` // when what ends now was set
}

// requestEvent is the payload of the request.* entries. It names nobody but the
// officer.
type requestEvent struct {
	Request  string       `json:"request"`
	Kind     rights.Kind  `json:"kind"`
	State    rights.State `json:"state"`
	Received rights.Date  `json:"received"`
	Due      rights.Date  `json:"due"`
	By       string       `json:"by"`
	Reason   string       `json:"reason,omitempty"`
	Article  string       `json:"article,omitempty"` // of a refusal
	Carried  []string     `json:"carried,omitempty"` // commitments to the recordings that it was carried out on
	Left     int          `json:"left,omitempty"`    // recordings that it isn't carried out on yet
}

// retentionEvent is the payload of retention.run and retention.braked.
type retentionEvent struct {
	Erased   map[string]int `json:"erased,omitempty"` // by purpose
	Kept     int            `json:"kept,omitempty"`   // held or restricted beyond their time
	Requests int            `json:"requests,omitempty"`
	*Braked
	Confirmed bool   `json:"confirmed,omitempty"` // an officer lets the next run go on
	By        string `json:"by"`
	Reason    string `json:"reason,omitempty"`
}

// permitEvent is the payload of recording.played and recording.exported by a
// permit.
type permitEvent struct {
	Recording string `json:"recording"`
	By        string `json:"by"`
	Why       string `json:"why"` // evidence.LegalClaims or SubjectAccess
	Reason    string `json:"reason"`
	Case      string `json:"case,omitempty"`
	Request   string `json:"request,omitempty"`
}
