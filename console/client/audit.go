package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// audit is the log that everything stands in.
var audit = Command{Name: "audit", About: "Reads the audit log, and has it verified.", Verbs: []Verb{
	{Name: "list", About: "lists entries, the oldest first", run: listEntries, Flags: append([]Flag{
		{Name: "type", About: "entries of this type only"}}, paging("after")...)},
	{Name: "export", About: "the whole log as JSON lines, for 'consentgate verify --export'", run: exportLog, Flags: outFlags("audit.jsonl")},
	{Name: "checkpoint", About: "the latest checkpoint, a signed note", run: shortText("checkpoint"), Flags: outFlags("standard output")},
	{Name: "key", About: "what checkpoints, proofs and certificates are verified with", run: shortText("key"), Flags: outFlags("standard output")},
	{Name: "proof", About: "a proof that an entry is in the log, or that it continues an older checkpoint, for 'consentgate verify --proof'", run: prove,
		Flags: append([]Flag{{Name: "entry", About: "the entry's number"}, {Name: "since", Kind: File, About: "file of the older checkpoint"}}, outFlags("standard output")...)},
	{Name: "verify", About: "has the gate verify it; 'consentgate verify --export' trusts it less", run: verifyLog},
}}

func listEntries(t *task) error {
	p := pages{path: path("audit"), items: "entries", next: "next", cursor: "after", most: 1000, query: t.query("type", "after")}
	return t.list(p, []string{"ENTRY", "TIME", "TYPE", "BY", "ABOUT", "WHAT"}, func(raw json.RawMessage) ([]string, error) {
		var e struct {
			Seq     int64           `json:"seq"`
			At      time.Time       `json:"at"`
			Type    string          `json:"type"`
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		by, of, rest, err := "", "", "(erased)", error(nil)
		if len(e.Payload) > 0 && string(e.Payload) != "null" {
			by, of, rest, err = cellsOf(e.Type, e.Payload)
		}
		return []string{fmt.Sprint(e.Seq), moment(e.At), e.Type, by, of, rest}, err
	})
}

func exportLog(t *task) error { return t.download(path("audit", "export"), nil, "audit.jsonl") }

func shortText(what string) func(*task) error {
	return func(t *task) error {
		a, err := t.client.ask(t.ctx, "GET", path("audit", what), nil, nil)
		if err != nil {
			return err
		}
		return t.keep(a.body)
	}
}

func prove(t *task) error {
	entry, since := t.text("entry"), t.text("since")
	if (entry == "") == (since == "") {
		return usageError("give either --entry or --since")
	}
	method, q, in := "GET", t.query("entry"), any(nil)
	if since != "" {
		older, err := os.ReadFile(since)
		if err != nil {
			return fmt.Errorf("reading --since: %w", err)
		}
		method, in = "POST", map[string]string{"checkpoint": string(older)}
	}
	a, err := t.client.ask(t.ctx, method, path("audit", "proof"), q, in)
	if err != nil {
		return err
	}
	return t.keep(a.body)
}

// errBad is that a log isn't what it should be.
var errBad = errors.New("the audit log is not sound")

func verifyLog(t *task) error {
	a, err := t.client.ask(t.ctx, "POST", path("audit", "verify"), nil, nil)
	if err != nil {
		return err
	}
	var r struct {
		OK          bool   `json:"ok"`
		Size        int64  `json:"size"`
		Root        string `json:"root"`
		Erased      int64  `json:"erased"`
		Unaccounted int64  `json:"unaccounted"`
		Bad         *struct {
			Entry   int64  `json:"entry"`
			Problem string `json:"problem"`
		} `json:"bad"`
	}
	if err := a.decode(&r); err != nil {
		return err
	}
	err = t.put(a, func() error {
		return t.say("%d entries, root %s\n%d payloads erased, %d consents without an end", r.Size, plain(r.Root), r.Erased, r.Unaccounted)
	})
	if err == nil && !r.OK {
		err = errBad
		if r.Bad != nil {
			err = fmt.Errorf("%w: entry %d: %s", errBad, r.Bad.Entry, plain(r.Bad.Problem))
		}
	}
	if err == nil && !t.is("json") {
		err = t.say("ok")
	}
	return err
}
