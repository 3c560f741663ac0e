package page

import (
	"fmt"
	"time"
)

// What screens show. Everything in them that came from a call is text: the
// templates escape it.

type loginBody struct {
	Next    string
	Problem string // key of what went wrong; "" if nothing
	OIDC    bool   // one may log in at a provider of identities
}

type errorBody struct {
	Status             int
	What, Detail, Help string // keys
}

type callsBody struct {
	Calls                               []callRow
	Live, Recording, Asking, Unrecorded int
	Refresh                             bool // by the browser alone, since somebody asked for that
}

type callRow struct {
	ID, Trunk, Direction, Remote, Local, Consent, Recording, Purpose string
	Started                                                          time.Time
	Lasted                                                           time.Duration
	Why                                                              string   // it stands still
	Acts                                                             []string // what who looks may do: pause, resume, withdraw
}

// asked is a search as its form has it.
type asked struct{ Party, Agent, From, To, Purpose, Trunk, Direction, State, Outcome, Rights string }

type recordingsBody struct {
	Asked asked

	Purposes, Trunks, Directions, States, Outcomes, Rights []string

	Problem         string
	Numbers         bool // may be searched by
	Found           []recordingRow
	Searched, Paged bool
	Next, First     string // addresses; "" if there is none
}

type recordingRow struct {
	ID, Trunk, Direction, Remote, Local, Purpose, State, Outcome string
	Started, Until                                               time.Time
	Length                                                       time.Duration
	Held, Restricted                                             bool
}

type recording struct {
	recordingRow
	Call            string // the gate's name of it, as in its log and for trace
	Reason, Damaged string
	Bytes           int64
	Accesses        []use
	Holds           []hold
	Restrictions    []restriction
}

type use struct {
	At          time.Time
	By, Purpose string
	Exported    bool
	To          string
	From, Up    time.Duration
}

type act struct {
	By, Reason string
	At         time.Time
}

type hold struct {
	ID, Case string
	Act      act
}

type restriction struct {
	ID, Ground string
	Act        act
}

type recordingBody struct {
	Recording        recording
	Listens, Officer bool // what who looks may do
	Asked            bool // its erasure was asked for
	Purpose          string
	PurposeText      string
	Purposes         []purpose // that were consented to
	Answers          []answer
	Events           []event
	Drawing          *drawing
	Grounds          []string
	Forms            []string
	Named            bool // its audio has an address that others can be told
}

type purpose struct{ Name, Text string }

type answer struct {
	Party, Key, Heard, Prompt string
	At                        time.Time
}

// event is one of the timeline.
type event struct {
	At          time.Duration // since the recording began
	Icon, Class string
	Said, Who   string
}

// drawing is the timeline as rectangles and lines on a field of 1000 by 60.
type drawing struct {
	Lanes, Gaps []rect
	Marks       []line
}

type rect struct {
	Class   string
	X, Y, W float64
}

type line struct {
	Class string
	X     float64
}

type eraseBody struct {
	Recording recording
	Kept      bool
	Problem   string
}

type erasureBody struct {
	ID          string
	Erasure     erasure
	Certificate any // *store.Certificate
}

type erasure struct {
	State                        string
	Requested, Logical, Shredded time.Time
}

type receiptBody struct {
	Recording                                       recording
	Controller, Contact, PurposeText, Policy, Grant string
	Granted                                         time.Time
	Days                                            int
	Seq                                             int64
	Answers                                         []answer
	Acts                                            []receiptAct
}

type receiptAct struct {
	At        time.Time
	Kind, Who string
}

type requestsBody struct {
	Requests []requestRow
	All      bool
	Kinds    []string
	Today    string
	Problem  string
}

type requestRow struct {
	ID, Kind, Party, State string
	Received, Due          fmt.Stringer
	Owed                   bool
	Left                   int // days; negative: late
}

// Late is by how many days.
func (r requestRow) Late() int { return -r.Left }

type request struct {
	requestRow
	Steps       []step
	Outstanding []string
	Carried     []string
}

type step struct {
	Act   act
	State string
}

type requestBody struct {
	Request request
	Acts    []string
	Bundles bool
	Grounds []string
}

type auditBody struct {
	Entries       []entry
	Types         []string
	Type          string
	Report        any // *store.Report
	VerifiedAt    time.Time
	Checkpoint    string
	Paged         bool
	Older, Newest string
}

type entry struct {
	Seq  int64
	At   time.Time
	Type string
	Says []said
}

type said struct{ Name, Value, Link string }

type systemBody struct {
	Node     string
	Started  time.Time
	Worst    string
	Checks   []check
	Counts   []countRow
	Calls    int
	Alarms   []alarm
	Watches  bool // who looks may see them
	Braked   bool // the retention is stopped
	Confirms bool // and who looks may let it go on
}

type alarm struct {
	At    time.Time
	Rule  string
	By    string
	Entry int64
}

type check struct{ Part, Level, Detail string }

type countRow struct {
	Purpose, State string
	N              int
}

type approvalsBody struct{ Pending []pending }

type pending struct {
	ID, Act, By, Reason, Link, State, Second, To, Form string
	At                                                 time.Time
	Own, Open                                          bool
}
