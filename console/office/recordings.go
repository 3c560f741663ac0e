package office

import (
	"context"
	"errors"
	"slices"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// Recording is all there is to say of one.
type Recording struct {
	store.Summary
	Records  []evidence.Logged // the consent that it was made under, and what became of it
	Length   time.Duration
	Gaps     []evidence.Gap // where a party has no audio, and why
	Unheard  []string       // encodings that are silence in the audio
	Damaged  string         // what can't be read, "" if nothing
	Accesses []evidence.Access
	Rights   rights.File
	Erasure  *store.Erasure // nil: nobody asked for one
	Timeline []Moment
}

// Recordings finds recordings, the latest first. next is the cursor of the next
// page, "" at the end.
func (o *Office) Recordings(ctx context.Context, p access.Principal, q store.Query) (page []store.Summary, next string, err error) {
	s, err := o.store()
	if err != nil {
		return nil, "", err
	}
	if (q.Party != "" || q.Agent != "") && !p.SeesNumbers() {
		return nil, "", ErrNumbers
	}
	page, next, err = s.Search(q)
	for i := range page {
		o.c.Found(p.Name, page[i].ID)
		page[i] = shownSummary(p, page[i])
	}
	return page, next, err
}

// Recording tells all of one. Its file is read for that.
func (o *Office) Recording(ctx context.Context, p access.Principal, id string) (Recording, error) {
	s, sum, err := o.recording(id)
	if err != nil {
		return Recording{}, err
	}
	o.c.Found(p.Name, id)
	c, err := o.caseOf(ctx, s, id)
	if err != nil {
		return Recording{}, err
	}
	file, err := s.Rights(id)
	if err != nil {
		return Recording{}, err
	}
	r := Recording{Summary: shownSummary(p, sum), Records: shownRecords(p, c.Records), Length: c.Length, Gaps: c.Gaps, Unheard: c.Unheard,
		Damaged: c.Damaged, Accesses: c.Accesses, Rights: shownRights(p, file)}
	switch e, err := s.Erasure(id); {
	case err == nil:
		r.Erasure = &e
	case !errors.Is(err, store.ErrNotFound):
		return Recording{}, err
	}
	r.Timeline = timeline(r)
	return r, nil
}

// caseOf reads a recording, in turn.
func (o *Office) caseOf(ctx context.Context, s *store.Store, id string) (evidence.Case, error) {
	if err := o.turns.take(ctx); err != nil {
		return evidence.Case{}, err
	}
	defer o.turns.give()
	return s.Case(ctx, id)
}

// Moment is something that happened to a recording.
type Moment struct {
	At    time.Time      `json:"at"`
	What  string         `json:"what"`
	Party *consent.Party `json:"party,omitempty"`
	By    string         `json:"by,omitempty"`
	Note  string         `json:"note,omitempty"` // key, cause, reason, purpose
	Until time.Time      `json:"until,omitzero"`
}

// timeline puts all of it in order. What: a consent.Kind, key, recording, gap,
// ended, played, exported, hold, restriction, erasure.
func timeline(r Recording) (out []Moment) {
	for _, rec := range r.Records {
		for _, a := range rec.Answers {
			out = append(out, Moment{At: a.Press.At, What: "key", Party: &a.Party, Note: string(rune(a.Press.Key))})
		}
		out = append(out, Moment{At: rec.At, What: string(rec.Kind), Party: rec.Party, By: rec.By, Note: rec.Reason})
	}
	out = append(out, Moment{At: r.Started, What: "recording"})
	for _, g := range r.Gaps {
		out = append(out, Moment{At: r.Started.Add(g.From), Until: r.Started.Add(g.To), What: "gap", Party: &g.Party, Note: g.Cause})
	}
	if !r.Ended.IsZero() {
		out = append(out, Moment{At: r.Ended, What: "ended", Note: r.Reason})
	}
	for _, a := range r.Accesses {
		what := "played"
		if a.Exported {
			what = "exported"
		}
		out = append(out, Moment{At: a.At, What: what, By: a.By, Note: a.Purpose})
	}
	for _, h := range r.Rights.Holds {
		out = append(out, Moment{At: h.At, What: "hold", By: h.By, Note: h.Reason})
	}
	for _, x := range r.Rights.Restrictions {
		out = append(out, Moment{At: x.At, What: "restriction", By: x.By, Note: x.Reason})
	}
	for _, a := range r.Rights.Asks {
		out = append(out, Moment{At: a.At, What: "erasure", By: a.By, Note: a.Reason})
	}
	slices.SortStableFunc(out, func(a, b Moment) int { return a.At.Compare(b.At) })
	return out
}
