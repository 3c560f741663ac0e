package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"consentgate/consent"
)

// vconVersion is the syntax of draft-ietf-vcon-vcon-core-04 section 4.1.1.
const vconVersion = "0.4.0"

// Audio is how a vCon has its recording: inline, as a file beside it, or where it
// can be fetched.
type Audio struct {
	// Only is the one party that is heard; nil: both. It must be what Write
	// writes, or what the file holds.
	Only *consent.Party
	// Write writes a stereo WAV, left the remote party. It is called once. nil:
	// the audio is in a file.
	Write func(io.Writer) error
	// Filename and SHA512 (of its bytes) name a file that travels with the
	// vCon; URL and SHA512 one that is fetched from there. None of them, and Write
	// nil: there is no audio to be had.
	Filename string
	URL      string
	SHA512   []byte
}

// The objects of a vCon. Dialog is the last member and body the dialog's last,
// so that audio is streamed into place.
type (
	vcon struct {
		VCon        string           `json:"vcon"`
		UUID        string           `json:"uuid"`
		Extensions  []string         `json:"extensions"`
		Created     string           `json:"created_at"`
		Redacted    *vconRedacted    `json:"redacted,omitempty"`
		Parties     []vconParty      `json:"parties"`
		Attachments []vconAttachment `json:"attachments,omitempty"`
		Dialog      []vconDialog     `json:"dialog"`
	}
	vconRedacted struct {
		UUID string `json:"uuid"`
		Type string `json:"type"`
	}
	vconParty struct {
		Tel        string `json:"tel,omitempty"`
		SIP        string `json:"sip,omitempty"`
		Name       string `json:"name,omitempty"`
		Mailto     string `json:"mailto,omitempty"`
		Validation string `json:"validation,omitempty"`
		Type       string `json:"type,omitempty"`
	}
	vconAttachment struct {
		Purpose   string `json:"purpose"`
		Start     string `json:"start"`
		Party     int    `json:"party"`
		Dialog    int    `json:"dialog"`
		Mediatype string `json:"mediatype"`
		Encoding  string `json:"encoding"`
		Body      any    `json:"body"`
	}
	vconDialog struct {
		Type       string  `json:"type"`
		Start      string  `json:"start"`
		Duration   float64 `json:"duration"`
		Parties    []any   `json:"parties"` // by channel; null: silenced
		Originator *int    `json:"originator,omitempty"`
		Mediatype  string  `json:"mediatype,omitempty"`
		Filename   string  `json:"filename,omitempty"`
		URL        string  `json:"url,omitempty"`
		Hash       string  `json:"content_hash,omitempty"`
		Encoding   string  `json:"encoding,omitempty"`
		Body       *string `json:"body,omitempty"`
	}
)

// Indexes of a vCon's parties: the call's two as consent numbers them, then who
// made the vCon (draft section 4.4.3).
const controllerParty = 2

// VCon writes a case as an unsigned vCon. at is when it is made out.
func VCon(w io.Writer, c Case, s Setting, r Reader, a Audio, at time.Time) error {
	doc, err := newVCon(&c, s, r, a, at)
	if err != nil {
		return err
	}
	return doc.write(w, a)
}

// write writes it with its audio in place.
func (v *vcon) write(w io.Writer, a Audio) error {
	text, err := encodeLine(v)
	if err != nil {
		return err
	}
	if a.Write == nil {
		_, err = w.Write(text)
		return err
	}
	const tail = "\"}]}\n" // what follows an empty body
	head, ok := bytes.CutSuffix(text, []byte(tail))
	if !ok {
		panic("evidence: internal error: the body isn't a vCon's last member")
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	enc := base64.NewEncoder(base64.RawURLEncoding, w) // RFC 7515 section 2: no padding
	if err := a.Write(enc); err != nil {
		return fmt.Errorf("writing the audio of a vCon: %w", err)
	}
	if err := enc.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(w, tail)
	return err
}

// encodeLine is JSON without escapes that only HTML needs, and a newline.
func encodeLine(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func newVCon(c *Case, s Setting, r Reader, a Audio, at time.Time) (*vcon, error) {
	doc, err := receipt(*c, s, r, at)
	if err != nil && !errors.Is(err, errNotAsked) {
		return nil, err
	}
	g := c.grant()
	out := &vcon{VCon: vconVersion, Extensions: []string{"lawful_basis"}, Created: stamp(at),
		Parties: []vconParty{c.vconParty(r, consent.Remote), c.vconParty(r, consent.Local), controllerOf(g.Call.Controller)}}
	full := uuid8(c.Started, "vcon", g.Hash().String())
	out.UUID = full
	if kind := c.redaction(r, a); kind != "" {
		out.UUID = uuid8(c.Started, "vcon", g.Hash().String(), kind, fmt.Sprint(r.Party))
		out.Redacted = &vconRedacted{full, kind}
	}
	for i := range g.Answers {
		if answer := &g.Answers[i]; r.sees(answer.Party) {
			out.Attachments = append(out.Attachments, c.lawfulBasis(answer))
		}
	}
	about := vconAttachment{Purpose: "consent receipt", Start: stamp(at), Party: controllerParty,
		Mediatype: "application/ld+json", Encoding: "json", Body: doc}
	if doc != nil {
		out.Attachments = append(out.Attachments, about)
	}
	if gaps := c.gapsFor(r); len(gaps) > 0 {
		about.Purpose, about.Mediatype, about.Body = "gaps in the recording", "application/json", gapList(gaps)
		out.Attachments = append(out.Attachments, about)
	}
	out.Dialog = []vconDialog{c.dialog(a)}
	return out, nil
}

// redaction says what a vCon lacks of the whole (draft section 4.1.8).
func (c *Case) redaction(r Reader, a Audio) string {
	var out []string
	if !c.shows(r, consent.Remote) || !c.shows(r, consent.Local) {
		out = append(out, "numbers")
	}
	if r.Party != nil {
		out = append(out, "consent of the other party")
	}
	if a.Only != nil {
		out = append(out, "audio of the other party")
	}
	return strings.Join(out, ", ")
}

// vconParty is a party's identity, or its place where that isn't shown (draft
// section 4.2.5: "anonymous").
func (c *Case) vconParty(r Reader, p consent.Party) vconParty {
	n := c.number(p)
	switch {
	case !c.shows(r, p) || n == "":
		return vconParty{Name: "anonymous", Validation: "none"}
	case isNumber(n):
		return vconParty{Tel: n}
	case strings.HasPrefix(n, "sip:") || strings.HasPrefix(n, "sips:"):
		return vconParty{SIP: n}
	case strings.Contains(n, "@"):
		return vconParty{SIP: "sip:" + n}
	}
	return vconParty{Name: n, Validation: "none"} // what the caller's device said of itself
}

func controllerOf(c consent.Controller) vconParty {
	out := vconParty{Name: c.Name, Validation: "none", Type: "organization"}
	if strings.Contains(c.Contact, "@") {
		out.Mailto = c.Contact
	}
	return out
}

func (c *Case) dialog(a Audio) vconDialog {
	out := vconDialog{Type: "recording", Start: stamp(c.Started), Duration: c.Length.Seconds(),
		Parties: []any{int(consent.Remote), int(consent.Local)}}
	if c.grant().Call.Direction == consent.Outbound {
		local := int(consent.Local)
		out.Originator = &local
	}
	if a.Only != nil {
		out.Parties[a.Only.Other()] = nil
	}
	switch {
	case a.Write != nil:
		out.Mediatype, out.Encoding, out.Body = "audio/x-wav", "base64url", new(string)
	case a.SHA512 != nil:
		out.Mediatype, out.Filename, out.URL = "audio/x-wav", a.Filename, a.URL
		out.Hash = "sha512-" + base64.RawURLEncoding.EncodeToString(a.SHA512)
	}
	return out
}

// gapsFor are the gaps of those whom the reader hears of, short ones joined.
func (c *Case) gapsFor(r Reader) (out []Gap) {
	for _, g := range c.Gaps {
		if r.sees(g.Party) {
			out = append(out, g)
		}
	}
	return Joined(out)
}

func gapList(gaps []Gap) []node {
	out := make([]node, 0, len(gaps))
	for _, g := range gaps {
		told := node{"party": int(g.Party), "cause": g.Cause, "from": g.From.Seconds(), "to": g.To.Seconds()}
		if g.Times > 0 {
			told["times"], told["missing"] = g.Times, g.Missing.Seconds()
		}
		out = append(out, told)
	}
	return out
}

// lawfulBasis is the attachment of draft-howe-vcon-lawful-basis-02 section 5.
// Who asks for a purpose that isn't in it must be denied (section 6), so what
// was consented to is all that there is.
func (c *Case) lawfulBasis(a *consent.Answer) vconAttachment {
	g := c.grant()
	grants := grantsOf(g.Purpose.Name, true, a.Press.At)
	for i := range c.Records {
		if l := &c.Records[i]; l.Kind == consent.Withdrawn && (l.Party == nil || *l.Party == a.Party) {
			grants = append(grants, grantsOf(g.Purpose.Name, false, l.At)...)
		}
	}
	data := node{"system": "consentgate", "record_sha256": g.Hash().String(), "policy_sha256": g.PolicyHash.String(),
		"prompt_sha256": a.Heard.SHA256.String(), "prompt_language": a.Heard.Language,
		"prompt_heard_ms": a.Heard.Heard.Milliseconds(), "key": string(rune(a.Press.Key)), "via": a.Press.Via}
	if g.Leaf != "" {
		data["audit_entry"], data["audit_leaf_sha256"] = g.Seq, g.Leaf
	}
	return vconAttachment{Purpose: "lawful_basis", Start: stamp(a.Press.At), Party: int(a.Party), Mediatype: "application/json",
		Encoding: "json", Body: node{
			"lawful_basis":   "consent",
			"expiration":     stamp(c.Until()),
			"purpose_grants": grants,
			"proof_mechanisms": []node{
				{"proof_type": "external_system", "timestamp": stamp(a.Press.At), "proof_data": data}},
		}}
}

// grantsOf says it of the recording, which is the draft's own word, and of what
// the recording is for, which is the controller's.
func grantsOf(purpose string, granted bool, at time.Time) []node {
	return []node{
		{"purpose": "recording", "granted": granted, "granted_at": stamp(at), "conditions": []string{"only for: " + purpose}},
		{"purpose": purpose, "granted": granted, "granted_at": stamp(at)},
	}
}
