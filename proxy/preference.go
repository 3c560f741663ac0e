package proxy

import (
	"consentgate/consent"
	"consentgate/proxy/sdp"
)

// notePreference keeps what a leg's peer wants of recording (RFC 7866 section
// 9.2.2), and heeds it when what is being handled now has been.
func (c *call) notePreference(l *leg, m *sdp.Media) {
	if m == nil {
		return // a fax says nothing of it
	}
	if now := m.RecordPref(); now != l.prefers {
		l.prefers = now
		c.post(event{kind: evReply, run: func() { c.heed(l) }})
	}
}

// heed acts on what a leg's peer wants. That it wants no recording is a refusal,
// or a withdrawal, by whoever it comes from. That it wants one is no consent,
// for nobody was told of purposes (GDPR Art. 4(11)); it ends only a pause that
// it asked for itself.
func (c *call) heed(l *leg) {
	if c.law.session == nil {
		return
	}
	const reason = "a=recordpref:"
	state := c.law.session.State()
	running := state > consent.Asking && state < consent.Unrecorded
	switch {
	case l.prefers == sdp.PreferOff:
		c.consent(consent.Event{Kind: consent.Objected, Party: l.party, Reason: reason + l.prefers})
	case l.prefers == sdp.PreferPause && running && !l.paused:
		l.paused = true
		c.consent(consent.Event{Kind: consent.Pause, Party: l.party, Reason: reason + l.prefers})
	case l.prefers != sdp.PreferPause && l.paused:
		l.paused = false
		if running {
			c.consent(consent.Event{Kind: consent.Resume, Party: l.party, Reason: reason + l.prefers})
		}
	}
}
