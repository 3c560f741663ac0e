package page

import (
	"errors"
	"fmt"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// perPage is how many recordings are on one.
const perPage = 50

// moment is how forms write a time.
const moment = "2006-01-02T15:04"

// Which recordings are wanted by what keeps them.
const (
	held       = "held"
	restricted = "restricted"
)

func getRecordings(v *visit) error {
	var q search
	sealed := v.r.URL.Query().Get("q")
	if sealed != "" {
		var err error
		if q, err = v.searches.of(v.who, sealed); err != nil {
			return err
		}
	}
	b := v.recordingsBody(q.Asked)
	b.Paged, b.Searched = q.Cursor != "", q.Asked != asked{}
	query, err := v.query(q)
	if err != nil {
		b.Problem = v.t("search.wrong.time")
		return v.show("recordings", "recordings", v.t("recordings.title"), b)
	}
	found, next, err := v.o.Recordings(v.r.Context(), v.who, query)
	if errors.Is(err, store.ErrQuery) {
		b.Problem = v.t("search.wrong.time")
		return v.show("recordings", "recordings", v.t("recordings.title"), b)
	}
	if err != nil {
		return err
	}
	for _, s := range found {
		b.Found = append(b.Found, rowOf(s))
	}
	b.First = v.searches.address(v.who, search{Asked: q.Asked})
	if next != "" {
		b.Next = v.searches.address(v.who, search{q.Asked, next})
	}
	return v.show("recordings", "recordings", v.t("recordings.title"), b)
}

func (v *visit) recordingsBody(a asked) recordingsBody {
	b := recordingsBody{Asked: a, Trunks: v.c.Trunks, Directions: []string{string(consent.Inbound), string(consent.Outbound)},
		States:   []string{store.StateRecording, store.StateSealed, store.StateTruncated},
		Outcomes: store.Outcomes(), Rights: []string{held, restricted}, Numbers: v.who.SeesNumbers()}
	for _, p := range v.c.Purposes {
		b.Purposes = append(b.Purposes, p.Name)
	}
	return b
}

// query is a search as the store knows it. Times are the visitor's.
func (v *visit) query(q search) (store.Query, error) {
	a := q.Asked
	out := store.Query{Party: a.Party, Agent: a.Agent, Purpose: a.Purpose, Trunk: a.Trunk, Direction: consent.Direction(a.Direction), State: a.State,
		Outcome: a.Outcome, Held: a.Rights == held, Restricted: a.Rights == restricted, Limit: perPage, Cursor: q.Cursor}
	for _, t := range []struct {
		text string
		to   *time.Time
	}{{a.From, &out.From}, {a.To, &out.To}} {
		if t.text == "" {
			continue
		}
		at, err := time.ParseInLocation(moment, t.text, v.zone)
		if err != nil {
			return out, fmt.Errorf("%w: %w", store.ErrQuery, err)
		}
		*t.to = at
	}
	return out, nil
}

// postSearch leads to the results: the form's content goes sealed into the address.
func postSearch(v *visit) error {
	a := asked{Party: v.form("party"), Agent: v.form("agent"), From: v.form("from"), To: v.form("to"), Purpose: v.form("purpose"),
		Trunk: v.form("trunk"), Direction: v.form("direction"), State: v.form("state"), Outcome: v.form("outcome"), Rights: v.form("rights")}
	return v.done(v.searches.address(v.who, search{Asked: a}), "")
}

func rowOf(s store.Summary) recordingRow {
	return recordingRow{ID: s.ID, Trunk: s.Trunk, Direction: string(s.Direction), Remote: s.Remote, Local: s.Local, Purpose: s.Purpose, State: s.State, Outcome: s.Outcome(),
		Started: s.Started, Until: s.Until, Length: time.Duration(s.Seconds * float64(time.Second)), Held: s.Held, Restricted: s.Restricted}
}
