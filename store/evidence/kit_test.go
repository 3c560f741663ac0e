package evidence_test

import (
	"crypto/sha256"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/evidence"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	began = time.Date(2026, 3, 14, 9, 26, 53, 589_000_000, time.UTC)
	made  = time.Date(2026, 4, 1, 8, 0, 0, 0, time.UTC)

	remote, local = consent.Remote, consent.Local
)

const (
	publicNumber = "+442079460123"
	agentNumber  = "+4930901820"
)

func hashOf(s string) consent.Hash { return consent.Hash(sha256.Sum256([]byte(s))) }

func answer(p consent.Party, via string) consent.Answer {
	press := consent.Press{Key: '1', Via: via, At: began.Add(-time.Second)}
	if via == "rfc4733" {
		press.SSRC, press.RTPTime, press.Duration, press.End = 0xfeedbeef, 4294967295, 120*time.Millisecond, true
	}
	return consent.Answer{Party: p, Press: press, Attempt: 1,
		Heard: consent.Heard{Prompt: "training.en", SHA256: hashOf("prompt"), Language: "en", Heard: 8140 * time.Millisecond, Complete: true}}
}

// caseOf is a case in which those parties said yes, that way.
func caseOf(via string, asked ...consent.Party) evidence.Case {
	r := consent.Record{Kind: consent.Granted, At: began, Policy: "default", PolicyHash: hashOf("policy"), Parties: asked,
		Purpose: consent.Purpose{Name: "training", Retention: 90 * 24 * time.Hour,
			Text: map[string]string{"en": "staff training", "de": "die Schulung unserer Mitarbeiter"}},
		Call: consent.Call{ID: "c-1", CallID: "a84b4c76e66710", Node: "gate-1", Trunk: "main", Direction: consent.Inbound, Remote: publicNumber,
			Local: agentNumber, Started: began.Add(-20 * time.Second), Controller: consent.Controller{Name: "Example Ltd", Contact: "privacy@example.com"}}}
	for _, p := range asked {
		r.Answers = append(r.Answers, answer(p, via))
	}
	return evidence.Case{Recording: "mfrggzdfmztwq2lk", Records: []evidence.Logged{{Record: r, Seq: 41, Leaf: hashOf("leaf").String()}},
		Started: began, Reason: "hang-up", Rendered: evidence.Rendered{Length: 61500 * time.Millisecond}}
}

// later adds what became of the grant.
func later(c *evidence.Case, k consent.Kind, p *consent.Party, after time.Duration, reason string) {
	g := c.Records[0].Record
	h := g.Hash()
	r := consent.Record{Kind: k, At: g.At.Add(after), Call: g.Call, Policy: g.Policy, PolicyHash: g.PolicyHash, Purpose: g.Purpose,
		Parties: g.Parties, Party: p, Grant: &h, Reason: reason}
	c.Records = append(c.Records, evidence.Logged{Record: r, Seq: 41 + int64(len(c.Records)), Leaf: hashOf(string(k)).String()})
}

// cases are what receipts and vCons are tried on.
func cases() map[string]evidence.Case {
	withdrawn := caseOf("rfc4733", remote)
	later(&withdrawn, consent.Paused, &remote, 10*time.Second, "")
	later(&withdrawn, consent.Resumed, &remote, 15*time.Second, "")
	later(&withdrawn, consent.Withdrawn, &remote, 40*time.Second, "")
	withdrawn.Reason, withdrawn.Erased = "withdrawn", began.Add(time.Hour)
	two := caseOf("rfc4733+info", remote, local)
	two.Accesses = []evidence.Access{{At: made.Add(-time.Hour), By: "dana", Exported: true, Purpose: "training", To: "Trainers Ltd"}}
	two.Gaps = []evidence.Gap{{Party: remote, Cause: "hold", From: time.Second, To: 3 * time.Second}, {Party: local, Cause: "dtmf", From: 0, To: time.Second}}
	return map[string]evidence.Case{"granted": caseOf("rfc4733", remote), "withdrawn": withdrawn, "inband": caseOf("inband", remote), "two": two}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if string(got) != string(want) {
		t.Errorf("%s differs from what is written:\n%s", path, got)
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
