package proxy

import (
	"time"

	"consentgate/consent"
	"consentgate/proxy/sdp"
)

// LiveCall is a call as it stood at one moment.
type LiveCall struct {
	ID        string // ours, as in the evidence: random, and no peer knows it
	Trunk     string
	Direction consent.Direction
	State     string // setup, ringing, answered, gate, bridged or ending
	Started   time.Time
	Policy    string // "": none matches, so nobody is asked
	Purpose   string // "": nobody is asked
	Language  string // of the prompt
	Remote    LiveParty
	Local     LiveParty

	// Consent is that of all who are asked: as in consent_total, or NoConsent, or
	// Asking.
	Consent consent.Kind

	Recording   string         // RecordingOff, RecordingOn or RecordingPaused
	RecordingID string         // the recorder's name for the latest; "": there is none, or it was erased
	Pauses      consent.Pauses // who paused it
	Gap         string         // why it stands still though nobody paused it: hold or no-audio
}

// LiveParty is one of the two.
type LiveParty struct {
	Number  string // or address: personal data
	Asked   bool   // the policy wants its yes
	Consent consent.Kind
}

// What a call's or a party's consent may be beyond the kinds of records.
const (
	NoConsent consent.Kind = "none"   // not asked yet, or never
	Asking    consent.Kind = "asking" // or its yes isn't durable yet
)

// What LiveCall.Recording says.
const (
	RecordingOff    = "off"
	RecordingOn     = "recording"
	RecordingPaused = "paused"
)

// Calls are the calls there are, in no order. No call waits for it, nor it for a
// call: each has published how it stood after what last happened to it.
func (g *Gate) Calls() []LiveCall {
	g.mu.Lock()
	calls := make([]*call, 0, len(g.live))
	for _, c := range g.live {
		calls = append(calls, c)
	}
	g.mu.Unlock()
	out := make([]LiveCall, len(calls))
	for i, c := range calls {
		out[i] = *c.seen.Load()
	}
	return out
}

// publish lets others see how the call stands, if that has changed.
func (c *call) publish() {
	now := &c.view
	now.State = c.state.shown()
	now.Recording, now.Gap = RecordingOff, ""
	switch c.recording() {
	case sdp.RecordOn:
		now.Recording = RecordingOn
	case sdp.RecordPaused:
		now.Recording = RecordingPaused
		for cause, is := range c.gaps() {
			if is {
				now.Gap = cause
			}
		}
	}
	now.Pauses = consent.Pauses{}
	if c.law.session != nil {
		now.Pauses = c.law.session.Pauses()
	}
	if seen := c.seen.Load(); seen == nil || *seen != *now {
		was := *now
		c.seen.Store(&was)
	}
}

// shown is a state in the operator's words.
func (s callState) shown() string {
	switch s {
	case alone:
		return gated.String() // the caller is being asked
	case calling:
		return ringing.String()
	}
	return s.String()
}

// introduce begins what the call shows of itself.
func (c *call) introduce(caller, called string) {
	v := &c.view
	*v = LiveCall{ID: c.id, Trunk: c.a.side.trunk.Name, Direction: c.dir, Started: time.Now(), Policy: c.policyName(), Consent: NoConsent}
	v.Remote, v.Local = LiveParty{Number: caller, Consent: NoConsent}, LiveParty{Number: called, Consent: NoConsent}
	if c.dir == consent.Outbound {
		v.Remote, v.Local = v.Local, v.Remote
	}
	if c.policy != nil && c.policy.Action == consent.Ask {
		v.Purpose, v.Language = c.policy.Purpose.Name, c.policy.Language
		v.Remote.Asked, v.Local.Asked = c.policy.Asks(consent.Remote), c.policy.Asks(consent.Local)
	}
	c.publish()
}

func (v *LiveCall) party(p consent.Party) *LiveParty {
	if p == consent.Remote {
		return &v.Remote
	}
	return &v.Local
}

// follow keeps the call's consent in step with an act of the consent machine.
func (v *LiveCall) follow(a consent.Act) {
	switch a.Do {
	case consent.Play:
		v.party(a.Party).Consent, v.Consent = Asking, Asking
	case consent.Notice:
		if p := v.party(a.Party); p.Consent == Asking {
			p.Consent = consent.Granted // and waits for the other's
		}
	case consent.Create:
		v.Consent = consent.Granted
	case consent.EraseIt:
		v.RecordingID = ""
	case consent.Commit, consent.Append:
		v.record(a.Record)
	}
}

func (v *LiveCall) record(r *consent.Record) {
	switch {
	case r.Kind == consent.Paused, r.Kind == consent.Resumed:
	case r.Kind == consent.Granted: // the call's, when it is durable
		for _, p := range r.Parties {
			v.party(p).Consent = consent.Granted
		}
	case r.Kind == consent.Failed && r.Grant != nil && v.Consent != Asking:
		// No recording came of the grant: the consent stays what it was.
	default:
		v.Consent = r.Kind
		concerned := r.Parties
		if r.Party != nil {
			concerned = []consent.Party{*r.Party}
		}
		for _, p := range concerned {
			v.party(p).Consent = r.Kind
		}
	}
}

// renew shows a party that has taken another's place: nobody has asked it.
func (v *LiveCall) renew(p consent.Party, number string) {
	party := v.party(p)
	party.Number, party.Consent = number, NoConsent
	if v.Consent == consent.Granted {
		v.Consent = NoConsent
	}
}
