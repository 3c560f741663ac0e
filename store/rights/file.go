package rights

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Act is who did something, when, and why. By is a user's name, or "system".
type Act struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

func (a Act) check() error {
	if strings.TrimSpace(a.By) == "" || strings.TrimSpace(a.Reason) == "" || a.At.IsZero() {
		return fmt.Errorf("%w: who does it, when and why must be given", ErrIncomplete)
	}
	return nil
}

// Hold is a legal hold: the recording is needed to establish, exercise or defend
// a legal claim (GDPR Art. 17(3)(e)).
type Hold struct {
	ID string `json:"id"`
	Act
	Case string `json:"case,omitempty"` // what it is for, as the controller calls it
}

// Ground is why a subject may have a recording restricted: GDPR Art. 18(1).
type Ground string

const (
	Accuracy  Ground = "accuracy"  // (a) its accuracy is contested
	Unlawful  Ground = "unlawful"  // (b) the subject wants it restricted instead of erased
	Claims    Ground = "claims"    // (c) the subject needs it for legal claims
	Objection Ground = "objection" // (d) an objection is being looked into
)

var grounds = []Ground{Accuracy, Unlawful, Claims, Objection}

// Restriction is one that a subject obtained.
type Restriction struct {
	ID string `json:"id"`
	Act
	Ground  Ground `json:"ground"`
	Subject string `json:"subject,omitempty"` // whose; "" where nobody said
	Request string `json:"request,omitempty"` // which it was asked for in
	// LetGo is the subject's consent (GDPR Art. 18(2)) that the recording goes
	// when its retention is over.
	LetGo bool `json:"let_go,omitempty"`
}

// Ask is an erasure that was asked for.
type Ask struct {
	Act
	Subject string `json:"subject,omitempty"` // who wants it; "" where it is the controller
	Request string `json:"request,omitempty"`
}

// File is what is kept of a recording's rights. Its methods change it or return
// an error, and never keep what they are given.
type File struct {
	Holds        []Hold        `json:"holds,omitempty"`
	Restrictions []Restriction `json:"restrictions,omitempty"`
	Asks         []Ask         `json:"asks,omitempty"`
	Going        Cause         `json:"going,omitempty"` // its erasure has begun; nothing stops it
}

var (
	ErrIncomplete = errors.New("incomplete")
	ErrGoing      = errors.New("the recording is being erased")
	ErrNoSuch     = errors.New("there is no such hold or restriction on the recording")
)

// Empty reports whether there is nothing to keep.
func (f File) Empty() bool {
	return len(f.Holds) == 0 && len(f.Restrictions) == 0 && len(f.Asks) == 0 && f.Going == None
}

// Standing is what the file says; over is whether its retention is.
func (f File) Standing(over bool) Standing {
	s := Standing{Held: len(f.Holds) > 0, Asked: len(f.Asks) > 0, Over: over, Restraint: Unrestricted}
	for _, r := range f.Restrictions {
		switch {
		case !r.LetGo:
			s.Restraint = Kept
		case s.Restraint == Unrestricted:
			s.Restraint = LetGo
		}
	}
	return s
}

// Decide is what becomes of the recording. What has begun to go is gone.
func (f File) Decide(over bool) Decision {
	if f.Going != None {
		return Decision{f.Going, true, "it is being erased"}
	}
	return Decide(f.Standing(over))
}

func (f *File) change(a Act) error {
	if f.Going != None {
		return ErrGoing
	}
	return a.check()
}

// Hold puts a hold on. Any number may be on one recording.
func (f *File) Hold(h Hold) error {
	if err := f.change(h.Act); err != nil {
		return err
	}
	f.Holds = append(f.Holds, h)
	return nil
}

// Release takes one off, by its ID.
func (f *File) Release(id string, a Act) (Hold, error) {
	if err := f.change(a); err != nil {
		return Hold{}, err
	}
	i := slices.IndexFunc(f.Holds, func(h Hold) bool { return h.ID == id })
	if i < 0 {
		return Hold{}, ErrNoSuch
	}
	h := f.Holds[i]
	f.Holds = slices.Delete(f.Holds, i, i+1)
	return h, nil
}

// Restrict restricts the recording.
func (f *File) Restrict(r Restriction) error {
	if err := f.change(r.Act); err != nil {
		return err
	}
	if !slices.Contains(grounds, r.Ground) {
		return fmt.Errorf("%w: the ground of a restriction is one of %v (GDPR Art. 18(1))", ErrIncomplete, grounds)
	}
	f.Restrictions = append(f.Restrictions, r)
	return nil
}

// Lift takes a restriction off, by its ID. The subject must have been told
// before (GDPR Art. 18(3)): told says that it was.
func (f *File) Lift(id string, a Act, told bool) (Restriction, error) {
	if err := f.change(a); err != nil {
		return Restriction{}, err
	}
	i := slices.IndexFunc(f.Restrictions, func(r Restriction) bool { return r.ID == id })
	switch {
	case i < 0:
		return Restriction{}, ErrNoSuch
	case !told:
		return Restriction{}, fmt.Errorf("%w: the subject must be told before a restriction is lifted (GDPR Art. 18(3))", ErrIncomplete)
	}
	r := f.Restrictions[i]
	f.Restrictions = slices.Delete(f.Restrictions, i, i+1)
	return r, nil
}

// Ask asks for the erasure. A subject who asks no longer wants what the same
// subject had restricted: their word ends it (GDPR Art. 18(2)), and it is
// returned. The same ask twice is one.
func (f *File) Ask(a Ask) (lifted []Restriction, err error) {
	if err := f.change(a.Act); err != nil {
		return nil, err
	}
	if f.asked(a) {
		return nil, nil
	}
	f.Asks = append(f.Asks, a)
	f.Restrictions = slices.DeleteFunc(f.Restrictions, func(r Restriction) bool {
		own := a.Subject != "" && r.Subject == a.Subject
		if own {
			lifted = append(lifted, r)
		}
		return own
	})
	return lifted, nil
}

func (f *File) asked(a Ask) bool {
	return slices.ContainsFunc(f.Asks, func(b Ask) bool {
		return a.Subject == b.Subject && a.Request == b.Request && (a.Request != "" || a.Reason == b.Reason)
	})
}

// Unask takes back what a request asked for, where it is refused after all.
func (f *File) Unask(request string) {
	if f.Going == None {
		f.Asks = slices.DeleteFunc(f.Asks, func(a Ask) bool { return a.Request == request })
	}
}

// Go begins the erasure if there is a cause for it, and says which.
func (f *File) Go(over bool) Cause {
	f.Going = f.Decide(over).Erase
	return f.Going
}
