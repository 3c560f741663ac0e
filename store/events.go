package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Types of audit entries. A type stands in the leaf, which everyone may see.
const (
	TypeConsent  = "consent"           // a consent.Record
	TypeStarted  = "recording.started" // a recorder was made for a grant
	TypeAnchor   = "recording.anchor"  // how far the running recordings have come
	TypeSealed   = "recording.sealed"  // a recording is complete, or as complete as it gets
	TypeFailed   = "recording.failed"  // a grant that led to no recording
	TypeErased   = "recording.erased"  // a recording's key and file are gone, and what the log said of it
	TypeNodeUp   = "node.start"        // the gate started
	TypeNodeDown = "node.stop"         // the gate stopped in order
	TypeConfig   = "config.changed"    // it has another configuration than before
	TypeClock    = "clock.jumped"      // the clock was set while it ran, or is behind the log
	TypeConflict = "witness.conflict"  // a witness saw another history than the log's
	TypeDiskLow  = "disk.low"          // the disk has less room than it should
	TypeDiskOK   = "disk.ok"           // it has enough again
	TypeLogin    = "user.login"        // somebody logged in
	TypeLoginBad = "user.failed"       // somebody couldn't
	TypeUnwrap   = "unwrap.failed"     // keys, entries or recordings didn't open
	TypeAlarm    = "alarm.raised"      // a rule of package breach found something
	TypeLogTaken = "audit.exported"    // somebody took the log out
	TypeCompact  = "store.compacted"   // a database was written anew, without the pages that it no longer used
	TypeApproval = "approval"          // an act that two people have to agree on was asked for, or decided
)

// Event is the payload of an entry that somebody notes. What it says is sealed;
// of its kind only the type shows.
type Event interface{ entryType() string }

// Note logs an event and returns when it is on stable storage, or with ctx's
// error; it may then still become durable. Safe for concurrent use.
func (a *Audit) Note(ctx context.Context, e Event) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := a.append(ctx, newEntry{kind: e.entryType(), payload: payload}); err != nil {
		return fmt.Errorf("logging %s: %w", e.entryType(), err)
	}
	return nil
}

// NoteOf logs an event that names a recording, and goes with it. ErrNotFound.
func (s *Store) NoteOf(ctx context.Context, recording string, e Event) error {
	sum, err := s.Get(recording)
	if err != nil {
		return err
	}
	if err := s.audit.appendOf(ctx, e.entryType(), e, sum.Grant); err != nil {
		return fmt.Errorf("logging %s: %w", e.entryType(), err)
	}
	return nil
}

// NodeStart says that the gate opened the log, and as what.
type NodeStart struct {
	Node    string `json:"node"`
	Version string `json:"version,omitempty"` // of the program
	Config  string `json:"config,omitempty"`  // SHA-256 of the configuration file, in hex
}

// NodeStop says that the gate closed the log in order.
type NodeStop struct {
	Node string `json:"node"`
}

// ConfigChanged says that the configuration file isn't the one that the log heard of
// before. The hashes are SHA-256, in hex: whoever keeps the files can tell which.
type ConfigChanged struct {
	Before string `json:"before"`
	After  string `json:"after"`
	Part   string `json:"part,omitempty"` // what of it counts until the next start; "": all
}

// ClockJumped says that times in the log are off from here on, or no longer are.
type ClockJumped struct {
	Was     time.Time `json:"was"`     // what time it should have been by the machine's own running, or the log's last entry
	Is      time.Time `json:"is"`      // what the clock said
	Seconds float64   `json:"seconds"` // Is - Was
	Seen    string    `json:"seen"`    // "running": between two looks; "start": against the log's last entry
}

// WitnessConflict says that a witness keeps a checkpoint that the log doesn't
// continue: one of the two was rewritten or put back.
type WitnessConflict struct {
	Witness string `json:"witness"`        // as the configuration calls it
	Size    int64  `json:"size"`           // entries that the witness saw
	Root    string `json:"root,omitempty"` // base64, where the witness tells
	Reason  string `json:"reason"`
}

// Login says that a user of the console got in. By is the user's name.
type Login struct {
	By   string `json:"by"`
	Via  string `json:"via,omitempty"`  // "password", "token" or "oidc"
	From string `json:"from,omitempty"` // the address that it came from
}

// LoginFailed says that somebody didn't. As is the name that was given, as far
// as there is such a user: what else is typed there may be a password.
type LoginFailed struct {
	As     string `json:"as,omitempty"`
	From   string `json:"from,omitempty"` // the address that it came from
	Reason string `json:"reason"`
}

// UnwrapFailed says that things which are kept sealed didn't open since the last
// such entry, and how often, by what they are: a damaged disk, another root key,
// or somebody who tries.
type UnwrapFailed struct {
	Failed map[string]int `json:"failed"`
}

// AlarmRaised says that a rule found something in the log. It names no recording,
// for it outlasts them: Entry does as long as that is there.
type AlarmRaised struct {
	Rule   string    `json:"rule"`
	Entry  int64     `json:"entry"`            // the one that was too much
	At     time.Time `json:"at"`               // of that entry
	By     string    `json:"by,omitempty"`     // the user it is about
	Count  int       `json:"count,omitempty"`  // of what, the rule knows
	Within float64   `json:"within,omitempty"` // seconds
}

// LogTaken says that somebody took the log out.
type LogTaken struct {
	By       string `json:"by"`
	Payloads bool   `json:"payloads"` // what the entries say went along, in the clear
}

// Compacted says that a database was written anew, row by row and without the pages
// that it no longer used, and how many bytes its file has. What it says is the same.
type Compacted struct {
	Database string `json:"database"` // the file's name
	Before   int64  `json:"before"`
	After    int64  `json:"after"`
}

// Approval says that an act that two people have to agree on came a step further.
// By is who asked for it; Second who decided, where somebody did. It is of a
// recording or of a request; what names a recording goes with it: NoteOf.
type Approval struct {
	ID        string `json:"id"`
	Act       string `json:"act"` // export, erase, bundle, carry_out
	Recording string `json:"recording,omitempty"`
	Request   string `json:"request,omitempty"`
	Form      string `json:"form,omitempty"`
	Why       string `json:"why,omitempty"` // the purpose of an export
	To        string `json:"to,omitempty"`
	State     string `json:"state"` // pending, approved, rejected
	By        string `json:"by"`
	Reason    string `json:"reason,omitempty"` // of who acts: By where it is pending, else Second
	Second    string `json:"second,omitempty"`
}

func (NodeStart) entryType() string       { return TypeNodeUp }
func (NodeStop) entryType() string        { return TypeNodeDown }
func (ConfigChanged) entryType() string   { return TypeConfig }
func (ClockJumped) entryType() string     { return TypeClock }
func (WitnessConflict) entryType() string { return TypeConflict }
func (Login) entryType() string           { return TypeLogin }
func (LoginFailed) entryType() string     { return TypeLoginBad }
func (UnwrapFailed) entryType() string    { return TypeUnwrap }
func (AlarmRaised) entryType() string     { return TypeAlarm }
func (LogTaken) entryType() string        { return TypeLogTaken }
func (Compacted) entryType() string       { return TypeCompact }
func (Approval) entryType() string        { return TypeApproval }

// decodePayload reads an entry's payload where there is one.
func decodePayload(e Entry, v any) bool {
	return e.Payload != nil && json.Unmarshal(e.Payload, v) == nil
}

// recordingEvent is the payload of the recording.* entries that recorders make.
type recordingEvent struct {
	Recording string      `json:"recording,omitempty"`
	Grant     string      `json:"grant"`
	Call      string      `json:"call,omitempty"`
	Frames    uint64      `json:"frames,omitempty"`
	Bytes     int64       `json:"bytes,omitempty"`
	Hash      string      `json:"hash,omitempty"` // running SHA-256 over the frames
	Seconds   float64     `json:"seconds,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Truncated bool        `json:"truncated,omitempty"`
	Gaps      *loggedGaps `json:"gaps,omitempty"`     // of recording.sealed; those of earlier versions have none
	File      string      `json:"file,omitempty"`     // SHA-256 of the sealed file
	Size      int64       `json:"size,omitempty"`     // its bytes
	Payloads  []int64     `json:"payloads,omitempty"` // of recording.erased: the entries whose payloads went with it
}

// anchorEvent is the payload of recording.anchor.
type anchorEvent struct {
	Running []anchored `json:"running"`
}

type anchored struct {
	Recording string `json:"recording"`
	Frames    uint64 `json:"frames"`
	Hash      string `json:"hash"`
}
