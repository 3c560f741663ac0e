package page

import (
	"strconv"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/office"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

func itoa(n int) string { return strconv.Itoa(n) }

func getRecording(v *visit) error {
	r, err := v.o.Recording(v.r.Context(), v.who, v.id())
	if err != nil {
		return err
	}
	b := recordingBody{Recording: v.recordingOf(r), Listens: access.May("GET /api/v1/recordings/{id}/audio", v.who.Role),
		Officer: access.May("POST /recordings/{id}/hold", v.who.Role), Asked: len(r.Rights.Asks) > 0,
		Answers: v.answers(r.Records), Grounds: grounds, Drawing: draw(r), Events: v.events(r),
		Named: v.c.HasURL && !r.Restricted && r.State != store.StateRecording}
	for _, f := range office.Forms {
		b.Forms = append(b.Forms, f.Name)
	}
	if granted := grantOf(r.Records); granted != nil {
		b.Purposes = []purpose{{r.Purpose, v.said(granted.Purpose)}}
	} else {
		b.Purposes = []purpose{{r.Purpose, r.Purpose}}
	}
	for _, p := range b.Purposes {
		if p.Name == v.r.URL.Query().Get("purpose") {
			b.Purpose, b.PurposeText = p.Name, p.Text
		}
	}
	return v.show("recording", "recordings", v.t("recording.title", v.page("", "", nil).Plain(r.Started)), b)
}

var grounds = []string{string(rights.Accuracy), string(rights.Unlawful), string(rights.Claims), string(rights.Objection)}

// said is a purpose in words: the visitor's language, else English, else its name.
func (v *visit) said(p consent.Purpose) string {
	for _, l := range []string{v.language, "en"} {
		if text := p.Text[l]; text != "" {
			return text
		}
	}
	return p.Name
}

// grantOf is the consent that a recording was made under.
func grantOf(records []evidence.Logged) *evidence.Logged {
	for i := range records {
		if records[i].Kind == consent.Granted {
			return &records[i]
		}
	}
	return nil
}

func (v *visit) recordingOf(r office.Recording) recording {
	out := recording{recordingRow: rowOf(r.Summary), Call: r.Call, Reason: r.Reason, Damaged: r.Damaged, Bytes: r.Bytes}
	if r.Length > 0 {
		out.Length = r.Length
	}
	for _, a := range r.Accesses {
		out.Accesses = append(out.Accesses, use{At: a.At, By: a.By, Purpose: a.Purpose, Exported: a.Exported, To: a.To, From: a.From, Up: a.Up})
	}
	for _, h := range r.Rights.Holds {
		out.Holds = append(out.Holds, hold{h.ID, h.Case, actOf(h.Act)})
	}
	for _, x := range r.Rights.Restrictions {
		out.Restrictions = append(out.Restrictions, restriction{x.ID, string(x.Ground), actOf(x.Act)})
	}
	return out
}

func actOf(a rights.Act) act { return act{a.By, a.Reason, a.At} }

// answers are the yeses that a recording stands on.
func (v *visit) answers(records []evidence.Logged) (out []answer) {
	g := grantOf(records)
	if g == nil {
		return nil
	}
	for _, a := range g.Answers {
		out = append(out, answer{Party: a.Party.String(), Key: string(rune(a.Press.Key)), At: a.Press.At, Heard: v.heard(a.Heard), Prompt: a.Heard.SHA256.String()})
	}
	return out
}

func (v *visit) heard(h consent.Heard) string {
	key := "event.prompt.part"
	if h.Complete {
		key = "event.prompt"
	}
	return v.t(key, h.Prompt, length(h.Heard))
}

func getReceipt(v *visit) error {
	r, err := v.o.Recording(v.r.Context(), v.who, v.id())
	if err != nil {
		return err
	}
	g := grantOf(r.Records)
	if g == nil {
		return store.ErrNotFound
	}
	b := receiptBody{Recording: v.recordingOf(r), Controller: g.Call.Controller.Name, Contact: g.Call.Controller.Contact, PurposeText: v.said(g.Purpose),
		Policy: g.Policy, Grant: g.Hash().String(), Granted: g.At, Days: int(g.Purpose.Retention / (24 * time.Hour)), Seq: g.Seq, Answers: v.answers(r.Records)}
	for _, rec := range r.Records {
		switch rec.Kind {
		case consent.Paused, consent.Resumed, consent.Withdrawn:
			b.Acts = append(b.Acts, receiptAct{rec.At, string(rec.Kind), v.side(rec.Party)})
		}
	}
	return v.show("receipt", "recordings", v.t("receipt.title"), b)
}

// side names a party; "" where nobody is meant.
func (v *visit) side(p *consent.Party) string {
	if p == nil {
		return ""
	}
	return word(v.language, "party", *p)
}
