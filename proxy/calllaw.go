package proxy

import (
	"context"
	"errors"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

const (
	// ledgerPatience bounds what one write of the log may take before its
	// record counts as not durable.
	ledgerPatience = 5 * time.Second
	// promptSlack is how much longer than itself a prompt may take to play.
	promptSlack = 3 * time.Second
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

// opened is a recorder that is ready.
type opened struct{ sink media.Sink }

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

// guardBound lets the parties talk when the asking has taken longer than the
// policy allows, whatever hangs (law 2).
func (c *call) guardBound() {
	bound := promptSlack
	if c.law.prompt != nil {
		bound += c.policy.Bound(c.law.prompt.Duration() + time.Second)
	}
	c.law.round++
	round := c.law.round
	c.after(bound, func() {
		if c.state != gated && c.state != alone || c.law.round != round {
			return
		}
		c.log.Error("asking took longer than the policy allows")
		for _, p := range []consent.Party{consent.Remote, consent.Local} {
			c.consent(consent.Event{Kind: consent.PromptFailed, Party: p, Reason: "the asking took too long"})
			c.consent(consent.Event{Kind: consent.Silence, Party: p})
		}
		if c.state == gated || c.state == alone {
			c.openGate()
		}
	})
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

// heardSoFar is what a party has heard of a prompt that still plays.
func (c *call) heardSoFar(p consent.Party) consent.Heard {
	h := c.heardOf(media.Played{Heard: time.Since(c.law.since[p])})
	return h
}

func (c *call) heardOf(p media.Played) consent.Heard {
	a := c.law.prompt
	return consent.Heard{Prompt: a.ID, SHA256: a.SHA256, Language: a.Language, Heard: p.Heard, Complete: p.Complete}
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

// doRecord carries out the acts about evidence and recording.
func (c *call) doRecord(a consent.Act) {
	switch a.Do {
	case consent.Commit:
		c.count(a.Record)
		c.law.outstanding++
		c.law.scribe.commit(a.Record)
	case consent.Append:
		c.count(a.Record)
		c.law.scribe.append(a.Record)
		if a.Record.Kind == consent.Withdrawn {
			c.confirm(a.Record)
		}
	case consent.Create:
		if c.ring != nil && !c.answered {
			c.ring.grant = a.Grant // there is nothing to record yet
			return
		}
		c.law.outstanding++
		c.law.scribe.create(a.Grant)
	case consent.Tap:
		c.openTap()
	case consent.PauseTap:
		c.tapDo(func(t *media.Tap) { t.Pause("pause") })
	case consent.ResumeTap:
		c.tapDo(func(t *media.Tap) { t.Resume("pause") })
	case consent.CloseTap:
		c.tapDo(func(t *media.Tap) { t.Close(a.Reason) })
	case consent.Discard:
		c.law.scribe.discard(c.law.sink, a.Reason)
	case consent.EraseIt:
		c.erase(a.Of, a.Reason)
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

// nextAsking makes answers to an earlier prompt or timer of that party stale.
func (c *call) nextAsking(p consent.Party) int {
	c.law.asked[p]++
	c.law.playing[p] = false
	if t := c.law.timers[p]; t != nil {
		t.Stop()
	}
	return c.law.asked[p]
}

// play asks a party.
func (c *call) play(p consent.Party) {
	asked := c.nextAsking(p)
	fail := func(reason string) {
		c.post(event{kind: evConsent, asked: asked,
			consent: consent.Event{Kind: consent.PromptFailed, Party: p, Reason: reason}})
	}
	c.law.keys[p] = true
	unready := c.unready() // by now: who came in during the call, or is asked again
	switch {
	case unready != "":
		fail(unready)
		return
	case c.law.prompt == nil:
		fail("there is no prompt to play")
		return
	case !c.legOf(p).hears():
		fail("the party cannot be played a prompt")
		return
	}
	c.law.playing[p], c.law.since[p] = true, time.Now()
	c.law.timers[p] = time.AfterFunc(c.law.prompt.Duration()+promptSlack, func() { fail("the prompt didn't end in time") })
	c.media.relay.Leg(p).Play(c.law.prompt, func(played media.Played) {
		if played.Err != nil {
			fail(played.Err.Error())
			return
		}
		c.post(event{kind: evConsent, asked: asked,
			consent: consent.Event{Kind: consent.PromptEnd, Party: p, Heard: c.heardOf(played)}})
	})
}

// wait gives a party its time to answer.
func (c *call) wait(p consent.Party, d time.Duration) {
	asked := c.nextAsking(p)
	c.law.timers[p] = time.AfterFunc(d, func() {
		c.post(event{kind: evConsent, asked: asked, consent: consent.Event{Kind: consent.Silence, Party: p}})
	})
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

// confirm tells who withdrew that the recording has stopped; all who were asked,
// where the console did it for them.
func (c *call) confirm(r *consent.Record) {
	who := r.Parties
	if r.Party != nil {
		who = []consent.Party{*r.Party}
	}
	for _, p := range who {
		if a := c.gate.cfg.Prompts.Stopped(c.policy.Language); a != nil && c.legOf(p).hears() {
			c.media.relay.Leg(p).Play(a, func(media.Played) {})
		}
	}
}

func (c *call) tapDo(f func(*media.Tap)) {
	if c.media.tap != nil {
		f(c.media.tap)
	}
}

// onRecorder: the recorder that a grant asked for is ready, or isn't.
func (c *call) onRecorder(ev event) {
	c.law.outstanding--
	c.law.sink = ev.opened.sink
	c.consent(ev.consent)
}

// openTap lets packets reach the recorder: the one place where it happens.
func (c *call) openTap() {
	tap, err := c.media.relay.Open(c.law.scribe.granted(), c.law.sink)
	if err != nil {
		c.law.scribe.discard(c.law.sink, consent.EndFailed+": "+err.Error())
		c.post(event{kind: evConsent, consent: consent.Event{Kind: consent.RecorderFailed, Reason: err.Error()}})
		return
	}
	c.media.tap = tap
	grant := c.law.scribe.granted().Hash()
	c.latest.Store(&grant)
	if r, ok := c.law.sink.(interface{ ID() string }); ok {
		c.view.RecordingID = r.ID()
	}
	for cause, now := range c.gaps() {
		if now {
			tap.Pause(cause)
		}
	}
	c.log.Info("recording")
	c.heed(c.a)
	c.heed(c.b)
}

// erase removes what a grant of this call recorded, when its last packet has
// been written.
func (c *call) erase(grant consent.Hash, reason string) {
	tap := c.media.tap
	if grant != c.law.scribe.granted().Hash() {
		tap = nil // of an earlier segment, or of a grant that nothing was recorded with
	}
	c.law.scribe.erase(grant, tap, reason)
}

// patience is the context for one write.
func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), ledgerPatience)
}
