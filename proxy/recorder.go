package proxy

import (
	"consentgate/consent"
	"consentgate/media"
)

// opened is a recorder that is ready.
type opened struct{ sink media.Sink }

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
