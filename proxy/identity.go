package proxy

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

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

// speaker is who a message within the dialog says that its sender is: who is
// asserted, else who a request's From names (RFC 4916), else nobody.
func speaker(m message) (number string, vouched bool) {
	if a := asserted(m); a != "" {
		return a, true
	}
	if req, ok := m.(*sip.Request); ok {
		return numberOf(parseNameAddr(header(req, "from")).uri), false
	}
	return "", false
}

// recognise looks at who speaks for a leg now, and reports whether it is another
// than before. The first number that is vouched for is no change, for there is
// nothing to compare it with.
func (l *leg) recognise(m message) bool {
	now, vouched := speaker(m)
	was := &l.named
	if vouched {
		was = &l.asserted
	}
	if now == "" || now == *was {
		return false
	}
	another := *was != ""
	*was = now
	return another
}

// suspect stops recording while it isn't sure that the same people talk (law 1).
func (c *call) suspect(why string) {
	c.log.Info("somebody else may be on the line", "why", why)
	if c.law.session == nil {
		return
	}
	if c.law.session.State() == consent.Asking {
		c.consent(consent.Event{Kind: consent.PartyChanged, Reason: why})
		return
	}
	c.consent(consent.Event{Kind: consent.Pause, Reason: consent.ByTransfer})
}

// partyChanged tells the consent that somebody new is on the line.
func (c *call) partyChanged(l *leg) {
	c.log.Info("party changed", "side", l.side.name())
	who := l.asserted
	if who == "" {
		who = l.named
	}
	c.view.renew(l.party, who)
	if c.law.session == nil {
		return
	}
	c.consent(consent.Event{Kind: consent.PartyChanged, Party: l.party, Who: who})
}

// transferFailed reports whether a NOTIFY tells that a transfer came to nothing
// (RFC 3515 section 2.4.5): the parties are the same as before.
func transferFailed(req *sip.Request) bool {
	event, _, _ := strings.Cut(header(req, "event"), ";")
	kind, _, _ := strings.Cut(header(req, "content-type"), ";")
	if req.Method != sip.NOTIFY || !strings.EqualFold(strings.TrimSpace(event), "refer") ||
		!strings.EqualFold(strings.TrimSpace(kind), "message/sipfrag") {
		return false
	}
	f := strings.Fields(string(req.Body()))
	if len(f) < 2 || f[0] != "SIP/2.0" {
		return false
	}
	status, err := strconv.Atoi(f[1])
	return err == nil && status >= 300
}

// callerOf is the caller's number: the network's or the PBX's assertion before
// what the caller says.
func callerOf(req *sip.Request) string {
	if a := asserted(req); a != "" {
		return a
	}
	return numberOf(parseNameAddr(header(req, "from")).uri)
}

// divertedFrom is the number that was called before the call was diverted, ""
// if it wasn't: the last entry of Diversion (RFC 5806: the latest comes first)
// or the first of History-Info (RFC 7044), if that is another than is called now.
func divertedFrom(req *sip.Request) string {
	if all := list(req, "diversion"); len(all) > 0 {
		return numberOf(parseNameAddr(all[len(all)-1]).uri)
	}
	if all := list(req, "history-info"); len(all) > 1 {
		return numberOf(parseNameAddr(all[0]).uri)
	}
	return ""
}

// withheld reports whether the caller asked for privacy (RFC 3323 section 4.2,
// RFC 3325 section 9.3), or has no name at all (RFC 3261 section 8.1.1.3).
func withheld(req *sip.Request) bool {
	for _, v := range strings.FieldsFunc(strings.ToLower(header(req, "privacy")), func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		switch v {
		case "id", "user", "header":
			return true
		}
	}
	from := splitURI(parseNameAddr(header(req, "from")).uri)
	return strings.EqualFold(from.user, "anonymous") || strings.HasPrefix(strings.ToLower(from.hostport), "anonymous.invalid")
}

// replaced is the call that an INVITE wants to take the place of (RFC 3891), if
// it is one of ours.
func (g *Gate) replaced(from *side, req *sip.Request) *call {
	v := header(req, "replaces")
	if v == "" {
		return nil
	}
	id, params, _ := strings.Cut(v, ";")
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range []*side{from, from.other} {
		for _, tag := range []string{param(params, "from-tag"), param(params, "to-tag")} {
			if l := g.dialogs[dialogKey{s, strings.TrimSpace(id), tag}]; l != nil {
				return l.call
			}
		}
	}
	return nil
}
