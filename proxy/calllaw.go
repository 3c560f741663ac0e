package proxy

import (
	"errors"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// callLaw is the call's consent.
type callLaw struct {
	session     *consent.Session
	prompt      *media.Audio
	playing     [2]bool // by party: hearing its prompt
	keys        [2]bool // by party: its keys are ours
	since       [2]time.Time
	asked       [2]int // by party: counts askings, so that stale answers are told apart
	timers      [2]*time.Timer
	scribe      *scribe
	round       int // counts the times that parties were asked
	outstanding int // events that the scribe owes us
	sink        media.Sink
	resuming    []chan<- error // of those at the console who wait for the log
}

func (l *callLaw) close() {
	if l.scribe != nil {
		l.scribe.close()
	}
}

// asks reports whether this call will be held at the gate.
func (c *call) asks() bool {
	return c.media.relay != nil && c.policy != nil && c.policy.Action == consent.Ask
}

// talk runs when both dialogs stand: the parties are asked, or talk at once.
func (c *call) talk() {
	if most := c.a.side.trunk.MaxDuration; most > 0 && c.ring == nil {
		c.limit(most)
	}
	if c.ring == nil {
		c.state = bridged
	}
	if c.policy == nil {
		return
	}
	if c.media.relay == nil && c.policy.Action == consent.Ask {
		c.gate.metrics.consent.WithLabelValues(c.a.side.trunk.Name, string(consent.Failed)).Inc()
		c.view.Consent = consent.Failed
		return // nobody can be asked; the call goes on
	}
	c.law.scribe = newScribe(c)
	c.law.session = consent.NewSession(c.facts(), c.policy, c.gate.cfg.Ledger)
	if c.former != nil {
		if grant := c.former.latest.Load(); grant != nil {
			c.law.session.Continue(*grant)
		}
	}
	if c.policy.Action == consent.Ask {
		if c.ring == nil {
			c.state = gated
		}
		c.law.prompt = c.gate.cfg.Prompts.Consent(c.policy)
		c.guardBound()
	}
	c.heed(c.a)
	c.heed(c.b)
	c.consent(consent.Event{Kind: consent.Start, Reason: c.unready()})
}

var errNoRecorder = errors.New("there is no recorder")

// unready says why nothing could be recorded now, so that nobody need be asked;
// "" if something could.
func (c *call) unready() string {
	if c.policy.Action != consent.Ask {
		return ""
	}
	err := errNoRecorder
	if r := c.gate.cfg.Recorder; r != nil {
		err = r.Ready(c.a.side.trunk.Name)
	}
	if err == nil {
		return ""
	}
	c.log.Warn("nobody is asked: nothing can be recorded", "error", err)
	return "nobody was asked, for nothing can be recorded: " + err.Error()
}

// facts is what the evidence says of the call.
func (c *call) facts() *consent.Call {
	caller, called := callerOf(c.inv.tx.req), calledNumber(c.inv.tx.req)
	remote, local := caller, called
	if c.dir == consent.Outbound {
		remote, local = called, caller
	}
	out := &consent.Call{ID: c.id, CallID: c.callID, Node: c.gate.cfg.Node, Trunk: c.a.side.trunk.Name,
		Direction: c.dir, Remote: remote, Local: local, Controller: c.gate.cfg.Controller, Started: time.Now(),
		Diverted: divertedFrom(c.inv.tx.req), Withheld: withheld(c.inv.tx.req)}
	if who := c.b.asserted; who != "" && who != called {
		out.Connected = who
	}
	return out
}

// onConsent takes an event of media, a timer or the scribe.
func (c *call) onConsent(ev event) {
	if ev.consent.Kind == consent.Committed || ev.consent.Kind == consent.CommitFailed {
		c.law.outstanding--
	}
	if c.law.session == nil || ev.asked != 0 && ev.asked != c.law.asked[ev.consent.Party] {
		return
	}
	c.consent(ev.consent)
}

// consent steps the session and does what it says.
func (c *call) consent(ev consent.Event) {
	ev.At = time.Now()
	if ev.Kind == consent.KeyPressed && c.law.playing[ev.Party] {
		ev.Heard = c.heardSoFar(ev.Party)
	}
	acts, expected := c.law.session.Step(ev)
	if !expected {
		c.gate.metrics.unexpected.WithLabelValues(c.law.session.State().String(), ev.Kind.String()).Inc()
		return
	}
	for _, a := range acts {
		c.view.follow(a)
		c.do(a)
	}
	c.listen()
	c.settleResuming()
}

func (c *call) legOf(p consent.Party) *leg {
	if c.a.party == p {
		return c.a
	}
	return c.b
}

// do carries out one act of the consent machine.
func (c *call) do(a consent.Act) {
	switch a.Do {
	case consent.Play:
		c.play(a.Party)
	case consent.Wait:
		c.wait(a.Party, a.For)
	case consent.Notice:
		c.nextAsking(a.Party)
		c.law.keys[a.Party] = c.policy.Asks(a.Party)
		c.media.relay.Leg(a.Party).Notice(c.gate.cfg.Prompts.Notice(c.policy.Language))
	case consent.StopAll:
		for _, p := range []consent.Party{consent.Remote, consent.Local} {
			c.nextAsking(p)
			c.law.keys[p] = false
			c.media.relay.Leg(p).Stop()
		}
	case consent.Part:
		c.state = gated
		c.media.relay.Gate()
		c.guardBound()
	case consent.Bridge:
		c.openGate()
	case consent.EndCall:
		c.outcome = "refused_recording"
		c.endBoth("SIP;cause=603;text=\"Recording refused\"")
	default:
		c.doRecord(a)
	}
}

// openGate lets the parties hear each other, or rings the one that isn't there.
func (c *call) openGate() {
	if c.state == alone {
		c.ringOut()
		return
	}
	if c.media.relay != nil {
		c.media.relay.Bridge()
	}
	if c.state == gated {
		c.state = bridged
	}
}

// count counts the outcome of an asking, once a call.
func (c *call) count(r *consent.Record) {
	switch r.Kind {
	case consent.Paused, consent.Resumed:
		return
	case consent.Failed:
		if r.Grant != nil {
			return // the end of a grant that was counted
		}
	}
	c.gate.metrics.consent.WithLabelValues(r.Call.Trunk, string(r.Kind)).Inc()
	if c.policy.Action == consent.Ask {
		c.gate.metrics.answers.WithLabelValues(r.Call.Trunk, c.policy.Language, string(r.Kind)).Inc()
	}
}
