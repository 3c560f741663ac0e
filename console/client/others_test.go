package client_test

import (
	"archive/zip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/console/office"
	"consentgate/store"
)

// TestARequestIsTakenInCarriedOutAndAnswered: from the letter to the bundle.
func TestARequestIsTakenInCarriedOutAndAnswered(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	g.record(caller)
	g.fails(2, "dana", "--party is missing", "requests", "new", "--kind", "access")
	out := g.ok("dana", "requests", "new", "--kind", "access", "--party", caller)
	id := strings.TrimSuffix(strings.Fields(out)[1], ",")
	if !strings.Contains(out, "to be answered by 20") {
		t.Error(out)
	}
	if out := g.ok("dana", "requests", "list", "--open"); !strings.Contains(out, id) || !strings.Contains(out, "access") || !strings.Contains(out, caller) {
		t.Error(out)
	}
	g.fails(1, "dana", "", "requests", "bundle", id, "--out", g.in("b.zip"))
	if _, err := os.Stat(g.in("b.zip")); err == nil {
		t.Error("there is a bundle of what isn't carried out")
	}
	g.fails(2, "dana", "--reason is missing", "requests", "step", id, "identify")
	g.fails(1, "dana", "carry_out", "requests", "step", id, "dance", "--reason", "r")
	if out := g.ok("dana", "requests", "step", id, "identify", "--reason", "passport seen"); !strings.Contains(out, "passport seen") {
		t.Error(out)
	}
	g.ok("dana", "requests", "step", id, "carry_out", "--reason", "found")
	g.ok("dana", "requests", "bundle", id, "--language", "de", "--out", g.in("b.zip"))
	z, err := zip.OpenReader(g.in("b.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) < 3 {
		t.Errorf("%d files", len(z.File))
	}
	if out := g.ok("dana", "requests", "show", id); !strings.Contains(out, "found") || !strings.Contains(out, "1 outstanding") && !strings.Contains(out, "1 recordings") {
		t.Error(out)
	}
}

// TestTheLogIsListedTakenOutAndProved by an auditor, who is no officer.
func TestTheLogIsListedTakenOutAndProved(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	g.record(caller)
	out := g.ok("aldo", "audit", "list", "--type", "consent")
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, "kind=granted") || strings.Contains(out, caller) || strings.ContainsAny(out, "{}") {
		t.Errorf("%q", out)
	}
	if raw := g.ok("aldo", "audit", "list", "--type", "consent", "--json"); !strings.Contains(raw, `"policy_hash"`) || !json.Valid([]byte(raw)) {
		t.Errorf("%s", raw)
	}
	s := g.run("aldo", "audit", "list", "--limit", "1")
	_, after, ok := strings.Cut(s.errs, "--after ")
	if !ok {
		t.Fatalf("%+v", s)
	}
	after, _, _ = strings.Cut(after, " ")
	after = strings.TrimSpace(after)
	if out := g.ok("aldo", "audit", "list", "--after", after, "--limit", "0"); strings.Contains(out, "node.start") || !strings.Contains(out, "recording.sealed") {
		t.Errorf("%q", out)
	}
	g.ok("aldo", "audit", "export", "--out", g.in("audit.jsonl"))
	g.ok("aldo", "audit", "checkpoint", "--out", g.in("checkpoint"))
	raw, err := os.ReadFile(g.in("audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := store.VerifyExport(strings.NewReader(string(raw)), ""); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	if info, err := os.Stat(g.in("checkpoint")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v", err)
	}
	if key := g.ok("aldo", "audit", "key"); !strings.Contains(key, "+") {
		t.Errorf("%q", key)
	}
	g.record(caller)
	for _, of := range [][]string{{"--entry", "2"}, {"--since", g.in("checkpoint")}} {
		if proof := decode[struct{ Format string }](t, g.ok("aldo", append([]string{"audit", "proof"}, of...)...)); proof.Format == "" {
			t.Errorf("%v: no proof", of)
		}
	}
	g.fails(2, "aldo", "either --entry or --since", "audit", "proof")
	g.fails(1, "aldo", "docs/operations.md", "audit", "verify") // this gate isn't set up for it
}

// TestAVerifiedLogIsToldAndABadOneFails.
func TestAVerifiedLogIsToldAndABadOneFails(t *testing.T) {
	t.Parallel()
	for _, sound := range []bool{true, false} {
		g := newGate(t, func(c *office.Config) { c.Verify = verdict(sound) })
		s := g.run("aldo", "audit", "verify")
		switch {
		case sound && (s.code != 0 || !strings.HasSuffix(s.out, "\nok\n")):
			t.Errorf("a sound one: %+v", s)
		case !sound && (s.code != 1 || !strings.Contains(s.errs, "entry 3: it was changed") || strings.Contains(s.out, "ok")):
			t.Errorf("a bad one: %+v", s)
		}
		if s := g.run("aldo", "audit", "verify", "--json"); (s.code == 0) != sound || strings.Contains(s.out, `"ok": true`) != sound {
			t.Errorf("for scripts: %+v", s)
		}
	}
}

// TestCallsAreSeenAndSteered by who may, and in the name of who did it.
func TestCallsAreSeenAndSteered(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	g.calls.all = []office.Call{{ID: "abc", Trunk: "main", Direction: "inbound", State: "bridged", Consent: "granted", Recording: "paused", PausedBy: []string{"remote"},
		Remote: caller, Local: "100", Started: time.Now()}}
	if out := g.ok("dana", "calls", "list"); !strings.Contains(out, "abc") || !strings.Contains(out, caller) || !strings.Contains(out, "granted") || !strings.Contains(out, "paused by remote") {
		t.Error(out)
	}
	if out := g.ok("olga", "calls", "list", "--json"); strings.Contains(out, caller) || !strings.Contains(out, `"abc"`) {
		t.Error(out)
	}
	if out := g.ok("olga", "calls", "pause", "abc"); !strings.Contains(out, "no later word is recorded") {
		t.Error(out)
	}
	g.ok("lena", "calls", "resume", "abc")
	if got := strings.Join(g.calls.done, ", "); got != "pause abc by olga, resume abc by lena" {
		t.Error(got)
	}
	g.fails(1, "olga", "your role may not do this", "calls", "withdraw", "abc")
	g.fails(1, "dana", "'calls list' shows how it stands", "calls", "withdraw", "abc")
	g.fails(1, "dana", "not found", "calls", "pause", "xyz")
}

// TestWhatCallersCallThemselvesDoesNothingToATerminal.
func TestWhatCallersCallThemselvesDoesNothingToATerminal(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	evil := "sip:\x1b]0;owned\x07\u009b31m\u202eeve@example.test\nrm"
	id := g.record(evil)
	g.calls.all = []office.Call{{ID: "abc", Remote: evil, Local: "\x1b[2J"}}
	for _, words := range [][]string{{"recordings", "list"}, {"recordings", "show", id}, {"calls", "list"}, {"audit", "list"}} {
		out := g.ok("dana", words...)
		if strings.ContainsAny(out, "\x1b\x07\u009b\u202e") || strings.Contains(out, "\nrm") {
			t.Errorf("%v: %q", words, out)
		}
	}
}

// TestWhereTheGateIsMayStandInTheEnvironment, and what is wrong with it is said.
func TestWhereTheGateIsMayStandInTheEnvironment(t *testing.T) {
	g := newGate(t, nil)
	id := g.record(caller)
	token := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("dana\n")
	if s := runBare(t, "recordings", "show", id); s.code != 2 || !strings.Contains(s.errs, "$CONSENTGATE_SERVER isn't set") {
		t.Errorf("%+v", s)
	}
	t.Setenv("CONSENTGATE_SERVER", g.server.URL)
	t.Setenv("CONSENTGATE_TOKEN_FILE", token)
	if s := runBare(t, "recordings", "show", id); s.code != 0 {
		t.Errorf("%+v", s)
	}
	if s := runBare(t, "recordings", "--json", "show"); s.code != 2 {
		t.Errorf("%+v", s)
	}
	for _, text := range []string{"", "da na", "dana\nomar"} {
		write(text)
		if s := runBare(t, "recordings", "show", id); s.code != 1 || !strings.Contains(s.errs, "has to hold one token") {
			t.Errorf("%q: %+v", text, s)
		}
	}
	for _, words := range [][]string{{"recordings"}, {"recordings", "dance"}, {"recordings", "list", "--dance"}} {
		if s := runBare(t, words...); s.code != 2 || s.out != "" || s.errs == "" {
			t.Errorf("%v: %+v", words, s)
		}
	}
	if s := runBare(t, "recordings", "--help"); s.code != 0 || !strings.Contains(s.out, "consentgate recordings export ID") || s.errs != "" {
		t.Errorf("%+v", s)
	}
	if s := runBare(t, "recordings", "export", "--help"); s.code != 0 || !strings.Contains(s.out, "--purpose TEXT") {
		t.Errorf("%+v", s)
	}
}

// TestTheGateSaysHowItIsAndWhoOneIs.
func TestTheGateSaysHowItIsAndWhoOneIs(t *testing.T) {
	t.Parallel()
	g := newGate(t, func(c *office.Config) { c.FourEyes = true })
	if out := g.ok("olga", "system", "show"); !strings.Contains(out, "gate-1") || !strings.Contains(out, "yes: 0 now") || !strings.Contains(out, "two have to agree") {
		t.Error(out)
	}
	if out := g.ok("aldo", "system", "whoami"); out != "aldo, auditor\n" {
		t.Errorf("%q", out)
	}
	g.fails(1, "dana", "not stopped", "system", "confirm-retention", "--reason", "looked")
}

// TestAnAgentLeadListensAndTakesNothingOut.
func TestAnAgentLeadListensAndTakesNothingOut(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	id := g.record(caller)
	if out := g.ok("lena", "recordings", "listen", id, "--purpose", "training"); !strings.HasPrefix(out, "RIFF") {
		t.Errorf("%.40q", out)
	}
	g.fails(1, "lena", "your role may not do this", "recordings", "export", id, "--purpose", "training", "--out", g.in("a.wav"))
	g.fails(2, "lena", "--purpose is missing", "recordings", "listen", id)
	if out := g.ok("dana", "recordings", "show", id); !strings.Contains(out, "played") || !strings.Contains(out, "lena") {
		t.Error(out)
	}
}
