// Package pack puts together what a controller needs to notify a breach of
// personal data (GDPR Art. 33(3)) from an export of the audit log: how many
// people's data was touched, what of it, by whom, when, what alarmed, and until
// when it has to be told. It knows the log by docs/audit-format.md alone.
package pack

import (
	"time"
)

// Format names the JSON.
const Format = "consentgate-breach-1"

// NotifyWithin is the time that Art. 33(1) leaves. The hours are counted from the
// moment itself: Regulation 1182/71 Art. 3(1) begins with the next full hour, so
// this ends up to an hour early and never late.
const NotifyWithin = 72 * time.Hour

// Options say what is asked.
type Options struct {
	From, To   time.Time // what was logged from then until before then
	User       string    // acts of this user alone; "": of all
	Aware      time.Time // when the controller became aware; zero: at the first alarm
	Made       time.Time
	Node       string
	Controller Controller
	Measures   map[string][]string // in place, as sentences, by language
}

// Controller is who has to notify (Art. 33(3)(b)).
type Controller struct {
	Name    string `json:"name"`
	Contact string `json:"contact"`
	DPO     string `json:"dpo,omitempty"`
}

// Pack is breach.json. It has users' names, and no number of anybody: those are
// in affected.csv alone.
type Pack struct {
	Format     string     `json:"format"`
	Made       time.Time  `json:"made"`
	Node       string     `json:"node"`
	Controller Controller `json:"controller"`
	From       time.Time  `json:"from"`
	To         time.Time  `json:"to"`
	User       string     `json:"user,omitempty"`
	Clock      Clock      `json:"clock"`
	Subjects   Subjects   `json:"subjects"`
	Data       Data       `json:"data"`
	Users      []User     `json:"users"`
	Alarms     []Event    `json:"alarms"`
	Timeline   []Event    `json:"timeline"`
	Erasure    Erasure    `json:"erasure"`
	Measures   []string   `json:"measures"` // in English
	Log        Log        `json:"log"`

	affected []*affected
	measures map[string][]string
}

// Clock is the one of Art. 33(1).
type Clock struct {
	Aware    time.Time `json:"aware,omitzero"` // zero: nobody knows yet
	Assumed  bool      `json:"assumed"`        // it is the first alarm's time: nobody said when
	Deadline time.Time `json:"deadline,omitzero"`
	Over     bool      `json:"over"` // then the notification says why it is late
}

// Subjects are the people affected, as far as numbers tell them apart.
type Subjects struct {
	Remote  int `json:"remote"`  // different numbers at the carrier's side
	Local   int `json:"local"`   // different numbers at the PBX's side
	Unknown int `json:"unknown"` // recordings whose remote party's number isn't known: withheld, or erased since
}

// Data is what was touched.
type Data struct {
	Recordings int            `json:"recordings"` // different ones
	Erased     int            `json:"erased"`     // of them are erased by now
	Plays      int            `json:"plays"`
	Seconds    float64        `json:"played_seconds"` // where it is known
	Exports    map[string]int `json:"exports"`        // by form
	Found      int            `json:"found"`          // in searches that are watched
	// Unattributed are plays and exports of which the log doesn't say any more who did
	// it, the recording having been erased: they are counted for each user.
	Unattributed int `json:"unattributed"`
}

// User is what one did.
type User struct {
	Name         string `json:"name"`
	Plays        int    `json:"plays"`
	Exports      int    `json:"exports"`
	Logins       int    `json:"logins"`
	FailedLogins int    `json:"failed_logins"`
}

// Event is an entry of the timeline.
type Event struct {
	Entry     int64     `json:"entry"`
	At        time.Time `json:"at"`
	Type      string    `json:"type"`
	By        string    `json:"by,omitempty"`
	Recording string    `json:"recording,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Erased    bool      `json:"erased,omitempty"` // what it said is gone
}

// Erasure is how far the whole log's erasures are.
type Erasure struct {
	Erased int `json:"erased"` // recordings
	Final  int `json:"final"`  // of them, those whose root key is destroyed
}

// Log is what all of it hangs on.
type Log struct {
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"` // signed
	VKey       string `json:"vkey"`
	Problem    string `json:"problem,omitempty"` // what a verification found; "": nothing
}

// affected is a recording that was touched, and whose.
type affected struct {
	key           string
	recording     string
	remote, local string
	purpose       string
	started       time.Time
	seconds       float64
	plays         int
	exports       int
	parts         float64 // seconds of plays that said which
	wholes        int     // plays of all of it
	by            map[string]bool
	known         bool // its consent could be read
}

func (o Options) clock(first time.Time) Clock {
	c := Clock{Aware: o.Aware}
	if c.Aware.IsZero() {
		c.Aware, c.Assumed = first, !first.IsZero()
	}
	if !c.Aware.IsZero() {
		c.Deadline = c.Aware.Add(NotifyWithin)
		c.Over = !o.Made.Before(c.Deadline)
	}
	return c
}
