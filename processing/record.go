// Package processing is the record of processing activities that a controller
// keeps (GDPR Art. 30(1)), as one gate's configuration has it: for machines as
// JSON, for people as Markdown in English or German. It knows nothing but what it
// is given; what only people know stands in it as a gap to be filled.
package processing

import (
	"slices"
	"time"
)

// Record is the record. Its JSON is for machines and stays as it is.
type Record struct {
	Format     string      `json:"format"`
	Made       time.Time   `json:"made"`
	Node       string      `json:"node"`
	Version    string      `json:"version"`          // of the program
	Config     string      `json:"config,omitempty"` // SHA-256 of the configuration file, in hex: the log has it in node.start
	Controller Controller  `json:"controller"`
	Activities []Activity  `json:"activities"` // one a purpose, by name
	Data       []Category  `json:"data_categories"`
	Subjects   []Category  `json:"subject_categories"`
	Recipients []Recipient `json:"recipients"`
	Transfers  []Transfer  `json:"transfers"` // to third countries
	Periods    []Period    `json:"periods"`   // of what isn't a recording
	Measures   []Measure   `json:"measures"`  // Art. 32(1), as they are configured
}

// Format names the JSON.
const Format = "consentgate-record-of-processing-1"

// Controller is Art. 30(1)(a). What is "" nobody has told.
type Controller struct {
	Name           string `json:"name"`
	Contact        string `json:"contact"`
	Joint          string `json:"joint_controller,omitempty"`
	Representative string `json:"representative,omitempty"`
	DPO            string `json:"dpo,omitempty"` // data protection officer
}

// Activity is the processing for one purpose (Art. 30(1)(b), (f)).
type Activity struct {
	Purpose   string            `json:"purpose"`
	Texts     map[string]string `json:"texts"` // as it is told to who is asked, by language
	Basis     string            `json:"legal_basis"`
	Retention int64             `json:"retention_seconds"` // envisaged time limit, from the call's end
	Policies  []Policy          `json:"policies"`          // by which calls are recorded for it; none: none are
}

// Basis is the one that the gate knows.
const Basis = "GDPR Art. 6(1)(a)"

// Policy is which calls are recorded, and whom it asks.
type Policy struct {
	Name      string   `json:"name"`
	Direction string   `json:"direction"`
	Asked     []string `json:"asked"` // remote, local
	Withdraw  bool     `json:"withdrawal_by_key"`
	Erases    bool     `json:"withdrawal_erases"`
}

// Category is one of data or of people (Art. 30(1)(c)), by a key of Texts.
type Category string

// Recipient is Art. 30(1)(d).
type Recipient struct {
	Kind string `json:"kind"` // a key of the texts; "stated": by the controller
	Name string `json:"name"`
}

// Transfer is Art. 30(1)(e).
type Transfer struct {
	To        string `json:"to"`
	Safeguard string `json:"safeguard"`
}

// Period is how long something is kept.
type Period struct {
	What    string `json:"what"`              // a key of the texts
	Seconds int64  `json:"seconds,omitempty"` // 0: as the text says
}

// Measure is Art. 30(1)(g): a key of the texts, and what the configuration has of
// it. Missing tells that it is one that isn't taken.
type Measure struct {
	Key     string `json:"measure"`
	Detail  string `json:"detail,omitempty"`
	Missing bool   `json:"missing,omitempty"`
}

// Taken are the measures that are there, for those whom a breach is told to.
func (r Record) Taken() (taken []Measure) {
	return slices.DeleteFunc(slices.Clone(r.Measures), func(m Measure) bool { return m.Missing })
}
