package proxy

import (
	"context"
	"errors"
	"fmt"

	"consentgate/consent"
)

// Why a call can't be steered.
var (
	// ErrNoCall: there is no such call, or it is over.
	ErrNoCall = errors.New("there is no such call")
	// ErrNotRecording: nothing of the call is recorded, nor is about to be.
	ErrNotRecording = errors.New("the call is not being recorded")
	// ErrNotPaused: it wasn't the console that paused the recording. Whoever did has
	// to end it.
	ErrNotPaused = errors.New("the recording was not paused at the console")
	// ErrNotResumed: the log hasn't taken the resumption, or something overtook it.
	ErrNotResumed = errors.New("the recording could not be resumed")
)

// Pause stops the recording of a call until Resume, as the pause key does, in the
// name of a person at the console. When it returns nil, no later packet is
// recorded: while the recorder is still being made ready, none at all. Any
// number of calls may be steered at a time; none waits for another, nor for a
// disk.
func (g *Gate) Pause(ctx context.Context, id, by string) error {
	return g.steer(ctx, id, consent.Event{Kind: consent.Pause, By: by})
}

// Resume ends the console's pause, whoever there began it. It returns nil when
// that is durable in the log and recording goes on; or when somebody else's
// pause keeps it from going on, which LiveCall.Pauses tells.
func (g *Gate) Resume(ctx context.Context, id, by string) error {
	return g.steer(ctx, id, consent.Event{Kind: consent.Resume, By: by})
}

// Withdraw takes the consent back for the party that gave it, or for all who did,
// as the key for it does: recording ends for good. While they are being asked it
// is a no. When it returns nil, no later packet is recorded.
func (g *Gate) Withdraw(ctx context.Context, id, by string) error {
	return g.steer(ctx, id, consent.Event{Kind: consent.Withdraw, By: by})
}

// steer has a call's goroutine do it, and waits until it is done. After an error
// of ctx it may yet be done.
func (g *Gate) steer(ctx context.Context, id string, ev consent.Event) error {
	g.mu.Lock()
	c := g.live[id]
	g.mu.Unlock()
	if c == nil {
		return ErrNoCall
	}
	ev.Reason = consent.ByConsole
	done := make(chan error, 1)
	if !c.mail.post(event{kind: evSteer, consent: ev, done: done}) {
		return ErrNoCall
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the call: %w", ctx.Err())
	case <-c.gone:
	}
	select {
	case err := <-done: // just before its end
		return err
	default:
		return ErrNoCall
	}
}

// onSteer does what a person at the console wants, by the way that keys go.
func (c *call) onSteer(ev event) {
	if err := c.steerable(ev.consent.Kind); err != nil {
		ev.done <- err
		return
	}
	c.log.Info("steered at the console", "event", ev.consent.Kind.String())
	c.consent(ev.consent)
	if c.law.session.State() == consent.Resuming {
		c.law.resuming = append(c.law.resuming, ev.done)
		return
	}
	c.publish()
	ev.done <- nil
}

// steerable says why an event has no place in the call now, or nil.
func (c *call) steerable(k consent.EventKind) error {
	state := consent.Idle
	if c.law.session != nil {
		state = c.law.session.State()
	}
	switch {
	case state == consent.Asking && k == consent.Withdraw:
		return nil
	case state <= consent.Asking || state >= consent.Unrecorded:
		return ErrNotRecording
	case k == consent.Resume && !c.law.session.Pauses().Console:
		return ErrNotPaused
	}
	return nil
}

// settleResuming tells those who resumed what became of it.
func (c *call) settleResuming() {
	if len(c.law.resuming) == 0 || c.law.session.State() == consent.Resuming {
		return
	}
	var err error
	if c.law.session.State() != consent.Recording {
		err = ErrNotResumed
	}
	c.publish()
	for _, done := range c.law.resuming {
		done <- err
	}
	c.law.resuming = nil
}
