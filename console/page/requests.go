package page

import (
	"time"

	"consentgate/console/access"
	"consentgate/console/office"
	"consentgate/store/rights"
)

func getRequests(v *visit) error { return v.requests("") }

func (v *visit) requests(problem string) error {
	all := v.r.URL.Query().Get("all") != ""
	found, err := v.o.Requests(v.who, !all)
	if err != nil {
		return err
	}
	b := requestsBody{All: all, Today: v.today().String(), Problem: problem}
	for _, k := range rights.Kinds {
		b.Kinds = append(b.Kinds, string(k))
	}
	for _, r := range found {
		b.Requests = append(b.Requests, v.requestRow(r))
	}
	return v.show("requests", "requests", v.t("requests.title"), b)
}

func (v *visit) today() rights.Date { return rights.DateOf(time.Now().In(v.zone)) }

func (v *visit) requestRow(r rights.Request) requestRow {
	row := requestRow{ID: r.ID, Kind: string(r.Kind), Party: r.Party, State: string(r.State), Received: r.Received, Due: r.Due, Owed: r.Owed()}
	days := r.Due.In(time.UTC).Sub(v.today().In(time.UTC)) / (24 * time.Hour)
	row.Left = int(days)
	return row
}

func postRequest(v *visit) error {
	day, err := rights.ParseDate(v.form("received"))
	if err != nil || day.After(v.today()) || v.form("party") == "" {
		return v.requests("requests.wrong")
	}
	r, err := v.o.Receive(v.r.Context(), v.who, rights.Kind(v.form("kind")), v.form("party"), day, v.form("reason"))
	if err != nil {
		return err
	}
	return v.done("/requests/"+r.ID, "requests.new.done")
}

// steps are what can be done with a request, by its state, the likeliest first. The
// store has the last word.
var steps = map[rights.State][]string{
	rights.Received:        {"identify", "ask_identity", "extend", "refuse"},
	rights.IdentityPending: {"identify", "extend", "refuse"},
	rights.Identified:      {"carry_out", "extend", "refuse"},
	rights.InProgress:      {"deliver", "extend", "refuse"},
	rights.Held:            {"tell", "extend"},
}

func getRequest(v *visit) error {
	r, err := v.o.Request(v.who, v.id())
	if err != nil {
		return err
	}
	b := requestBody{Request: request{requestRow: v.requestRow(r), Outstanding: r.Outstanding, Carried: r.Carried}, Acts: steps[r.State], Grounds: grounds,
		Bundles: r.Kind.Discloses() && r.State == rights.InProgress && access.May("POST /requests/{id}/bundle", v.who.Role)}
	for _, s := range r.Steps {
		b.Request.Steps = append(b.Request.Steps, step{actOf(s.Act), string(s.State)})
	}
	return v.show("request", "requests", v.t("request.title", word(v.language, "kind", r.Kind)), b)
}

func postStep(v *visit) error {
	_, err := v.o.Advance(v.r.Context(), v.who, v.id(), office.Step{Act: v.form("act"), Reason: v.form("reason"), Article: v.form("article"),
		Ground: rights.Ground(v.form("ground")), LetGo: v.form("let_go") == "yes"})
	if err != nil {
		return err
	}
	return v.done("/requests/"+v.id(), "request.done")
}

func postBundle(v *visit) error {
	d := v.download("application/octet-stream", "access-"+v.id()+".zip.age")
	return d.end(v.o.Bundle(v.r.Context(), v.who, v.id(), office.Bundling{Language: v.language, Passphrase: v.r.PostFormValue("passphrase")}, d))
}
