package api

import (
	"encoding/json"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/office"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// What programs get. schemas.json says the same; a test holds the two together.

type listed struct {
	ID         string            `json:"id"`
	Call       string            `json:"call"`
	Trunk      string            `json:"trunk"`
	Direction  consent.Direction `json:"direction"`
	Remote     string            `json:"remote"`
	Local      string            `json:"local"`
	Purpose    string            `json:"purpose"`
	State      string            `json:"state"`
	Outcome    string            `json:"outcome"`
	Reason     string            `json:"reason,omitempty"`
	Started    time.Time         `json:"started"`
	Ended      time.Time         `json:"ended,omitzero"`
	Seconds    float64           `json:"seconds"`
	Bytes      int64             `json:"bytes"`
	Until      time.Time         `json:"until,omitzero"`
	Held       bool              `json:"held"`
	Restricted bool              `json:"restricted"`
}

func listedOf(s store.Summary) listed {
	return listed{s.ID, s.Call, s.Trunk, s.Direction, s.Remote, s.Local, s.Purpose, s.State, s.Outcome(), s.Reason, s.Started, s.Ended, s.Seconds, s.Bytes,
		s.Until, s.Held, s.Restricted}
}

type recorded struct {
	listed
	Grant        consent.Hash    `json:"grant"`
	Consent      []logged        `json:"consent"`
	Gaps         []gap           `json:"gaps"`
	Unheard      []string        `json:"unheard,omitempty"`
	Damaged      string          `json:"damaged,omitempty"`
	Accesses     []used          `json:"accesses"`
	Holds        []hold          `json:"holds"`
	Restrictions []restriction   `json:"restrictions"`
	Erasure      *erasure        `json:"erasure,omitempty"`
	Timeline     []office.Moment `json:"timeline"`
}

// logged is a consent record with its place in the log; -1: not known.
type logged struct {
	Seq  int64  `json:"seq"`
	Leaf string `json:"leaf,omitempty"`
	consent.Record
}

type gap struct {
	Party consent.Party `json:"party"`
	Cause string        `json:"cause"`
	From  float64       `json:"from"` // seconds since the start
	To    float64       `json:"to"`
}

type used struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Use     string    `json:"use"`
	Purpose string    `json:"purpose"`
	To      string    `json:"to,omitempty"`
	From    float64   `json:"from,omitempty"`
	Until   float64   `json:"until,omitempty"`
}

type act struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

type hold struct {
	ID string `json:"id"`
	act
	Case string `json:"case,omitempty"`
}

type restriction struct {
	ID string `json:"id"`
	act
	Ground  rights.Ground `json:"ground"`
	Subject string        `json:"subject,omitempty"`
	Request string        `json:"request,omitempty"`
	LetGo   bool          `json:"let_go"`
}

func holdOf(h rights.Hold) hold { return hold{h.ID, act(h.Act), h.Case} }

func restrictionOf(r rights.Restriction) restriction {
	return restriction{r.ID, act(r.Act), r.Ground, r.Subject, r.Request, r.LetGo}
}

func recordedOf(r office.Recording) recorded {
	out := recorded{listed: listedOf(r.Summary), Grant: r.Grant, Consent: []logged{}, Gaps: []gap{}, Unheard: r.Unheard, Damaged: r.Damaged,
		Accesses: []used{}, Holds: []hold{}, Restrictions: []restriction{}, Timeline: r.Timeline}
	for _, rec := range r.Records {
		out.Consent = append(out.Consent, logged{rec.Seq, rec.Leaf, rec.Record})
	}
	for _, g := range r.Gaps {
		out.Gaps = append(out.Gaps, gap{g.Party, g.Cause, g.From.Seconds(), g.To.Seconds()})
	}
	for _, a := range r.Accesses {
		out.Accesses = append(out.Accesses, usedOf(a))
	}
	for _, h := range r.Rights.Holds {
		out.Holds = append(out.Holds, holdOf(h))
	}
	for _, x := range r.Rights.Restrictions {
		out.Restrictions = append(out.Restrictions, restrictionOf(x))
	}
	if r.Erasure != nil {
		e := erasureOf(*r.Erasure, nil)
		out.Erasure = &e
	}
	return out
}

func usedOf(a evidence.Access) used {
	out := used{a.At, a.By, "played", a.Purpose, a.To, a.From.Seconds(), a.Up.Seconds()}
	if a.Exported {
		out.Use = "exported"
	}
	return out
}

type erasure struct {
	State       string    `json:"state"`
	Requested   time.Time `json:"requested,omitzero"`
	Logical     time.Time `json:"logical,omitzero"`
	Shredded    time.Time `json:"shredded,omitzero"`
	Archive     []placed  `json:"archive,omitempty"`
	Certificate string    `json:"certificate,omitempty"`
}

// placed is a place that had a copy.
type placed struct {
	Place   string    `json:"place"`
	Deleted time.Time `json:"deleted,omitzero"`
	Why     string    `json:"why,omitempty"`
}

func erasureOf(e store.Erasure, certificate []byte) erasure {
	out := erasure{State: e.State, Requested: e.Requested, Logical: e.Logical, Shredded: e.Shredded, Certificate: string(certificate)}
	for _, at := range e.Archive {
		out.Archive = append(out.Archive, placed(at))
	}
	return out
}

type request struct {
	ID          string        `json:"id"`
	Kind        rights.Kind   `json:"kind"`
	Party       string        `json:"party"`
	Received    rights.Date   `json:"received"`
	Due         rights.Date   `json:"due"`
	Overdue     bool          `json:"overdue"`
	State       rights.State  `json:"state"`
	Identity    *act          `json:"identity,omitempty"`
	Extension   *act          `json:"extension,omitempty"`
	Refusal     *act          `json:"refusal,omitempty"`
	Article     string        `json:"article,omitempty"`
	Told        *act          `json:"told,omitempty"`
	Ground      rights.Ground `json:"ground,omitempty"`
	LetGo       bool          `json:"let_go,omitempty"`
	Outstanding []string      `json:"outstanding"`
	Carried     int           `json:"carried"`
	Steps       []step        `json:"steps"`
}

type step struct {
	act
	State rights.State `json:"state"`
}

func (c *call) requestOf(r rights.Request) request {
	out := request{ID: r.ID, Kind: r.Kind, Party: r.Party, Received: r.Received, Due: r.Due, Overdue: r.Overdue(c.now(), c.place), State: r.State,
		Ground: r.Ground, LetGo: r.LetGo, Outstanding: append([]string{}, r.Outstanding...), Carried: len(r.Carried), Steps: []step{}}
	of := func(a rights.Act) *act { b := act(a); return &b }
	if r.Identity != nil {
		out.Identity = of(r.Identity.Act)
	}
	if r.Extension != nil {
		out.Extension = of(r.Extension.Act)
	}
	if r.Refusal != nil {
		out.Refusal, out.Article = of(r.Refusal.Act), r.Refusal.Article
	}
	if r.Told != nil {
		out.Told = of(*r.Told)
	}
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, step{act(s.Act), s.State})
	}
	return out
}

type approvalWait struct {
	State    string          `json:"state"`
	Approval office.Approval `json:"approval"`
}

type entry struct {
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
	Type    string          `json:"type"`
	Leaf    string          `json:"leaf"`
	Payload json.RawMessage `json:"payload"` // null: erased
}

type me struct {
	Name string      `json:"name"`
	Role access.Role `json:"role"`
	Via  string      `json:"via,omitempty"`
	May  []string    `json:"may"`
}

type system struct {
	Node     string       `json:"node"`
	Version  string       `json:"version"`
	Started  time.Time    `json:"started"`
	FourEyes bool         `json:"four_eyes"`
	Calls    int          `json:"calls"`
	Store    *storeHealth `json:"store"` // null: it isn't open
}

type storeHealth struct {
	Recordable  bool          `json:"recordable"`
	Why         string        `json:"why,omitempty"`
	Disk        diskHealth    `json:"disk"`
	Log         int64         `json:"log"`
	RootEpoch   uint64        `json:"root_epoch"`
	Erasures    erasing       `json:"erasures"`
	Recording   int           `json:"recording"`
	Unsealed    int           `json:"unsealed"`
	Unaccounted int           `json:"unaccounted"`
	Witnesses   []witnessing  `json:"witnesses"`
	Braked      *store.Braked `json:"braked,omitempty"`
}

type diskHealth struct {
	Level string `json:"level"`
	Free  int64  `json:"free"`
	Size  int64  `json:"size"`
}

type erasing struct {
	Pending       int     `json:"pending"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

type witnessing struct {
	Name       string  `json:"name"`
	Size       int64   `json:"size"`
	AgeSeconds float64 `json:"age_seconds"`
	Conflict   bool    `json:"conflict"`
}

func systemOf(s office.System, now time.Time) system {
	out := system{s.Node, s.Version, s.Started, s.FourEyes, s.Calls, nil}
	if s.Store == nil {
		return out
	}
	h := s.Store
	v := &storeHealth{Recordable: h.Ready == nil, Disk: diskHealth{h.Disk, h.Free, h.Size}, Log: h.Entries, RootEpoch: h.RootEpoch,
		Erasures: erasing{h.Erasures, h.Oldest.Seconds()}, Recording: h.Recording, Unsealed: h.Unsealed, Unaccounted: h.Unaccounted,
		Witnesses: []witnessing{}, Braked: h.Braked}
	if h.Ready != nil {
		v.Why = h.Ready.Error()
	}
	for _, w := range h.Witnesses {
		v.Witnesses = append(v.Witnesses, witnessing{w.Name, w.Size, now.Sub(w.Current).Seconds(), w.Conflict})
	}
	out.Store = v
	return out
}

type report struct {
	OK          bool      `json:"ok"`
	Log         string    `json:"log"`
	Size        int64     `json:"size"`
	Root        string    `json:"root"`
	Opened      int64     `json:"opened"`
	Sealed      int64     `json:"sealed"`
	Erased      int64     `json:"erased"`
	Grants      int64     `json:"grants"`
	Unaccounted int64     `json:"unaccounted"`
	Checked     string    `json:"checked,omitempty"`
	ClockBack   int       `json:"clock_back"`
	Unexplained int       `json:"clock_unexplained"`
	Bad         *badEntry `json:"bad,omitempty"`
	Seconds     float64   `json:"seconds"`
}

type badEntry struct {
	Entry   int64  `json:"entry"`
	Problem string `json:"problem"`
}

func reportOf(r store.Report, took time.Duration) report {
	out := report{r.OK(), r.Origin, r.Size, r.Root, r.Opened, r.Sealed, r.Erased, r.Grants, r.Unaccounted, r.Checked, r.Clock.Back,
		r.Clock.Unexplained, nil, took.Seconds()}
	if !r.OK() {
		out.Bad = &badEntry{r.BadSeq, r.Problem}
	}
	return out
}
