package office

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// Requests lists subjects' requests by the day they are due, all or the open ones.
func (o *Office) Requests(_ access.Principal, openOnly bool) ([]rights.Request, error) {
	s, err := o.store()
	if err != nil {
		return nil, err
	}
	return s.Requests(openOnly), nil
}

// Request is one of them.
func (o *Office) Request(_ access.Principal, id string) (rights.Request, error) {
	s, err := o.store()
	if err != nil {
		return rights.Request{}, err
	}
	return s.Request(id)
}

// Receive takes a request in. party is the number that the subject says is theirs;
// the zero day is today.
func (o *Office) Receive(ctx context.Context, p access.Principal, kind rights.Kind, party string, received rights.Date, reason string) (rights.Request, error) {
	s, err := o.store()
	if err != nil {
		return rights.Request{}, err
	}
	a := o.act(p, reason)
	if a.Reason == "" {
		a.Reason = "received"
	}
	if received == (rights.Date{}) {
		received = rights.DateOf(a.At)
	}
	return s.Receive(ctx, kind, party, received, a)
}

// Step is what is done with a request, as far as its act needs it.
type Step struct {
	Act        string        `json:"act"`
	Reason     string        `json:"reason"`
	Article    string        `json:"article"`    // refuse: of the GDPR
	Ground     rights.Ground `json:"ground"`     // carry_out of a restriction
	LetGo      bool          `json:"let_go"`     // the same
	Recordings []string      `json:"recordings"` // carry_out: on which; none: all of the subject's
}

// steps are the acts that there are.
var steps = map[string]func(ctx context.Context, s *store.Store, id string, a rights.Act, x Step) (rights.Request, error){
	"ask_identity": func(ctx context.Context, s *store.Store, id string, a rights.Act, _ Step) (rights.Request, error) {
		return s.AskIdentity(ctx, id, a)
	},
	"identify": func(ctx context.Context, s *store.Store, id string, a rights.Act, _ Step) (rights.Request, error) {
		return s.Identify(ctx, id, a)
	},
	"extend": func(ctx context.Context, s *store.Store, id string, a rights.Act, _ Step) (rights.Request, error) {
		return s.Extend(ctx, id, a)
	},
	"tell": func(ctx context.Context, s *store.Store, id string, a rights.Act, _ Step) (rights.Request, error) {
		return s.Tell(ctx, id, a)
	},
	"deliver": func(ctx context.Context, s *store.Store, id string, a rights.Act, _ Step) (rights.Request, error) {
		return s.Delivered(ctx, id, a)
	},
	"refuse": func(ctx context.Context, s *store.Store, id string, a rights.Act, x Step) (rights.Request, error) {
		return s.Refuse(ctx, id, a, x.Article)
	},
	"carry_out": func(ctx context.Context, s *store.Store, id string, a rights.Act, x Step) (rights.Request, error) {
		return s.CarryOut(ctx, id, store.Order{Act: a, Recordings: x.Recordings, Ground: x.Ground, LetGo: x.LetGo})
	},
}

// Steps are the names of what can be done with a request.
func Steps() []string { return slices.Sorted(maps.Keys(steps)) }

// Advance brings a request a step further. ErrPending: it would erase, and a second
// officer has to agree, which carries it out.
func (o *Office) Advance(ctx context.Context, p access.Principal, id string, x Step) (rights.Request, error) {
	s, err := o.store()
	if err != nil {
		return rights.Request{}, err
	}
	r, err := s.Request(id)
	if err != nil {
		return r, err
	}
	step, ok := steps[x.Act]
	if !ok {
		return r, fmt.Errorf("%w: what can be done with a request is %s", ErrInput, strings.Join(Steps(), ", "))
	}
	for _, recording := range x.Recordings {
		if !isID(recording) {
			return r, fmt.Errorf("%w: %q names no recording", ErrInput, recording)
		}
	}
	a := o.act(p, x.Reason)
	run := func(ctx context.Context) error {
		r, err = step(ctx, s, id, a, x)
		return err
	}
	if x.Act == "carry_out" && r.Kind.Erases() {
		w := wish{Act: ActCarryOut, Object: id, Detail: strings.Join(x.Recordings, " ")}
		if err := o.agreed(ctx, p, w, x.Reason, func(ctx context.Context) error { _, err := step(ctx, s, id, a, x); return err }); err != nil {
			return r, err
		}
	}
	err = run(ctx)
	return r, err
}

// Bundling says what the answer to a request for access holds.
type Bundling struct {
	Language              string // of its page; "": English
	Both, Numbers, Staff  bool   // see evidence.Bundle
	Recipient, Passphrase string // what it is sealed by, with age; neither: it isn't
}

// Bundle writes the answer to a request for access or portability that is being
// carried out. ErrPending: a second officer has to agree; who asked tries again.
func (o *Office) Bundle(ctx context.Context, p access.Principal, id string, b Bundling, w io.Writer) error {
	s, err := o.store()
	if err != nil {
		return err
	}
	r, err := s.Request(id)
	if err != nil {
		return err
	}
	if !r.Kind.Discloses() || r.State != rights.InProgress {
		return fmt.Errorf("%w: a bundle is made for an access or portability request that is being carried out", rights.ErrOutOfOrder)
	}
	if b.Language == "" {
		b.Language = "en"
	}
	if !slices.Contains(evidence.Languages(), b.Language) {
		return fmt.Errorf("%w: the languages of a bundle's page are %s", ErrInput, strings.Join(evidence.Languages(), ", "))
	}
	if err := o.agreed(ctx, p, wish{Act: ActBundle, Object: id, To: b.Recipient}, "", nil); err != nil {
		return err
	}
	what := store.BundleOptions{By: p.Name, Bundle: evidence.Bundle{Subject: r.Party, Request: r.ID, Controller: o.c.Controller,
		Setting: o.c.Setting, Language: b.Language, Both: b.Both, Numbers: b.Numbers, Staff: b.Staff, Recipient: b.Recipient, Passphrase: b.Passphrase}}
	return o.turns.reading(ctx, w, func(w io.Writer) error { return s.Bundle(ctx, w, what) })
}
