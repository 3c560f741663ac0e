package client

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// approvals is what two officers have to agree on.
var approvals = Command{Name: "approvals", About: "Decides about what waits for a second officer.", Verbs: []Verb{
	{Name: "list", About: "lists what waits, and what was decided within the hour", run: listApprovals},
	{Name: "approve", Args: []string{"ID"}, About: "agrees to what another officer asked for", Flags: []Flag{why}, run: decide("approve")},
	{Name: "reject", Args: []string{"ID"}, About: "turns it down, or takes your own back", Flags: []Flag{why}, run: decide("reject")},
}}

type approval struct {
	ID      string    `json:"id"`
	Act     string    `json:"act"`
	Object  string    `json:"object"`
	Form    string    `json:"form"`
	Why     string    `json:"why"`
	State   string    `json:"state"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	Asked   time.Time `json:"asked"`
	Expires time.Time `json:"expires"`
	Second  string    `json:"second"`
}

func listApprovals(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("approvals"), nil, nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var in struct{ Approvals []approval }
		if err := a.decode(&in); err != nil {
			return err
		}
		out := table{rows: [][]string{{"ID", "ACT", "OF", "BY", "ASKED", "UNTIL", "STATE", "REASON"}}}
		for _, p := range in.Approvals {
			out.add(p.ID, p.Act, p.Object, p.By, moment(p.Asked), moment(p.Expires), p.State, p.Reason)
		}
		return t.all(out)
	})
}

// all writes a table that has no pages.
func (t *task) all(out table) error {
	if len(out.rows) == 1 {
		t.note("there is nothing")
	}
	return out.write(t.out)
}

func decide(verb string) func(*task) error {
	return func(t *task) error {
		a, err := t.client.ask(t.ctx, "POST", path("approvals", t.args[0], verb), nil, t.body("reason"))
		if err != nil {
			return err
		}
		return t.put(a, func() error {
			var p approval
			if err := a.decode(&p); err != nil {
				return err
			}
			return t.say("%s of %s: %s", plain(p.Act), plain(p.Object), plain(p.State))
		})
	}
}

// waits says in words that an answer is that a second officer has to agree.
func waits(a answer) (string, bool) {
	var in struct {
		State    string   `json:"state"`
		Approval approval `json:"approval"`
	}
	if a.status != 202 || json.Unmarshal(a.body, &in) != nil || in.Approval.ID == "" {
		return "", false
	}
	return fmt.Sprintf("a second officer has to agree until %s: 'consentgate approvals approve %s'", moment(in.Approval.Expires), plain(in.Approval.ID)), true
}

// pending is the error of a download that waits for a second officer.
func (t *task) pending(body io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(body, mostAnswer))
	if err != nil {
		return fmt.Errorf("reading what the gate said: %w", err)
	}
	if w, ok := waits(answer{202, raw}); ok {
		return notYet(w + "; ask again then")
	}
	return notYet("it isn't there yet: ask again later")
}
