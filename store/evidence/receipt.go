package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"consentgate/consent"
)

// Receipt writes a consent receipt (ISO/IEC TS 27560:2023 in DPV's terms, as
// JSON-LD) of a case: one consent record for each party that said yes and whose
// consent the reader sees. at is when it is made out.
func Receipt(c Case, s Setting, r Reader, at time.Time) ([]byte, error) {
	doc, err := receipt(c, s, r, at)
	if err != nil {
		return nil, err
	}
	return encode(doc)
}

// encode writes JSON for people, too: indented, and without escapes that only
// HTML needs.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

func receipt(c Case, s Setting, r Reader, at time.Time) (node, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	w := writer{c: &c, s: &s, r: r, controller: "urn:uuid:" + uuid8(time.Time{}, "controller", c.grant().Call.Controller.Name)}
	var records []node
	for i := range c.grant().Answers {
		if a := &c.grant().Answers[i]; r.sees(a.Party) {
			records = append(records, w.record(a))
		}
	}
	if len(records) == 0 {
		return nil, errNotAsked
	}
	id := uuid8(at, "receipt", c.grant().Hash().String(), fmt.Sprint(r.Party != nil, r.Numbers))
	return node{
		"@context":                ldContext,
		"@id":                     "urn:uuid:" + id,
		"@type":                   "dpv:ConsentReceipt",
		"dct:conformsTo":          "dpv-27560:receipt",
		"dct:identifier":          id,
		"dpv:hasIdentifier":       id,
		"dct:created":             stamp(at),
		"dct:publisher":           w.controller,
		"schema:recipient":        "dpv:DataSubject",
		"dpv:hasRecordOfActivity": records,
	}, nil
}

// writer makes the nodes of one receipt.
type writer struct {
	c          *Case
	s          *Setting
	r          Reader
	controller string // its IRI
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// span is an ISO 8601 duration, of whole days where it is that.
func span(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("P%dD", d/(24*time.Hour))
	}
	return fmt.Sprintf("PT%gS", d.Seconds())
}

// record is one party's consent record.
func (w *writer) record(a *consent.Answer) node {
	g := w.c.grant()
	id := uuid8(g.At, "record", g.Hash().String(), a.Party.String())
	subject := w.c.pseudonym(a.Party)
	who := node{"@id": "urn:uuid:" + subject, "@type": "dpv:DataSubject", "dct:identifier": subject}
	if w.c.shows(w.r, a.Party) {
		who["dct:identifier"] = w.c.number(a.Party)
	}
	notice := w.notice(a)
	out := node{
		"@id":                  "urn:uuid:" + id,
		"@type":                "dpv:ConsentRecord",
		"dct:conformsTo":       "dpv-27560:record",
		"dct:identifier":       id,
		"dpv:hasIdentifier":    id,
		"dct:created":          stamp(g.At),
		"dpv:hasDataSubject":   who,
		"dpv:hasNotice":        notice,
		"dpv:hasEntity":        w.entity(),
		"dpv:hasProcess":       w.process(),
		"dpv:hasConsentStatus": w.events(a, notice["@id"]),
		"cg:policy":            g.Policy,
		"cg:policyHash":        g.PolicyHash.String(),
		"cg:grant":             g.Hash().String(),
		"cg:recording":         w.c.Recording,
		"cg:call":              g.Call.ID,
		"cg:node":              g.Call.Node,
	}
	if g.Continues != nil {
		out["cg:continues"] = g.Continues.String()
	}
	if len(w.statuses()) > 0 {
		out["dpv:hasActivityStatus"] = w.statuses()
	}
	return out
}

// notice is what the party was told, and how much of it reached them.
func (w *writer) notice(a *consent.Answer) node {
	return node{
		"@id":             "urn:consentgate:prompt:sha256:" + a.Heard.SHA256.String(),
		"@type":           "dpv:ConsentNotice",
		"dct:identifier":  a.Heard.Prompt,
		"dct:language":    a.Heard.Language,
		"schema:sha256":   a.Heard.SHA256.String(),
		"cg:heard":        node{"@type": "xsd:integer", "@value": fmt.Sprint(a.Heard.Heard.Milliseconds())},
		"cg:heardToEnd":   a.Heard.Complete,
		"cg:attempt":      a.Attempt,
		"dct:description": "spoken to the party before the answer; cg:heard is how much of it was sent to them, in milliseconds",
	}
}

// unknown is said where 27560 wants something that nobody told the gate.
const unknown = "not stated; ask the contact"

func (w *writer) entity() node {
	c := w.c.grant().Call.Controller
	contact := node{"@type": "schema:ContactPoint", "schema:description": c.Contact}
	if strings.Contains(c.Contact, "@") && !strings.ContainsAny(c.Contact, " :/") {
		contact = node{"@type": "schema:ContactPoint", "schema:email": c.Contact}
	}
	address := w.s.Address
	if address == "" {
		address = unknown
	}
	return node{
		"@id":                 w.controller,
		"@type":               []string{"dpv:Organisation", "dpv:DataController"},
		"dpv:hasName":         c.Name,
		"dpv:hasIdentifier":   w.controller,
		"dpv:hasContact":      c.Contact,
		"schema:contactPoint": contact,
		"schema:address":      node{"@type": "schema:PostalAddress", "schema:description": address},
	}
}

// process is what was consented to.
func (w *writer) process() node {
	g := w.c.grant()
	recipients := []node{{"@id": w.controller, "@type": "dpv:DataController"}}
	for _, name := range w.recipients() {
		recipients = append(recipients, node{"@type": "dpv:Recipient", "dpv:hasName": name})
	}
	how := "in writing to " + g.Call.Controller.Contact
	return node{
		"@type":                 "dpv:Process",
		"dpv:hasPurpose":        w.purpose(),
		"dpv:hasLegalBasis":     "eu-gdpr:A6-1-a",
		"dpv:hasPersonalData":   []string{"pd:VoiceCommunicationRecording", "pd:TelephoneNumber"},
		"dpv:hasProcessing":     []string{"dpv:Record", "dpv:Store"},
		"dpv:hasDataSource":     "dpv:DataSubjectDataSource",
		"dpv:hasDataController": w.controller,
		"dpv:hasRecipient":      recipients,
		"dpv:hasJurisdiction":   w.s.country(),
		"dpv:hasStorageCondition": []node{
			{"@type": "dpv:StorageDuration", "dpv:hasDuration": []node{
				{"@type": "dpv:TemporalDuration", "rdf:value": node{"@type": "xsd:duration", "@value": span(g.Purpose.Retention)}},
				w.until()}},
			{"@type": "dpv:StorageDeletion", "dpv:hasDuration": w.until()},
			{"@type": "dpv:StorageLocation", "dpv:hasLocation": w.s.country(),
				"dct:description": "the controller's gate, encrypted: node " + g.Call.Node},
		},
		"dpv:hasConsentControl": node{"@type": "dpv:WithdrawConsent",
			"dpv:isExercisedAt": "during the call by the keys that the notice named; afterwards " + how},
		"dpv:hasRight": rights(how),
	}
}

func (w *writer) until() node {
	return node{"@type": "dpv:UntilTimeDuration", "rdf:value": node{"@type": "xsd:dateTime", "@value": stamp(w.c.Until())}}
}

// recipients are those the controller names and those the log knows of.
func (w *writer) recipients() []string {
	out := slices.Clone(w.s.Recipients)
	for _, a := range w.c.Accesses {
		if a.Exported && a.To != "" && !slices.Contains(out, a.To) {
			out = append(out, a.To)
		}
	}
	return out
}

// purpose is the controller's own: DPV's taxonomy of purposes is theirs to map.
func (w *writer) purpose() node {
	p := w.c.grant().Purpose
	out := node{"@type": "dpv:Purpose", "dct:identifier": p.Name}
	var said []node
	for lang, text := range p.Text {
		said = append(said, node{"@language": lang, "@value": text})
	}
	slices.SortFunc(said, func(a, b node) int { return strings.Compare(a["@language"].(string), b["@language"].(string)) })
	if len(said) > 0 {
		out["dct:description"] = said
	}
	return out
}

// rights are those that a recording by consent gives (GDPR Art. 7(3), 15 to 18,
// 20, 77). Art. 21 is about other legal bases.
func rights(how string) (out []node) {
	for _, r := range [][2]string{
		{"A7-3", "Right to withdraw consent"}, {"A15", "Right of access"}, {"A16", "Right to rectification"},
		{"A17", "Right to erasure"}, {"A18", "Right to restriction of processing"}, {"A20", "Right to data portability"},
	} {
		out = append(out, node{"@type": []string{"dpv:DataSubjectRight", "eu-gdpr:" + r[0]}, "dct:title": r[1], "dpv:isExercisedAt": how})
	}
	return append(out, node{"@type": []string{"dpv:DataSubjectRight", "eu-gdpr:A77"}, "dct:title": "Right to lodge a complaint",
		"dpv:isExercisedAt": "a supervisory authority"})
}
