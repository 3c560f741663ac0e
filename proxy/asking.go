package proxy

import (
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// promptSlack is how much longer than itself a prompt may take to play.
const promptSlack = 3 * time.Second

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

// heardSoFar is what a party has heard of a prompt that still plays.
func (c *call) heardSoFar(p consent.Party) consent.Heard {
	h := c.heardOf(media.Played{Heard: time.Since(c.law.since[p])})
	return h
}

func (c *call) heardOf(p media.Played) consent.Heard {
	a := c.law.prompt
	return consent.Heard{Prompt: a.ID, SHA256: a.SHA256, Language: a.Language, Heard: p.Heard, Complete: p.Complete}
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
