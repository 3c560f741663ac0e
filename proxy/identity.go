package proxy

import (
	"consentgate/consent"
)

// asserted is the number that the network or the PBX vouches for as a message's
// sender: P-Asserted-Identity (RFC 3325) or Remote-Party-ID; "" if it says none.
func asserted(m message) string {
	for _, name := range []string{"p-asserted-identity", "remote-party-id"} {
		if all := list(m, name); len(all) > 0 {
			return numberOf(parseNameAddr(all[0]).uri)
		}
	}
	return ""
}

// recognise looks at who speaks for a leg now. Another number than before is
// somebody who was never asked: recording ends (law 1). The first number heard
// of is no change, for there is nothing to compare it with.
func (c *call) recognise(l *leg, m message) {
	now := asserted(m)
	if now == "" {
		return
	}
	if l.asserted != "" && l.asserted != now {
		c.partyChanged(l, "another identity is asserted")
	}
	l.asserted = now
}

// partyChanged tells the consent that somebody new is, or will be, on the line.
func (c *call) partyChanged(l *leg, why string) {
	c.log.Info("party changed", "side", l.side.name(), "why", why)
	if c.law.session != nil {
		c.consent(consent.Event{Kind: consent.PartyChanged, Party: l.party, Reason: why})
	}
}
