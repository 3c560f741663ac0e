package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

var why = Flag{Name: "reason", Required: true, About: "why, as the audit log will have it"}

var grounds = []string{"accuracy", "unlawful", "claims", "objection"}

// recordings is what an officer does with what was recorded.
var recordings = Command{Name: "recordings", About: "Finds, shows, takes out, holds and erases recordings.", Verbs: []Verb{
	{Name: "list", About: "finds recordings, the latest first", run: listRecordings, Flags: append([]Flag{
		{Name: "party", About: "number of either party, in any usual spelling"},
		{Name: "agent", About: "number of the PBX's side"},
		{Name: "from", About: "begun then or later: a day as 2026-11-25, or 2026-11-25T13:00:00Z"},
		{Name: "to", About: "begun before then"},
		{Name: "purpose", About: "that was consented to"},
		{Name: "trunk", About: "its name"},
		{Name: "direction", Values: []string{"inbound", "outbound"}, About: "inbound is from the carrier"},
		{Name: "state", Values: []string{"recording", "sealed", "truncated"}, About: "truncated ended before its call, by trouble of the gate's"},
		{Name: "outcome", Values: []string{"running", "complete", "withdrawn", "party_changed", "not_begun", "crashed", "recorder_failed"}, About: "how it ended"},
		{Name: "held", Kind: Switch, About: "only those under a legal hold"},
		{Name: "restricted", Kind: Switch, About: "only those that are kept, and not used"},
	}, paging("cursor")...)},
	{Name: "show", Args: []string{"ID"}, About: "shows one, with its consent, timeline and who listened", run: showRecording},
	{Name: "listen", Args: []string{"ID"}, About: "plays one: a stereo WAV to standard output, for a player behind a |", run: listen, Flags: []Flag{
		{Name: "purpose", Required: true, About: "what it is used for: one that was consented to"}}},
	{Name: "export", Args: []string{"ID"}, About: "takes one out into a file", run: exportRecording, Flags: exportFlags},
	{Name: "hold", Args: []string{"ID"}, About: "puts a legal hold on one", run: holdRecording, Flags: []Flag{why,
		{Name: "case", About: "what it is for, as you call it"}}},
	{Name: "release", Args: []string{"ID"}, About: "ends a hold", run: releaseRecording, Flags: []Flag{why,
		{Name: "hold", About: "its id; needed where there are several"}}},
	{Name: "restrict", Args: []string{"ID"}, About: "restricts one for its subject (GDPR Art. 18)", run: restrictRecording, Flags: []Flag{why,
		{Name: "ground", Values: grounds, Required: true, About: "Art. 18(1)(a) to (d)"},
		{Name: "subject", About: "their number"},
		{Name: "let-go", Kind: Switch, About: "the subject agrees that it goes when its retention is over"}}},
	{Name: "lift", Args: []string{"ID", "RESTRICTION"}, About: "ends a restriction", run: liftRestriction, Flags: []Flag{why,
		{Name: "told", Kind: Switch, About: "its subject was told before (Art. 18(3))"}}},
	{Name: "erase", Args: []string{"ID"}, About: "erases one for good", run: eraseRecording, Flags: []Flag{why}},
	{Name: "certificate", Args: []string{"ID"}, About: "the certificate of an erasure, or how far it came", run: showCertificate, Flags: outFlags("standard output")},
}}

type listed struct {
	ID         string    `json:"id"`
	Call       string    `json:"call"`
	Trunk      string    `json:"trunk"`
	Direction  string    `json:"direction"`
	Remote     string    `json:"remote"`
	Local      string    `json:"local"`
	Purpose    string    `json:"purpose"`
	State      string    `json:"state"`
	Outcome    string    `json:"outcome"`
	Reason     string    `json:"reason"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended"`
	Seconds    float64   `json:"seconds"`
	Bytes      int64     `json:"bytes"`
	Until      time.Time `json:"until"`
	Held       bool      `json:"held"`
	Restricted bool      `json:"restricted"`
}

func (l listed) marks() string {
	return marks(map[string]bool{"held": l.Held, "restricted": l.Restricted}, "held", "restricted")
}

func listRecordings(t *task) error {
	p := pages{path: path("recordings"), items: "recordings", next: "next", cursor: "cursor", most: 200,
		query: t.query("party", "agent", "from", "to", "purpose", "trunk", "direction", "state", "outcome", "held", "restricted", "cursor")}
	heads := []string{"ID", "STARTED", "LENGTH", "DIRECTION", "REMOTE", "LOCAL", "PURPOSE", "STATE", "OUTCOME", ""}
	return t.list(p, heads, func(raw json.RawMessage) ([]string, error) {
		var l listed
		err := json.Unmarshal(raw, &l)
		return []string{l.ID, moment(l.Started), length(l.Seconds), l.Direction, l.Remote, l.Local, l.Purpose, l.State, l.Outcome, l.marks()}, err
	})
}

type act struct {
	ID     string    `json:"id"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Case   string    `json:"case"`
	Ground string    `json:"ground"`
}

type recorded struct {
	listed
	Grant    string   `json:"grant"`
	Damaged  string   `json:"damaged"`
	Unheard  []string `json:"unheard"`
	Timeline []struct {
		At    time.Time `json:"at"`
		What  string    `json:"what"`
		Party string    `json:"party"`
		By    string    `json:"by"`
		Note  string    `json:"note"`
		Until time.Time `json:"until"`
	} `json:"timeline"`
	Consent []struct {
		Seq  int64  `json:"seq"`
		Kind string `json:"kind"`
		Call struct {
			Controller struct {
				Name string `json:"name"`
			} `json:"controller"`
		} `json:"call"`
	} `json:"consent"`
	Holds        []act    `json:"holds"`
	Restrictions []act    `json:"restrictions"`
	Erasure      *erasure `json:"erasure"`
}

func showRecording(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("recordings", t.args[0]), nil, nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var r recorded
		if err := a.decode(&r); err != nil {
			return err
		}
		return r.show(t)
	})
}

func (r recorded) show(t *task) error {
	var s sheet
	s.line("Recording", r.ID)
	s.line("Call", r.Call)
	s.line("Started", moment(r.Started))
	s.line("Ended", moment(r.Ended))
	s.line("Length", length(r.Seconds)+", "+size(r.Bytes))
	s.line("Trunk", r.Trunk+", "+r.Direction)
	s.line("Remote", r.Remote)
	s.line("Local", r.Local)
	s.line("Purpose", r.Purpose)
	s.line("State", r.State)
	s.line("Outcome", strings.Trim(r.Outcome+", "+r.Reason, ", "))
	s.line("Kept until", moment(r.Until))
	s.line("Consent", r.Grant)
	s.line("Unheard", strings.Join(r.Unheard, ", "))
	s.line("Damaged", r.Damaged)
	if e := r.Erasure; e != nil {
		s.line("Erasure", e.words())
	}
	if err := s.write(t.out); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		of    table
	}{{"Timeline", r.timeline()}, {"Holds", acts(r.Holds)}, {"Restrictions", acts(r.Restrictions)}} {
		if len(part.of.rows) < 2 {
			continue
		}
		if err := t.say("\n%s", part.title); err != nil {
			return err
		}
		if err := part.of.write(t.out); err != nil {
			return err
		}
	}
	return nil
}

func (r recorded) timeline() table {
	out := table{rows: [][]string{{"TIME", "WHAT", "WHO", "NOTE"}}}
	for _, m := range r.Timeline {
		who := m.Party
		if m.By != "" {
			who = m.By
		}
		note := m.Note
		if !m.Until.IsZero() {
			note = strings.TrimSpace(fmt.Sprintf("%s for %.1f s", note, m.Until.Sub(m.At).Seconds()))
		}
		out.add(moment(m.At), strings.ReplaceAll(m.What, "_", " "), who, note)
	}
	return out
}

func acts(all []act) table {
	out := table{rows: [][]string{{"ID", "SINCE", "BY", "REASON", "CASE OR GROUND"}}}
	for _, a := range all {
		out.add(a.ID, moment(a.At), a.By, a.Reason, a.Case+a.Ground)
	}
	return out
}
