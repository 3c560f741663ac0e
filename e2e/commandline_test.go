package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/internal/phone"
)

// TestAnOfficerSeesACallPausesItAndTakesItOut, by the command line, while it goes on
// and after it: what was said between pause and resume is in no file, and what the
// caller said after a withdrawal isn't, either.
func TestAnOfficerSeesACallPausesItAndTakesItOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	console := freePort(t)
	l := newLine(t, setup{extra: fmt.Sprintf("console: {listen: %q, users: [{name: dana, role: officer, token_sha256: \"%x\"}]}\n", console, sha256.Sum256([]byte("let-me-in")))})
	token := filepath.Join(l.dir, "token")
	if err := os.WriteFile(token, []byte("letmein"), 0o600); err != nil {
		t.Fatal(err)
	}
	officer := func(words ...string) (string, int) {
		return l.run(append(words, "--server", "http://"+console, "--token-file", token)...)
	}
	must := func(words ...string) string {
		t.Helper()
		out, code := officer(words...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", words, code, out)
		}
		return out
	}
	if out, code := officer("calls", "list"); code != 1 || !strings.Contains(out, "the token is no user's") {
		t.Errorf("another's token: %d, %s", code, out)
	}
	if err := os.WriteFile(token, []byte("let-me-in\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type call struct {
		ID, State, Consent, Recording, Remote string
		RecordingID                           string `json:"recording_id"`
	}
	live := func() (one call) {
		var in struct{ Calls []call }
		if err := json.Unmarshal([]byte(must("calls", "list", "--json")), &in); err != nil {
			t.Fatal(err)
		}
		if len(in.Calls) == 1 {
			one = in.Calls[0]
		}
		return one
	}
	c, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	agent := <-l.calls
	say := func(hz float64) { // and waits until the other end has heard enough of it to be told by
		t.Helper()
		c.Media.Tone(hz)
		err := agent.Media.WaitTone(ctx, hz)
		before := len(agent.Media.Received())
		err = errors.Join(err, agent.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > before+25 }))
		if err != nil {
			t.Fatal(err)
		}
	}
	l.until("it is recorded", func() bool { return live().Recording == "recording" })
	now := live()
	if now.State != "bridged" || now.Consent != "granted" || now.Remote != "+442079460123" || now.RecordingID == "" {
		t.Errorf("%+v", now)
	}
	say(600)
	must("calls", "pause", now.ID)
	say(1500)
	if got := live().Recording; got != "paused" {
		t.Errorf("it is %s", got)
	}
	say(880)
	must("calls", "resume", now.ID)
	say(1100)
	must("calls", "withdraw", now.ID)
	say(2000)
	if out, code := officer("calls", "pause", now.ID); code != 1 || !strings.Contains(out, "'calls list' shows how it stands") {
		t.Errorf("a pause of what isn't recorded: %d, %s", code, out)
	}
	if err := c.Hangup(); err != nil {
		t.Fatal(err)
	}
	l.until("no call is left", func() bool { return live().ID == "" })
	l.until("it is sealed", func() bool {
		return strings.Contains(must("recordings", "list", "--party", "+442079460123"), "sealed")
	})
	wav := filepath.Join(l.dir, "call.wav")
	if out, code := officer("recordings", "export", now.RecordingID, "--purpose", "advertising", "--out", wav); code != 1 {
		t.Errorf("for what nobody consented to: %d, %s", code, out)
	}
	must("recordings", "export", now.RecordingID, "--purpose", "training", "--out", wav)
	raw, err := os.ReadFile(wav)
	if err != nil {
		t.Fatal(err)
	}
	for hz, is := range map[float64]bool{600: true, 1100: true, 1500: false, 2000: false} {
		if hasTone(listen(raw).Left, hz) != is {
			t.Errorf("%.0f Hz is in the recording: %v", hz, !is)
		}
	}
	out := must("recordings", "show", now.RecordingID)
	for _, want := range []string{"paused", "resumed", "withdrawn", "exported", "dana"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s isn't in\n%s", want, out)
		}
	}
	if out := must("audit", "verify"); !strings.HasSuffix(out, "\nok\n") {
		t.Error(out)
	}
	l.stop()
	var kinds []consent.Kind
	for _, r := range l.evidence().records {
		kinds = append(kinds, r.Kind)
		if r.Kind != consent.Granted && (r.By != "dana" || r.Reason != consent.ByConsole) {
			t.Errorf("the record of %s is of %q, for %q", r.Kind, r.By, r.Reason)
		}
	}
	if want := []consent.Kind{consent.Granted, consent.Paused, consent.Resumed, consent.Withdrawn}; !slices.Equal(kinds, want) {
		t.Errorf("records %v", kinds)
	}
}
