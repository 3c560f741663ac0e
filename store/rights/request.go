package rights

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what a subject asks for.
type Kind string

const (
	Access      Kind = "access"      // GDPR Art. 15
	Erasure     Kind = "erasure"     // Art. 17
	Restricting Kind = "restriction" // Art. 18
	Portability Kind = "portability" // Art. 20: access, in forms that machines read
	// Objecting is Art. 21. What is processed by consent (Art. 6(1)(a)) can't be
	// objected to, it can be taken back: who objects doesn't want it any more,
	// whatever they call it. It is carried out as a withdrawal of the consent
	// (Art. 7(3)): with nothing else to process it by, it is erased (17(1)(b)).
	Objecting Kind = "objection"
)

// Kinds are all there are.
var Kinds = []Kind{Access, Erasure, Restricting, Portability, Objecting}

// Erases reports whether carrying it out erases.
func (k Kind) Erases() bool { return k == Erasure || k == Objecting }

// Discloses reports whether carrying it out gives recordings away.
func (k Kind) Discloses() bool { return k == Access || k == Portability }

// State is how far a request has come.
type State string

const (
	Received        State = "received"
	IdentityPending State = "identity_pending" // the subject was asked for proof (Art. 12(6))
	Identified      State = "identified"
	InProgress      State = "in_progress"
	Held            State = "held" // what is to be erased is restricted instead, as long as holds last
	Done            State = "done"
	Refused         State = "refused" // Art. 12(4)
)

// Open reports whether it isn't at its end.
func (s State) Open() bool { return s != Done && s != Refused }

// event is what happens to a request.
type event string

const (
	askIdentity event = "asking for proof of identity"
	identify    event = "noting an identity"
	start       event = "carrying it out"
	wait        event = "waiting for a hold"
	finish      event = "finishing it"
	refuse      event = "refusing it"
)

// states says what may follow what. A refusal may come late: what turns out on
// the way may be a reason.
var states = map[State]map[event]State{
	Received:        {askIdentity: IdentityPending, identify: Identified, refuse: Refused},
	IdentityPending: {askIdentity: IdentityPending, identify: Identified, refuse: Refused},
	Identified:      {start: InProgress, refuse: Refused},
	InProgress:      {wait: Held, finish: Done, refuse: Refused},
	Held:            {wait: Held, finish: Done, refuse: Refused},
	Done:            {},
	Refused:         {},
}

// Identity is how it was made sure that who asks is who the recordings are of. A
// caller's number is no proof: anybody can claim one.
type Identity struct {
	Act // Reason is how
}

// Extension is two further months (Art. 12(3)).
type Extension struct {
	Act
	Due Date `json:"due"`
}

// Refusal is why nothing is done (Art. 12(4)).
type Refusal struct {
	Act
	Article string `json:"article"`
}

// articles that a request may be refused by: who asks can't be identified;
// manifestly unfounded or excessive; the rights of others; a reason to keep;
// none of the grounds of a right is there.
var articles = []string{"11(2)", "12(2)", "12(5)", "15(4)", "17(1)", "17(3)", "18(1)", "20(1)", "20(4)", "21(1)"}

// Step is one that a request has come.
type Step struct {
	Act
	State State `json:"state"`
}

// Request is what a subject asked for.
type Request struct {
	ID          string     `json:"id"`
	Kind        Kind       `json:"kind"`
	Party       string     `json:"party"` // the number that the subject says is theirs
	Received    Date       `json:"received"`
	Due         Date       `json:"due"` // the last day for an answer
	State       State      `json:"state"`
	Identity    *Identity  `json:"identity,omitempty"`
	Extension   *Extension `json:"extension,omitempty"`
	Refusal     *Refusal   `json:"refusal,omitempty"`
	Told        *Act       `json:"told,omitempty"`        // the subject was told that it waits for a hold
	Ground      Ground     `json:"ground,omitempty"`      // of a restriction
	LetGo       bool       `json:"let_go,omitempty"`      // of a restriction
	Outstanding []string   `json:"outstanding,omitempty"` // recordings, by ID, that it isn't carried out on yet
	Salt        []byte     `json:"salt"`
	Carried     []string   `json:"carried,omitempty"` // commitments to those that it was carried out on: Commitment
	Steps       []Step     `json:"steps"`
}

var (
	// ErrOutOfOrder means that a request isn't in a state for that.
	ErrOutOfOrder = errors.New("the request isn't so far, or further already")
	// ErrTooLate means that an extension had to be told within the first month.
	ErrTooLate = errors.New("an extension must be told within the first month (GDPR Art. 12(3))")
)

// NewRequest is one that was received on a day; a says who took it in.
func NewRequest(id string, k Kind, party string, received Date, salt []byte, holidays Holidays, a Act) (*Request, error) {
	switch {
	case !slices.Contains(Kinds, k):
		return nil, fmt.Errorf("%w: the kind of a request is one of %v", ErrIncomplete, Kinds)
	case strings.TrimSpace(party) == "":
		return nil, fmt.Errorf("%w: a request needs the number whose recordings it is about", ErrIncomplete)
	case received.After(DateOf(a.At)):
		return nil, fmt.Errorf("%w: %s, when it was received, is yet to come", ErrIncomplete, received)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	return &Request{ID: id, Kind: k, Party: party, Received: received, Due: Deadline(received, 1, holidays), State: Received,
		Salt: salt, Steps: []Step{{a, Received}}}, nil
}

func (r *Request) step(e event, a Act) error {
	next, ok := states[r.State][e]
	// To restrict hurts nobody and can be undone, and it is for the time in
	// which things are looked into (Art. 18(1)(a), (d)): it needn't wait.
	if e == start && r.Kind == Restricting && (r.State == Received || r.State == IdentityPending) {
		next, ok = InProgress, true
	}
	if !ok {
		return fmt.Errorf("%w: %s, and it is %s", ErrOutOfOrder, e, r.State)
	}
	if err := a.check(); err != nil {
		return err
	}
	r.State = next
	r.Steps = append(r.Steps, Step{a, next})
	return nil
}

// AskIdentity notes that the subject was asked for proof; a.Reason says for what.
// The month goes on meanwhile.
func (r *Request) AskIdentity(a Act) error { return r.step(askIdentity, a) }

// Identify notes how the subject's identity was checked, in a.Reason.
func (r *Request) Identify(a Act) error {
	if err := r.step(identify, a); err != nil {
		return err
	}
	r.Identity = &Identity{a}
	return nil
}

// Extend takes two further months, for a reason that the subject is told. today
// is the day on which it is.
func (r *Request) Extend(a Act, today Date, holidays Holidays) error {
	switch {
	case !r.State.Open() || r.Extension != nil:
		return fmt.Errorf("%w: it can be extended once, while it is open", ErrOutOfOrder)
	case today.After(r.Due):
		return ErrTooLate
	}
	if err := a.check(); err != nil {
		return err
	}
	r.Due = Deadline(r.Received, 3, holidays)
	r.Extension = &Extension{a, r.Due}
	r.Steps = append(r.Steps, Step{a, r.State})
	return nil
}

// Refuse ends it without doing what was asked. The subject must be told why, and
// of complaint and remedy, within the month (Art. 12(4)).
func (r *Request) Refuse(a Act, article string) error {
	if !slices.Contains(articles, article) {
		return fmt.Errorf("%w: a request is refused by one of GDPR Art. %s", ErrIncomplete, strings.Join(articles, ", "))
	}
	if err := r.step(refuse, a); err != nil {
		return err
	}
	r.Refusal, r.Outstanding = &Refusal{a, article}, nil
	return nil
}

// RestrictBy says by which ground a restriction is carried out, and whether what
// is restricted goes when its retention is over.
func (r *Request) RestrictBy(g Ground, letGo bool) error {
	if !slices.Contains(grounds, g) {
		return fmt.Errorf("%w: the ground of a restriction is one of %v (GDPR Art. 18(1))", ErrIncomplete, grounds)
	}
	r.Ground, r.LetGo = g, letGo
	return nil
}

// Start begins to carry it out on recordings. None may be found.
func (r *Request) Start(a Act, recordings []string) error {
	if err := r.step(start, a); err != nil {
		return err
	}
	r.Outstanding = slices.Clone(recordings)
	return nil
}

// Carry notes recordings that it was carried out on.
func (r *Request) Carry(recordings ...string) {
	for _, id := range recordings {
		if i := slices.Index(r.Outstanding, id); i >= 0 {
			r.Outstanding = slices.Delete(r.Outstanding, i, i+1)
			r.Carried = append(r.Carried, Commitment(r.Salt, id))
		}
	}
}

// Settle ends the request, or has it wait, by whether recordings are left.
func (r *Request) Settle(a Act) error {
	if len(r.Outstanding) == 0 {
		return r.step(finish, a)
	}
	if r.State == Held {
		return nil
	}
	return r.step(wait, a)
}

// Tell notes that the subject was told that the request waits, and why (Art.
// 12(3), (4)). From then on no answer is owed until the hold ends.
func (r *Request) Tell(a Act) error {
	if r.State != Held {
		return fmt.Errorf("%w: it doesn't wait for a hold", ErrOutOfOrder)
	}
	if err := a.check(); err != nil {
		return err
	}
	r.Told = &a
	r.Steps = append(r.Steps, Step{a, r.State})
	return nil
}

// Owed reports whether the subject waits for an answer.
func (r *Request) Owed() bool { return r.State.Open() && (r.State != Held || r.Told == nil) }

// Overdue reports whether an answer is owed and the last day for it is over.
func (r *Request) Overdue(now time.Time, loc *time.Location) bool {
	return r.Owed() && !now.Before(r.Due.End(loc))
}
