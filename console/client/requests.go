package client

import (
	"fmt"
	"strings"
)

var steps = []string{"ask_identity", "identify", "extend", "tell", "deliver", "refuse", "carry_out"}

// requests is what data subjects ask for.
var requests = Command{Name: "requests", About: "Takes in and answers what data subjects ask for (GDPR Art. 12 to 21).", Verbs: []Verb{
	{Name: "list", About: "lists them by the day they are due", run: listRequests, Flags: []Flag{
		{Name: "open", Kind: Switch, About: "only those that are"}}},
	{Name: "show", Args: []string{"ID"}, About: "shows one with its steps", run: showRequest},
	{Name: "new", About: "takes one in", run: newRequest, Flags: []Flag{
		{Name: "kind", Required: true, Values: []string{"access", "erasure", "restriction", "portability", "objection"}, About: "what is asked for"},
		{Name: "party", Required: true, About: "the number that the subject says is theirs"},
		{Name: "received", About: "the day it came, as 2026-11-25 [today]"},
		{Name: "reason", About: "what the log will have of it"}}},
	{Name: "step", Args: []string{"ID", "ACT"}, About: "brings one further: " + strings.Join(steps, ", "), run: stepRequest, Flags: []Flag{why,
		{Name: "article", About: "refuse: of the GDPR, as 17(3)"},
		{Name: "ground", Values: grounds, About: "carry_out of a restriction: Art. 18(1)(a) to (d)"},
		{Name: "let-go", Kind: Switch, About: "carry_out of a restriction: they agree that recordings go when their retention is over"},
		{Name: "recordings", Kind: Many, About: "carry_out: on which; else on all of the subject's"}}},
	{Name: "bundle", Args: []string{"ID"}, About: "makes the answer to one for access or portability, a zip", run: bundleRequest, Flags: append([]Flag{
		{Name: "language", Values: []string{"en", "de"}, About: "of its page [en]"},
		{Name: "both", Kind: Switch, About: "the other party is heard, too; else silenced (Art. 15(4))"},
		{Name: "numbers", Kind: Switch, About: "the other party's number is in it in full"},
		{Name: "staff", Kind: Switch, About: "names of those who listened; else numbered"},
		{Name: "recipient", About: "who can open it: age1..."}}, outFlags("request-ID.zip, or .zip.age")...)},
}}

type request struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Party    string `json:"party"`
	Received string `json:"received"`
	Due      string `json:"due"`
	Overdue  bool   `json:"overdue"`
	State    string `json:"state"`
	Article  string `json:"article"`
	Ground   string `json:"ground"`
	Carried  int    `json:"carried"`

	Outstanding []string `json:"outstanding"`
	Steps       []struct {
		act
		State string `json:"state"`
	} `json:"steps"`
}

func (r request) due() string {
	if r.Overdue {
		return r.Due + " OVERDUE"
	}
	return r.Due
}

func listRequests(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("requests"), t.query("open"), nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var in struct{ Requests []request }
		if err := a.decode(&in); err != nil {
			return err
		}
		out := table{rows: [][]string{{"ID", "KIND", "PARTY", "RECEIVED", "DUE", "STATE"}}}
		for _, r := range in.Requests {
			out.add(r.ID, r.Kind, r.Party, r.Received, r.due(), strings.ReplaceAll(r.State, "_", " "))
		}
		return t.all(out)
	})
}

func showRequest(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("requests", t.args[0]), nil, nil)
	if err != nil {
		return err
	}
	return t.put(a, func() error { return t.showRequest(a) })
}

func (t *task) showRequest(a answer) error {
	var r request
	if err := a.decode(&r); err != nil {
		return err
	}
	var s sheet
	s.line("Request", r.ID)
	s.line("Kind", r.Kind)
	s.line("Party", r.Party)
	s.line("Received", r.Received)
	s.line("Due", r.due())
	s.line("State", strings.ReplaceAll(r.State, "_", " "))
	s.line("Article", r.Article)
	s.line("Ground", r.Ground)
	s.line("Carried out on", fmt.Sprintf("%d recordings, %d outstanding", r.Carried, len(r.Outstanding)))
	s.line("Outstanding", strings.Join(r.Outstanding, " "))
	if err := s.write(t.out); err != nil {
		return err
	}
	out := table{rows: [][]string{{"TIME", "BY", "STATE", "REASON"}}}
	for _, st := range r.Steps {
		out.add(moment(st.At), st.By, strings.ReplaceAll(st.State, "_", " "), st.Reason)
	}
	if len(out.rows) > 1 {
		if err := t.say("\nSteps"); err != nil {
			return err
		}
	}
	return out.write(t.out)
}

func newRequest(t *task) error {
	a, err := t.client.ask(t.ctx, "POST", path("requests"), nil, t.body("kind", "party", "received", "reason"))
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var r request
		if err := a.decode(&r); err != nil {
			return err
		}
		return t.say("request %s, to be answered by %s", plain(r.ID), plain(r.Due))
	})
}

func stepRequest(t *task) error {
	in := t.body("reason", "article", "ground", "let-go", "recordings")
	in["act"] = t.args[1]
	a, err := t.client.ask(t.ctx, "POST", path("requests", t.args[0], "steps"), nil, in)
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		if w, ok := waits(a); ok {
			return t.say("%s; it is carried out when they approve it", w)
		}
		return t.showRequest(a)
	})
}

func bundleRequest(t *task) error {
	name := "request-" + t.args[0] + ".zip"
	if t.text("recipient") != "" {
		name += ".age"
	}
	return t.download(path("requests", t.args[0], "bundle"), t.query("language", "both", "numbers", "staff", "recipient"), name)
}
