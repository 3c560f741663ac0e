package client

import (
	"fmt"
	"strings"
	"time"
)

// system is the gate itself.
var system = Command{Name: "system", About: "Shows how the gate is, and who you are to it.", Verbs: []Verb{
	{Name: "show", About: "shows whether it records, its disk, log, erasures and witnesses", run: showSystem},
	{Name: "whoami", About: "shows whose token you have, and the role", run: whoAmI},
	{Name: "confirm-retention", About: "lets go what a run of the retention was stopped over", run: confirmRetention, Flags: []Flag{why}},
}}

func whoAmI(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("me"), nil, nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var me struct{ Name, Role string }
		if err := a.decode(&me); err != nil {
			return err
		}
		return t.say("%s, %s", plain(me.Name), plain(me.Role))
	})
}

func confirmRetention(t *task) error {
	a, err := t.client.ask(t.ctx, "POST", path("retention", "confirm"), nil, t.body("reason"))
	if err != nil {
		return err
	}
	return t.put(a, func() error { return t.say("the next run of the retention takes what it was stopped over") })
}

type health struct {
	Node, Version string
	Started       time.Time
	FourEyes      bool `json:"four_eyes"`
	Calls         int
	Store         *struct {
		Recordable bool
		Why        string
		Disk       struct {
			Level string
			Free  int64
		}
		Log         int64
		Erasures    struct{ Pending int }
		Recording   int
		Unsealed    int
		Unaccounted int
		Witnesses   []struct {
			Name     string
			Age      float64 `json:"age_seconds"`
			Conflict bool
		}
		Braked any
	}
}

func showSystem(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("system"), nil, nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var h health
		if err := a.decode(&h); err != nil {
			return err
		}
		return h.show(t)
	})
}

func (h health) show(t *task) error {
	var s sheet
	s.line("Node", strings.Trim(h.Node+", "+h.Version, ", "))
	s.line("Up since", moment(h.Started))
	s.line("Calls", fmt.Sprint(h.Calls))
	if h.FourEyes {
		s.line("Officers", "two have to agree on exports and erasures")
	}
	if h.Store == nil {
		s.line("Records", "no: the data directory isn't open")
		return s.write(t.out)
	}
	st := h.Store
	if st.Recordable {
		s.line("Records", fmt.Sprintf("yes: %d now", st.Recording))
	} else {
		s.line("Records", "no: "+st.Why)
	}
	s.line("Disk", st.Disk.Level+", "+size(st.Disk.Free)+" free")
	s.line("Audit log", fmt.Sprintf("%d entries, %d consents without an end", st.Log, st.Unaccounted))
	s.line("Not sealed yet", fmt.Sprint(st.Unsealed))
	s.line("Erasures", fmt.Sprintf("%d not final yet", st.Erasures.Pending))
	for _, w := range st.Witnesses {
		word := "told " + length(w.Age) + " ago"
		if w.Conflict {
			word = "CONTRADICTS THE LOG"
		}
		s.line("Witness", strings.TrimSpace(w.Name+" "+word))
	}
	if st.Braked != nil {
		s.line("Retention", "stopped: 'consentgate retention --dry-run' at the gate says why")
	}
	return s.write(t.out)
}
