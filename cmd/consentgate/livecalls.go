package main

import (
	"context"
	"errors"
	"fmt"

	"consentgate/console/office"
	"consentgate/proxy"
)

// liveCalls are the gate's calls as the console sees them.
type liveCalls struct{ gate *proxy.Gate }

// Calls is office.Calls.
func (l liveCalls) Calls() []office.Call {
	live := l.gate.Calls()
	out := make([]office.Call, len(live))
	for i, c := range live {
		out[i] = office.Call{ID: c.ID, Trunk: c.Trunk, Direction: string(c.Direction), State: c.State, Consent: string(c.Consent),
			Recording: c.Recording, Purpose: c.Purpose, Policy: c.Policy, Remote: c.Remote.Number, Local: c.Local.Number, Started: c.Started,
			RecordingID: c.RecordingID, Gap: c.Gap, Language: c.Language}
		if c.Remote.Asked {
			out[i].Parties.Remote = string(c.Remote.Consent)
		}
		if c.Local.Asked {
			out[i].Parties.Local = string(c.Local.Consent)
		}
		for _, p := range []struct {
			is bool
			by string
		}{{c.Pauses.Remote, "remote"}, {c.Pauses.Local, "local"}, {c.Pauses.Console, "console"}, {c.Pauses.Transfer, "transfer"}} {
			if p.is {
				out[i].PausedBy = append(out[i].PausedBy, p.by)
			}
		}
	}
	return out
}

// Pause, Resume and Withdraw are office.Calls.
func (l liveCalls) Pause(ctx context.Context, id, by string) error {
	return steered(l.gate.Pause(ctx, id, by))
}

// Resume ends the console's pause.
func (l liveCalls) Resume(ctx context.Context, id, by string) error {
	return steered(l.gate.Resume(ctx, id, by))
}

// Withdraw takes the consent back.
func (l liveCalls) Withdraw(ctx context.Context, id, by string) error {
	return steered(l.gate.Withdraw(ctx, id, by))
}

// steered is an error of the gate as the office knows it.
func steered(err error) error {
	switch {
	case errors.Is(err, proxy.ErrNoCall):
		return office.ErrNoCall
	case errors.Is(err, proxy.ErrNotRecording), errors.Is(err, proxy.ErrNotPaused), errors.Is(err, proxy.ErrNotResumed):
		return fmt.Errorf("%w: %w", office.ErrCallState, err)
	}
	return err
}
