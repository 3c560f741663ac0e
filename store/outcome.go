package store

import (
	"slices"
	"strings"

	"consentgate/consent"
)

// Outcomes of a recording: how it ended, in the words of who looks for it. States
// are coarser: whether it is whole. docs/api.md has what each means.
const (
	OutcomeRunning        = "running"         // it goes on, or waits to be sealed
	OutcomeComplete       = "complete"        // to the end of the call
	OutcomeWithdrawn      = "withdrawn"       // somebody took the consent back
	OutcomePartyChanged   = "party_changed"   // somebody else came onto the line
	OutcomeNotBegun       = "not_begun"       // the call was over, or had moved on, before a word was recorded
	OutcomeCrashed        = "crashed"         // the gate stopped meanwhile
	OutcomeRecorderFailed = "recorder_failed" // the recorder or its disk, while the call went on
)

// outcome is one of them. Its state is the word that recordings_total counts it by,
// too.
type outcome struct {
	name  string
	code  uint8 // in the catalog; never 0, which is what earlier versions wrote
	state string
	has   func(reason string) bool // the end's reason; nil: any
}

// outcomes in the order of docs/api.md. What none of them has is the last.
var outcomes = []outcome{
	{OutcomeRunning, 1, StateRecording, nil},
	{OutcomeComplete, 2, StateSealed, is(consent.EndHangUp)},
	{OutcomeWithdrawn, 3, StateSealed, is(consent.EndWithdrawn)},
	{OutcomePartyChanged, 4, StateSealed, is(consent.EndChanged)},
	{OutcomeNotBegun, 5, StateSealed, is(consent.EndUnbegun)},
	{OutcomeCrashed, 6, StateTruncated, says(whileRecording, fewerThanLogged)},
	{OutcomeRecorderFailed, 7, StateTruncated, nil},
}

// What is said of a crash.
const (
	whileRecording  = "the gate stopped while recording"
	fewerThanLogged = "the log had seen"
)

func is(reason string) func(string) bool { return func(r string) bool { return r == reason } }

func says(parts ...string) func(string) bool {
	return func(r string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(r, p) })
	}
}

// outcomeOf finds how a recording in a state ended by the reason that it has for it.
func outcomeOf(state, reason string) outcome {
	for _, o := range outcomes {
		if o.state == state && (o.has == nil || o.has(reason)) {
			return o
		}
	}
	return outcomes[len(outcomes)-1]
}

// Outcome is how it ended.
func (s Summary) Outcome() string { return outcomeOf(s.State, s.Reason).name }

// Outcomes are those that there are.
func Outcomes() (names []string) {
	for _, o := range outcomes {
		names = append(names, o.name)
	}
	return names
}

// outcomeCode is the catalog's for one; 0: there is no such outcome.
func outcomeCode(name string) uint8 {
	i := slices.IndexFunc(outcomes, func(o outcome) bool { return o.name == name })
	if i < 0 {
		return 0
	}
	return outcomes[i].code
}

// recorderFailed reports whether an end's reason is that the recorder failed: then
// the recording is truncated, though all that was written is there.
func recorderFailed(reason string) bool { return strings.HasPrefix(reason, consent.EndFailed) }
