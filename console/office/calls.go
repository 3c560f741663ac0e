package office

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"consentgate/console/access"
)

// Call is one that goes on now. Remote and Local are personal data.
type Call struct {
	ID          string    `json:"id"`
	Trunk       string    `json:"trunk"`
	Direction   string    `json:"direction"` // inbound, outbound
	State       string    `json:"state"`
	Consent     string    `json:"consent"`
	Recording   string    `json:"recording"`           // off, recording, paused
	PausedBy    []string  `json:"paused_by,omitempty"` // remote, local, console, transfer
	Gap         string    `json:"gap,omitempty"`       // why it stands still though nobody paused it: hold, no-audio
	Purpose     string    `json:"purpose,omitempty"`
	Language    string    `json:"language,omitempty"` // of the prompt
	Policy      string    `json:"policy,omitempty"`
	Remote      string    `json:"remote"`
	Local       string    `json:"local"`
	Parties     Parties   `json:"parties"`
	Started     time.Time `json:"started"`
	RecordingID string    `json:"recording_id,omitempty"`
}

// Parties are the consents of those who are asked, "" of one who isn't.
type Parties struct {
	Remote string `json:"remote,omitempty"`
	Local  string `json:"local,omitempty"`
}

// Calls are the live calls. Acts return when they are done; ErrNoCall and
// ErrCallState say why not. By is a user's name.
type Calls interface {
	Calls() []Call
	Pause(ctx context.Context, id, by string) error
	Resume(ctx context.Context, id, by string) error
	Withdraw(ctx context.Context, id, by string) error
}

// Acts that Steer knows.
const (
	Pause    = "pause"
	Resume   = "resume"
	Withdraw = "withdraw"
)

// Calls lists the live calls, the latest first.
func (o *Office) Calls(p access.Principal) []Call {
	if o.c.Calls == nil {
		return nil
	}
	out := slices.Clone(o.c.Calls.Calls())
	for i := range out {
		out[i].Remote, out[i].Local = shown(p, out[i].Remote), shown(p, out[i].Local)
	}
	slices.SortFunc(out, func(a, b Call) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// steerTime bounds how long a call may take to do what it is told.
const steerTime = 10 * time.Second

// Steer pauses or resumes a call's recording, or takes its consent back.
func (o *Office) Steer(ctx context.Context, p access.Principal, id, act string) error {
	if o.c.Calls == nil {
		return ErrNoCall
	}
	steps := map[string]func(context.Context, string, string) error{
		Pause: o.c.Calls.Pause, Resume: o.c.Calls.Resume, Withdraw: o.c.Calls.Withdraw}
	step, ok := steps[act]
	if !ok {
		return fmt.Errorf("%w: what can be done to a call is %s, %s, %s", ErrInput, Pause, Resume, Withdraw)
	}
	ctx, cancel := context.WithTimeout(ctx, steerTime)
	defer cancel()
	return step(ctx, id, p.Name)
}
