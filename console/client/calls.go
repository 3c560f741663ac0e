package client

import (
	"strings"
	"time"
)

// calls is what goes on now.
var calls = Command{Name: "calls", About: "Shows live calls, and pauses, resumes or ends their recording.", Verbs: []Verb{
	{Name: "list", About: "lists the calls there are, the latest first", run: listCalls},
	{Name: "pause", Args: []string{"ID"}, About: "pauses the recording of one", run: steer("pause", "no later word is recorded until 'consentgate calls resume'")},
	{Name: "resume", Args: []string{"ID"}, About: "ends a pause of the console's", run: steer("resume", "its pause is over")},
	{Name: "withdraw", Args: []string{"ID"}, About: "takes consent back for the party that gave it", run: steer("withdraw", "no later word is recorded")},
}}

type liveCall struct {
	ID        string    `json:"id"`
	Trunk     string    `json:"trunk"`
	Direction string    `json:"direction"`
	State     string    `json:"state"`
	Consent   string    `json:"consent"`
	Recording string    `json:"recording"`
	PausedBy  []string  `json:"paused_by"`
	Gap       string    `json:"gap"`
	Remote    string    `json:"remote"`
	Local     string    `json:"local"`
	Started   time.Time `json:"started"`
}

// recording tells whether it is recorded, and if it is paused by whom.
func (c liveCall) recording() string {
	switch {
	case len(c.PausedBy) > 0:
		return c.Recording + " by " + strings.Join(c.PausedBy, ", ")
	case c.Gap != "":
		return c.Recording + ", " + c.Gap
	}
	return c.Recording
}

func listCalls(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("calls"), nil, nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var in struct{ Calls []liveCall }
		if err := a.decode(&in); err != nil {
			return err
		}
		out := table{rows: [][]string{{"ID", "STARTED", "TRUNK", "DIRECTION", "REMOTE", "LOCAL", "STATE", "CONSENT", "RECORDING"}}}
		for _, c := range in.Calls {
			out.add(c.ID, moment(c.Started), c.Trunk, c.Direction, c.Remote, c.Local, c.State, c.Consent, c.recording())
		}
		return t.all(out)
	})
}

func steer(verb, done string) func(*task) error {
	return func(t *task) error {
		a, err := t.client.ask(t.ctx, "POST", path("calls", t.args[0], verb), nil, nil)
		if err != nil {
			return err
		}
		return t.put(a, func() error { return t.say("%s: %s", plain(t.args[0]), done) })
	}
}
