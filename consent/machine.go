package consent

import (
	"slices"
	"time"
)

// State is where a call stands with its consent.
type State uint8

const (
	Idle       State = iota // nothing asked yet
	Asking                  // at least one party is being asked
	Committing              // all said yes; the Granted record isn't durable yet
	Opening                 // granted; the recorder is being made ready
	Recording               // the tap is open
	Suspended               // granted, tap paused
	Resuming                // the Resumed record isn't durable yet; tap still paused
	Unrecorded              // the call goes on and will not be recorded
	Ended                   // the call is over
	states
)

func (s State) String() string {
	return [...]string{"idle", "asking", "committing", "opening", "recording",
		"suspended", "resuming", "unrecorded", "ended"}[s]
}

// EventKind is what happened.
type EventKind uint8

const (
	Start          EventKind = iota // the parties are connected to us
	PromptEnd                       // a party's prompt played to its end
	PromptFailed                    // a party could not be told, or can't answer: no audio, on hold, codec
	KeyPressed                      // a party pressed a key
	Silence                         // the time to answer ran out
	Committed                       // the ledger made a record durable (made by Session.Commit alone)
	CommitFailed                    // the ledger could not, or took too long
	Opened                          // the recorder is ready
	OpenFailed                      // the recorder could not be made ready
	RecorderFailed                  // the recorder died in mid-recording
	Withdraw                        // by somebody other than by key: the console
	Pause                           // the same
	Resume                          // the same
	PartyChanged                    // somebody new is on the line
	Objected                        // a party's telephone says that it wants no recording (RFC 7866)
	HangUp                          // the call is over
	eventKinds
)

func (k EventKind) String() string {
	return [...]string{"start", "prompt_end", "prompt_failed", "key_pressed", "silence", "committed",
		"commit_failed", "opened", "open_failed", "recorder_failed", "withdraw", "pause", "resume",
		"party_changed", "objected", "hang_up"}[k]
}

// Event is one thing that happened. At is when; Party is whose it is, where it
// is one party's.
type Event struct {
	Kind    EventKind
	At      time.Time
	Party   Party
	Heard   Heard  // PromptEnd, PromptFailed
	Press   Press  // KeyPressed
	Reason  string // failures; Start: why nothing can be recorded
	Record  Hash   // Committed, CommitFailed: of the record
	Who     string // PartyChanged: the new party's number or address, "" if unknown
	By      string // ByConsole: the name of who did it
	receipt *receipt
}

// Do is what the call must do.
type Do uint8

const (
	Play     Do = iota // play the prompt to Party
	Part               // keep the parties apart again, until Bridge
	StopAll            // stop every prompt, notice and answer timer
	Wait               // start Party's answer timer with For
	Notice             // Party waits: play the "please hold" notice
	Bridge             // let the parties hear each other
	Commit             // make Record durable with Session.Commit, then step with the event it gives
	Append             // write Record; nothing waits for it
	Create             // make a recorder for Grant ready, then step with Opened or OpenFailed
	Tap                // open the tap into the recorder
	PauseTap           // barrier: when done, no later packet is recorded
	ResumeTap
	CloseTap // barrier, for good
	Discard  // close a recorder that was made ready too late
	EraseIt  // erase what the grant Of recorded
	EndCall  // the policy hangs up on a refusal
)

func (d Do) String() string {
	return [...]string{"play", "part", "stop_all", "wait", "notice", "bridge", "commit", "append", "create", "tap",
		"pause_tap", "resume_tap", "close_tap", "discard", "erase", "end_call"}[d]
}

// Act is one thing to do, in the order given.
type Act struct {
	Do      Do
	Party   Party
	Attempt int
	For     time.Duration
	Record  *Record
	Reason  string
	Grant   Grant // Create: set by Session
	Of      Hash  // EraseIt: the Granted record
}

// askState is where one party stands.
type askState uint8

const (
	notAsked askState = iota
	prompting
	waiting
	saidYes
)

type ask struct {
	state   askState
	attempt int
	early   int
	heard   Heard
	press   Press
}

// Machine is the consent of one call: a value; Step doesn't change its
// receiver. The zero Machine is not useful; see NewMachine.
type Machine struct {
	State   State
	call    *Call
	policy  *Policy
	asks    [2]ask
	keys    [2]keySequence
	presses [2]presses
	paused  [2]bool // who asked for the pause
	console bool    // the console asked for the pause
	moving  bool    // a transfer is under way
	against *Event  // a party objected before anybody was asked
	pending Hash    // the record whose durability is waited for
	grant   Hash    // the Granted record, once built
	opened  bool    // a recorder exists, so its end is the recorder's to account for
	closed  bool    // the grant's end has been written by us

	prior    Hash      // the Granted record of the segment before
	persons  [2]int    // by party: counts who it has been
	segments []segment // those before this one; never changed in place
}

// segment is a part of the call's recording between changes of party.
type segment struct {
	grant   Hash
	persons [2]int
}

// Continue makes the next grant continue an earlier call's segment (RFC 3891: a
// call that replaces another). For use before Start.
func (m *Machine) Continue(grant Hash) { m.prior = grant }

// NewMachine starts a call's consent under policy. Neither pointer's target may
// change afterwards.
func NewMachine(call *Call, policy *Policy) Machine {
	return Machine{call: call, policy: policy}
}

// step changes its own copy of the machine and says what to do.
type step func(m *Machine, ev Event) []Act

// nothing marks an event that a state expects and that changes nothing there.
func nothing(*Machine, Event) []Act { return nil }

// table is the whole machine. An event without an entry isn't expected in that
// state: Step says so, and nothing changes.
var table = [states]map[EventKind]step{
	Idle: {
		Start:        (*Machine).start,
		PartyChanged: nothing,
		Objected:     (*Machine).objectedBefore,
		HangUp:       (*Machine).end,
	},
	Asking: {
		PromptEnd:      (*Machine).promptEnd,
		PromptFailed:   (*Machine).promptFailed,
		KeyPressed:     (*Machine).answer,
		Silence:        (*Machine).silence,
		Withdraw:       (*Machine).takenBack,
		PartyChanged:   (*Machine).changedWhileAsking,
		Objected:       (*Machine).takenBack,
		Committed:      nothing, // of the segment before: a Resumed record that the change overtook
		CommitFailed:   nothing,
		RecorderFailed: nothing, // likewise
		HangUp:         (*Machine).hungUpWhileAsking,
	},
	Committing: {
		Committed:      (*Machine).granted,
		CommitFailed:   (*Machine).grantNotDurable,
		KeyPressed:     nothing,
		Withdraw:       (*Machine).withdraw,
		Pause:          (*Machine).pauseTooEarly,
		Resume:         nothing,
		PartyChanged:   (*Machine).changedTooEarly,
		Objected:       (*Machine).withdraw,
		RecorderFailed: nothing, // of the segment before
		HangUp:         (*Machine).end,
		PromptEnd:      nothing, PromptFailed: nothing, Silence: nothing, // crossed the last yes
	},
	Opening: {
		Opened:         (*Machine).openTap,
		OpenFailed:     (*Machine).openFailed,
		KeyPressed:     nothing,
		Withdraw:       (*Machine).withdraw,
		Pause:          (*Machine).pauseTooEarly,
		Resume:         nothing,
		PartyChanged:   (*Machine).changedTooEarly,
		Objected:       (*Machine).withdraw,
		RecorderFailed: nothing, // of the segment before
		HangUp:         (*Machine).end,
	},
	Recording: {
		KeyPressed:     nothing,
		Withdraw:       (*Machine).withdraw,
		Pause:          (*Machine).pause,
		Resume:         nothing,
		RecorderFailed: (*Machine).recorderFailed,
		PartyChanged:   (*Machine).partyChanged,
		Objected:       (*Machine).withdraw,
		HangUp:         (*Machine).end,
	},
	Suspended: {
		KeyPressed:     nothing,
		Withdraw:       (*Machine).withdraw,
		Pause:          (*Machine).pauseAgain,
		Resume:         (*Machine).resume,
		Committed:      nothing, // a Resumed record that a second pause overtook
		CommitFailed:   nothing,
		RecorderFailed: (*Machine).recorderFailed,
		PartyChanged:   (*Machine).partyChanged,
		Objected:       (*Machine).withdraw,
		HangUp:         (*Machine).end,
	},
	Resuming: {
		Committed:      (*Machine).resumed,
		CommitFailed:   (*Machine).resumeNotDurable,
		KeyPressed:     nothing,
		Withdraw:       (*Machine).withdraw,
		Pause:          (*Machine).pauseAgain,
		Resume:         nothing,
		RecorderFailed: (*Machine).recorderFailed,
		PartyChanged:   (*Machine).partyChanged,
		Objected:       (*Machine).withdraw,
		HangUp:         (*Machine).end,
	},
	Unrecorded: {
		Committed:      (*Machine).grantedTooLate,
		CommitFailed:   nothing,
		Opened:         (*Machine).openedTooLate,
		OpenFailed:     (*Machine).grantedTooLate,
		KeyPressed:     nothing,
		PromptEnd:      nothing,
		PromptFailed:   nothing,
		Silence:        nothing,
		RecorderFailed: nothing,
		Withdraw:       nothing,
		Pause:          nothing,
		Resume:         nothing,
		PartyChanged:   nothing,
		Objected:       nothing,
		HangUp:         (*Machine).end,
	},
	Ended: {
		Committed:      (*Machine).grantedTooLate,
		CommitFailed:   nothing,
		Opened:         (*Machine).openedTooLate,
		OpenFailed:     (*Machine).grantedTooLate,
		KeyPressed:     nothing,
		PromptEnd:      nothing,
		PromptFailed:   nothing,
		Silence:        nothing,
		RecorderFailed: nothing,
		Withdraw:       nothing,
		Pause:          nothing,
		Resume:         nothing,
		PartyChanged:   nothing,
		Objected:       nothing,
		HangUp:         nothing,
	},
}

// Step takes one event. expected is false where the state has no use for such
// an event: the machine is unchanged and the caller should count it.
func (m Machine) Step(ev Event) (next Machine, acts []Act, expected bool) {
	if ev.Kind == KeyPressed {
		was, is := m.presses[ev.Party].took(ev.Press)
		if !is {
			m.alsoBy(ev.Party, was)
			return m, nil, true
		}
		ev = m.translate(ev)
	}
	f := table[m.State][ev.Kind]
	if f == nil {
		return m, nil, false
	}
	acts = f(&m, ev)
	return m, acts, true
}

// record starts a record about this call.
func (m *Machine) record(k Kind, ev Event, reason string) *Record {
	r := &Record{Kind: k, At: ev.At, By: ev.By, Call: *m.call, Policy: m.policy.Name, PolicyHash: m.policy.Hash(),
		Purpose: m.policy.Purpose, Parties: slices.Clone(m.policy.Parties), Reason: reason}
	if m.grant != (Hash{}) && k != Granted {
		g := m.grant
		r.Grant = &g
	}
	if m.prior != (Hash{}) {
		p := m.prior
		r.Continues = &p
	}
	return r
}

// recordOf starts one about a party's act. What the console does for more than one
// is nobody's own.
func (m *Machine) recordOf(k Kind, ev Event, reason string) *Record {
	r, p := m.record(k, ev, reason), ev.Party
	if ev.Reason == byConsole {
		if len(m.policy.Parties) != 1 {
			return r
		}
		p = m.policy.Parties[0]
	}
	r.Party = &p
	return r
}
