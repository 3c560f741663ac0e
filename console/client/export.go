package client

import (
	"fmt"
	"net/url"
	"slices"
)

// form is what a recording can be taken out as.
type form struct {
	name, suffix string
	bare         string     // the route that gives it, where that is none of exports; nobody listens by it
	query        url.Values // of that route
}

var forms = []form{
	{name: "wav", suffix: ".wav"},
	{name: "g711", suffix: ".g711.wav"},
	{name: "remote", suffix: ".remote.wav"},
	{name: "local", suffix: ".local.wav"},
	{name: "opus", suffix: ".opus"},
	{name: "age", suffix: ".pcapng.age"},
	{name: "vcon", suffix: ".vcon.json"},
	{name: "vcon-silent", suffix: ".silent.vcon.json", bare: "vcon"},
	{name: "vcon-url", suffix: ".url.vcon.json", bare: "vcon", query: url.Values{"audio": {"url"}}},
	{name: "receipt", suffix: ".receipt.jsonld", bare: "receipt"},
}

func formNames() (out []string) {
	for _, f := range forms {
		out = append(out, f.name)
	}
	return out
}

var exportFlags = append([]Flag{
	{Name: "form", Values: formNames(), Default: "wav", About: "wav is stereo, remote left; vcon-silent, vcon-url (where the audio is, and its hash) and receipt have no audio and need no purpose"},
	{Name: "purpose", About: "what it is used for: one that was consented to"},
	{Name: "to", About: "who gets it; else you"},
	{Name: "recipient", Kind: Many, About: "of form age: who can open it, age1..."},
	{Name: "case", About: "the legal claim that a restricted recording is taken out for"},
	{Name: "reason", About: "why, with --case, or for the second officer"},
}, outFlags("recording-ID and what fits the form")...)

// outFlags say where a file goes.
func outFlags(unless string) []Flag {
	return []Flag{{Name: "out", Kind: File, About: "the file to write, - for standard output [" + unless + "]"},
		{Name: "force", Kind: Switch, About: "write over a file that is there"}}
}

func exportRecording(t *task) error {
	id := t.args[0]
	f := forms[slices.IndexFunc(forms, func(f form) bool { return f.name == t.text("form") })]
	to := path("recordings", id, "export")
	q := t.query("form", "purpose", "to", "recipient", "case", "reason")
	switch {
	case f.bare != "":
		to, q = path("recordings", id, f.bare), f.query
	case t.text("case") != "" && t.text("reason") == "":
		return usageError("--reason is missing: why it is needed for the claim")
	case t.text("purpose") == "" && t.text("case") == "":
		return usageError("--purpose is missing: what it is used for, one that was consented to ('consentgate recordings show' has it)")
	case f.name == "age" && !q.Has("recipient"):
		return usageError("--recipient is missing: who can open it, age1...")
	}
	return t.download(to, q, "recording-"+id+f.suffix)
}

// listen gives audio to a player. It is for those, too, who may not take any out.
func listen(t *task) error {
	f, err := t.create("-")
	if err != nil {
		return usageError("that is your terminal; put a player behind it: | aplay")
	}
	return t.fetch(path("recordings", t.args[0], "audio"), t.query("purpose"), f)
}

// download writes what a route gives into the file that --out names, or unless.
func (t *task) download(from string, q url.Values, unless string) error {
	name := t.text("out")
	if name == "" {
		name = unless
	}
	f, err := t.create(name) // before anything is asked: what is given out is in the log
	if err != nil {
		return err
	}
	defer f.abandon()
	return t.fetch(from, q, f)
}

// fetch writes what a route gives into a file.
func (t *task) fetch(from string, q url.Values, f *file) error {
	res, err := t.client.open(t.ctx, "GET", from, q, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() // it was read from only
	if res.StatusCode == 202 {
		return t.pending(res.Body)
	}
	n, err := t.pour(f, res)
	if err != nil {
		return fmt.Errorf("after %s: %w", size(n), err)
	}
	if err := f.keep(); err != nil {
		return err
	}
	if f.name != "" {
		t.note("%s: %s", plain(f.name), size(n))
	}
	return nil
}
