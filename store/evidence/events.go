package evidence

import (
	"fmt"
	"strings"

	"consentgate/consent"
)

// events are the states that a party's consent went through.
func (w *writer) events(a *consent.Answer, notice any) []node {
	g := w.c.grant()
	subject := "urn:uuid:" + w.c.pseudonym(a.Party)
	given := node{
		"@type":                   []string{"dpv:ConsentGiven", "dpv:ExpressedConsent"},
		"dpv:isIndicatedAtTime":   stamp(a.Press.At),
		"dpv:isIndicatedBy":       subject,
		"dpv:hasIndicationMethod": fmt.Sprintf("pressed key %c, which came %s", a.Press.Key, ways(a.Press.Via)),
		"dpv:hasDuration":         w.until(),
		"dpv:hasNotice":           notice,
		"cg:press":                press(&a.Press),
	}
	logged(given, g)
	out := []node{given}
	for i := range w.c.Records {
		if l := &w.c.Records[i]; l.Kind == consent.Withdrawn && (l.Party == nil || w.r.sees(*l.Party)) {
			out = append(out, w.withdrawal(l))
		}
	}
	return out
}

func (w *writer) withdrawal(l *Logged) node {
	out := node{
		"@type":                   "dpv:ConsentWithdrawn",
		"dpv:isIndicatedAtTime":   stamp(l.At),
		"dpv:isIndicatedBy":       w.actor(l),
		"dpv:hasIndicationMethod": method(l),
		"dpv:hasDuration":         node{"@type": "dpv:EndlessDuration"},
	}
	logged(out, l)
	return out
}

// statuses are pauses and what else became of the recording: states of what is
// done, not of the consent.
func (w *writer) statuses() (out []node) {
	for i := range w.c.Records {
		l := &w.c.Records[i]
		kind := ""
		switch l.Kind {
		case consent.Paused:
			kind = "dpv:ActivityHalted"
		case consent.Resumed:
			kind = "dpv:ActivityOngoing"
		case consent.Failed:
			kind = "dpv:ActivityNotCompleted"
		default:
			continue
		}
		n := node{"@type": kind, "dct:date": stamp(l.At), "dpv:isIndicatedBy": w.actor(l), "dct:description": string(l.Kind)}
		logged(n, l)
		out = append(out, n)
	}
	if !w.c.Erased.IsZero() {
		out = append(out, node{"@type": "dpv:ActivityCompleted", "dct:date": stamp(w.c.Erased), "dpv:hasProcessing": "dpv:Erase",
			"dpv:isIndicatedBy": w.controller, "dct:description": "erased"})
	}
	return out
}

// actor is whose act a record is: a party's, or the controller's.
func (w *writer) actor(l *Logged) string {
	if l.Party != nil && w.r.sees(*l.Party) {
		return "urn:uuid:" + w.c.pseudonym(*l.Party)
	}
	if l.Party != nil {
		return "dpv:DataSubject" // the other one
	}
	return w.controller
}

func method(l *Logged) string {
	if l.Party == nil || l.Reason == consent.ByConsole {
		return "at the controller's console"
	}
	return "by keys during the call"
}

// logged adds where the audit log has a record.
func logged(n node, l *Logged) {
	n["cg:record"] = l.Hash().String()
	if l.Leaf != "" {
		n["cg:auditEntry"], n["cg:auditLeaf"] = l.Seq, l.Leaf
	}
}

func press(p *consent.Press) node {
	out := node{"cg:key": string(rune(p.Key)), "cg:via": p.Via, "cg:pressedAt": stamp(p.At)}
	if strings.Contains(p.Via, "rfc4733") {
		out["cg:ssrc"], out["cg:rtpTime"] = node{"@type": "xsd:integer", "@value": fmt.Sprint(p.SSRC)}, node{"@type": "xsd:integer", "@value": fmt.Sprint(p.RTPTime)}
		out["cg:endBit"] = p.End
	}
	if p.Duration > 0 {
		out["schema:duration"] = span(p.Duration)
	}
	return out
}

// ways says in words how a key came.
func ways(via string) string {
	words := map[string]string{"rfc4733": "as a telephone event (RFC 4733)", "info": "by SIP INFO (RFC 6086)", "inband": "as a tone in the audio"}
	var out []string
	for _, w := range strings.Split(via, "+") {
		if s, ok := words[w]; ok {
			out = append(out, s)
		}
	}
	if out == nil {
		return "by the telephone"
	}
	return strings.Join(out, " and ")
}
