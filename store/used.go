package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Types of the entries that say who used a recording.
const (
	TypePlayed   = "recording.played"   // somebody listened to a recording
	TypeExported = "recording.exported" // somebody took one out
	TypeFound    = "recording.found"    // somebody's search found one that alarms.honey names
	TypeRefused  = "recording.refused"  // somebody wanted to listen or to take it out, and might not
)

// ErrPurpose means that a recording was asked for, for a purpose that nobody
// consented to (GDPR Art. 5(1)(b)).
var ErrPurpose = errors.New("nobody consented to that purpose")

// useEvent is the payload of recording.played and recording.exported. It is
// sealed under the grant's key, and goes with the recording.
type useEvent struct {
	Recording string  `json:"recording"`
	Grant     string  `json:"grant"`
	By        string  `json:"by"` // a user's name, or system
	Why       string  `json:"why"`
	From      float64 `json:"from,omitempty"`  // seconds; both 0: all of it
	Until     float64 `json:"until,omitempty"` // seconds
	Form      string  `json:"form,omitempty"`  // of an export: wav, vcon, bundle
	To        string  `json:"to,omitempty"`    // who gets an export, where that isn't the user
	Request   string  `json:"request,omitempty"`
	Use       Use     `json:"use,omitempty"` // of recording.refused
}

// Played logs that a user listens to a part of a recording, or to all of it: from
// and until are 0 then. To be called before the first sound is given out; after
// an error nothing may be. ErrPurpose: not for that purpose. ErrRestricted: by a
// Permit only, which logs the use itself. ErrNotFound.
func (s *Store) Played(ctx context.Context, id, by, purpose string, from, until time.Duration) error {
	return s.used(ctx, TypePlayed, purpose, useEvent{Recording: id, By: by, Why: purpose, From: from.Seconds(), Until: until.Seconds()})
}

// Exported logs that a user takes a recording out in a form (wav, vcon), for
// somebody else where to isn't empty. As Played.
func (s *Store) Exported(ctx context.Context, id, by, purpose, form, to string) error {
	return s.used(ctx, TypeExported, purpose, useEvent{Recording: id, By: by, Why: purpose, Form: form, To: to})
}

// Found logs that a user's search found a recording. Searches as such aren't
// logged: this is for a recording that nobody has business with. ErrNotFound.
func (s *Store) Found(ctx context.Context, id, by string) error {
	sum, err := s.Get(id)
	if err != nil {
		return err
	}
	return s.logUse(ctx, TypeFound, sum, useEvent{Recording: id, By: by, Why: "search"})
}

// UseRefused logs that a user wanted to use a recording for a purpose, and was
// refused. ErrNotFound.
func (s *Store) UseRefused(ctx context.Context, id, by, purpose string, u Use) error {
	sum, err := s.Get(id)
	if err != nil {
		return err
	}
	return s.logUse(ctx, TypeRefused, sum, useEvent{Recording: id, By: by, Why: purpose, Use: u})
}

func (s *Store) used(ctx context.Context, kind, purpose string, ev useEvent) error {
	sum, err := s.Get(ev.Recording)
	if err != nil {
		return err
	}
	if purpose != sum.Purpose {
		return fmt.Errorf("%w: recording %s is for %q, not for %q", ErrPurpose, ev.Recording, sum.Purpose, purpose)
	}
	if err := s.mayUse(ev.Recording); err != nil {
		return err
	}
	return s.logUse(ctx, kind, sum, ev)
}

func (s *Store) logUse(ctx context.Context, kind string, sum Summary, ev useEvent) error {
	if ev.By == "" {
		return errors.New("who uses a recording must be named")
	}
	ev.Grant = sum.Grant.String()
	if err := s.audit.appendOf(ctx, kind, ev, sum.Grant); err != nil {
		return fmt.Errorf("logging who uses recording %s: %w", ev.Recording, err)
	}
	return nil
}

// readUse reads such a payload.
func readUse(payload []byte) (ev useEvent, ok bool) {
	return ev, json.Unmarshal(payload, &ev) == nil
}
