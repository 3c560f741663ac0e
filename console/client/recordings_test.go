package client_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"consentgate/consent"
	"consentgate/console/office"
	"consentgate/internal/sample"
	"consentgate/store"
)

const caller = "+442079460123"

// TestRecordingsAreListedForPeopleAndForScripts, a page after the other.
func TestRecordingsAreListedForPeopleAndForScripts(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	if s := g.run("dana", "recordings", "list"); s.code != 0 || s.out != "" || !strings.Contains(s.errs, "there is nothing") {
		t.Errorf("an empty list: %+v", s)
	}
	var ids []string
	for range 3 {
		ids = append([]string{g.record(caller)}, ids...) // the latest first
	}
	g.record("+4930111222333")
	s := g.run("dana", "recordings", "list", "--party", "+44 20 7946 0123", "--limit", "2")
	if s.code != 0 || strings.Count(s.out, "\n") != 3 || !strings.Contains(s.out, ids[0]) || !strings.Contains(s.out, ids[1]) || strings.Contains(s.out, ids[2]) {
		t.Fatalf("two of three: %+v", s)
	}
	_, cursor, ok := strings.Cut(strings.TrimSpace(s.errs), "--cursor ")
	if !ok {
		t.Fatalf("it doesn't say where it stopped: %q", s.errs)
	}
	cursor, _, _ = strings.Cut(cursor, " ")
	out := g.ok("dana", "recordings", "list", "--party", "+44 20 7946 0123", "--cursor", cursor)
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, ids[2]) || !strings.Contains(out, caller) || !strings.Contains(out, "0:02") {
		t.Errorf("the rest: %q", out)
	}
	type listed struct {
		Recordings []struct{ ID, Remote string }
		Next       string
	}
	all := decode[listed](t, g.ok("dana", "recordings", "list", "--json", "--limit", "0"))
	if len(all.Recordings) != 4 || all.Next != "" || all.Recordings[1].ID != ids[0] || all.Recordings[1].Remote != caller {
		t.Errorf("all: %+v", all)
	}
	if some := decode[listed](t, g.ok("dana", "recordings", "list", "--json", "--limit", "1")); len(some.Recordings) != 1 || some.Next == "" {
		t.Errorf("one: %+v", some)
	}
	if none := decode[listed](t, g.ok("dana", "recordings", "list", "--json", "--purpose", "marketing")); len(none.Recordings) != 0 {
		t.Errorf("none: %+v", none)
	}
	if out := g.ok("aldo", "recordings", "list"); strings.Contains(out, caller) {
		t.Errorf("an auditor's list has numbers: %s", out)
	}
	g.fails(1, "dana", "a day as 2026-11-25", "recordings", "list", "--from", "yesterday")
	g.fails(1, "olga", "your role may not do this", "recordings", "list")
	g.fails(1, "nobody", "compare its SHA-256 with console.users", "recordings", "list")
}

// TestWhatAWithdrawalEndedIsListedByItsOutcome.
func TestWhatAWithdrawalEndedIsListedByItsOutcome(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	whole, r := g.record(caller), sample.Begin(t, g.store, caller, time.Second)
	if err := r.Seal(time.Now(), consent.EndWithdrawn); err != nil {
		t.Fatal(err)
	}
	out := g.ok("dana", "recordings", "list", "--outcome", "withdrawn")
	if !strings.Contains(out, r.ID()) || !strings.Contains(out, "withdrawn") || strings.Contains(out, whole) {
		t.Errorf("withdrawn: %s", out)
	}
	if out := g.ok("dana", "recordings", "list", "--outcome", "complete"); !strings.Contains(out, whole) || strings.Contains(out, r.ID()) {
		t.Errorf("complete: %s", out)
	}
	g.fails(2, "dana", `"lost" is none of `+strings.Join(store.Outcomes(), ", "), "recordings", "list", "--outcome", "lost")
	if out := g.ok("dana", "recordings", "show", r.ID()); !strings.Contains(out, "withdrawn") {
		t.Errorf("shown: %s", out)
	}
}

// TestARecordingIsShownWithWhatHappenedToIt: consent, key, use and hold.
func TestARecordingIsShownWithWhatHappenedToIt(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	id := g.record(caller)
	g.ok("dana", "recordings", "export", id, "--purpose", "training", "--out", g.in("a.wav"))
	g.ok("dana", "recordings", "hold", id, "--reason", "claim of Smith", "--case", "C-7")
	out := g.ok("dana", "recordings", "show", id)
	for _, want := range []string{id, caller, "training", "0:02", "granted", "exported", "dana", "claim of Smith", "C-7", "Timeline", "Holds"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q isn't in:\n%s", want, out)
		}
	}
	_, timeline, _ := strings.Cut(out, "Timeline\n")
	heads, rows, _ := strings.Cut(timeline, "\n")
	for row := range strings.Lines(strings.Split(rows, "\n\n")[0]) { // aligned, though some have nothing in the middle
		if at := strings.Index(heads, "NOTE"); strings.Contains(row, "hang-up") && strings.Index(row, "hang-up") != at ||
			strings.Contains(row, "dana") && strings.Index(row, "dana") != strings.Index(heads, "WHO") {
			t.Errorf("not aligned:\n%s", timeline)
		}
	}
	if strings.Contains(out, "Restrictions") {
		t.Errorf("what isn't there is shown:\n%s", out)
	}
	if r := decode[struct{ ID string }](t, g.ok("dana", "recordings", "show", "--json", id)); r.ID != id {
		t.Errorf("%+v", r)
	}
	g.fails(1, "dana", "not found", "recordings", "show", strings.Repeat("a", 26))
	g.fails(1, "dana", "not found", "recordings", "show", "../../../metrics")
	g.fails(2, "dana", "ID is missing", "recordings", "show")
	g.fails(2, "dana", `"b" isn't expected`, "recordings", "show", id, "b")
}

// TestAnExportIsAFileForItsOwnerAlone that is whole, over no other, and only for
// what was consented to.
func TestAnExportIsAFileForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	id := g.record(caller)
	file := g.in("call.wav")
	g.fails(2, "dana", "--purpose is missing", "recordings", "export", id, "--out", file)
	g.fails(2, "dana", `"mp3" is none of wav`, "recordings", "export", id, "--out", file, "--form", "mp3")
	g.fails(1, "dana", "use it for a purpose that was consented to", "recordings", "export", id, "--purpose", "marketing", "--out", file)
	if left, err := os.ReadDir(g.dir); err != nil || len(left) != 0 {
		t.Fatalf("a refused export leaves %v, %v", left, err)
	}
	s := g.run("dana", "recordings", "export", id, "--purpose", "training", "--out", file)
	raw, err := os.ReadFile(file)
	if s.code != 0 || err != nil || !bytes.HasPrefix(raw, []byte("RIFF")) || len(raw) < 2*8000*2*2 {
		t.Fatalf("%+v: %d bytes, %v", s, len(raw), err)
	}
	if !strings.Contains(s.errs, file) || s.out != "" || strings.Contains(s.errs, "\r") {
		t.Errorf("it said %+v", s)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	exports := func() (n int) {
		return strings.Count(g.ok("dana", "recordings", "show", id), "exported")
	}
	before := exports()
	g.fails(1, "dana", "is there already", "recordings", "export", id, "--purpose", "training", "--out", file)
	if exports() != before {
		t.Error("what wasn't kept was given out")
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("it was written over: %v", err)
	}
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	g.ok("dana", "recordings", "export", id, "--purpose", "training", "--out", file, "--force")
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("--force: %d bytes, %v", len(again), err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("with --force: mode %v, %v", info.Mode(), err)
	}
	if out := g.ok("dana", "recordings", "export", id, "--purpose", "training", "--out", "-"); out != string(raw) {
		t.Errorf("to standard output: %d bytes", len(out))
	}
	if left, err := os.ReadDir(g.dir); err != nil || len(left) != 1 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// TestARecordingComesInEveryFormThereIs, and a sealed one opens for its recipient.
func TestARecordingComesInEveryFormThereIs(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	id := g.record(caller)
	me, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	begins := map[string]string{"wav": "RIFF", "g711": "RIFF", "remote": "RIFF", "local": "RIFF", "vcon": "{", "vcon-silent": "{", "vcon-url": "{", "receipt": "{", "age": "age-encryption.org/v1"}
	for form, want := range begins {
		file := g.in(form)
		args := []string{"recordings", "export", id, "--form", form, "--out", file}
		switch form {
		case "age":
			g.fails(2, "dana", "--recipient is missing", append(args, "--purpose", "training")...)
			args = append(args, "--purpose", "training", "--recipient", me.Recipient().String())
		case "vcon-silent", "vcon-url", "receipt":
		default:
			args = append(args, "--purpose", "training")
		}
		g.ok("dana", args...)
		raw, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(raw), want) {
			t.Errorf("%s: %v, %.40q", form, err, raw)
		}
		if want == "{" && !json.Valid(raw) {
			t.Errorf("%s isn't JSON", form)
		}
		if form == "age" {
			if _, err := age.Decrypt(bytes.NewReader(raw), me); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestAHeldRecordingIsErasedWhenItIsReleased, and then there is a certificate.
func TestAHeldRecordingIsErasedWhenItIsReleased(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	id := g.record(caller)
	g.fails(2, "dana", "--reason is missing", "recordings", "hold", id)
	if out := g.ok("dana", "recordings", "hold", id, "--reason", "claim"); !strings.Contains(out, "is on hold") {
		t.Error(out)
	}
	if out := g.ok("dana", "recordings", "hold", id, "--reason", "claim"); !strings.Contains(out, "already") {
		t.Error(out)
	}
	if out := g.ok("dana", "recordings", "erase", id, "--reason", "asked by phone"); !strings.Contains(out, "waits for what keeps the recording") {
		t.Error(out)
	}
	g.fails(1, "dana", "there is no certificate yet", "recordings", "certificate", id)
	g.ok("dana", "recordings", "release", id, "--reason", "settled")
	var out string
	eventually(t, "there is a certificate", func() bool {
		s := g.run("dana", "recordings", "certificate", id)
		out = s.out
		return s.code == 0
	})
	if !strings.HasPrefix(out, "consentgate-erasure-certificate-1\n") || !strings.HasSuffix(out, "=\n") {
		t.Errorf("%q", out)
	}
	g.ok("aldo", "recordings", "certificate", id, "--out", g.in("certificate"))
	if raw, err := os.ReadFile(g.in("certificate")); err != nil || string(raw) != out {
		t.Errorf("%q, %v", raw, err)
	}
	if out := g.ok("dana", "recordings", "list"); strings.Contains(out, id) {
		t.Errorf("it is still listed: %s", out)
	}
}

// TestARestrictedRecordingIsTakenOutForAClaimOnly: Art. 18(2).
func TestARestrictedRecordingIsTakenOutForAClaimOnly(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	id := g.record(caller)
	g.fails(2, "dana", "is none of accuracy", "recordings", "restrict", id, "--reason", "r", "--ground", "mood")
	out := g.ok("dana", "recordings", "restrict", id, "--reason", "disputed", "--ground", "accuracy", "--subject", caller)
	restriction := strings.TrimSpace(out[strings.LastIndex(out, " "):])
	g.fails(1, "dana", "legal claims", "recordings", "export", id, "--purpose", "training", "--out", g.in("a.wav"))
	g.fails(2, "dana", "--reason is missing", "recordings", "export", id, "--case", "C-7", "--out", g.in("a.wav"))
	g.ok("dana", "recordings", "export", id, "--case", "C-7", "--reason", "our defence", "--out", g.in("a.wav"))
	g.fails(2, "dana", "--told is missing", "recordings", "lift", id, restriction, "--reason", "settled")
	g.ok("dana", "recordings", "lift", id, restriction, "--reason", "settled", "--told")
	g.ok("dana", "recordings", "export", id, "--purpose", "training", "--out", g.in("b.wav"))
}

// TestWhatNeedsTwoOfficersWaitsForTheSecond: an erasure is carried out then, an
// export has to be asked for again.
func TestWhatNeedsTwoOfficersWaitsForTheSecond(t *testing.T) {
	t.Parallel()
	g := newGate(t, func(c *office.Config) { c.FourEyes = true })
	id, file := g.record(caller), g.in("a.wav")
	export := []string{"recordings", "export", id, "--purpose", "training", "--out", file}
	g.fails(1, "dana", "a second officer has to agree", export...)
	type waiting struct {
		Approvals []struct{ ID, Act, State string }
	}
	find := func(act string) string {
		for _, a := range decode[waiting](t, g.ok("omar", "approvals", "list", "--json")).Approvals {
			if a.Act == act {
				return a.ID
			}
		}
		t.Fatalf("nothing waits that is called %s", act)
		return ""
	}
	g.fails(1, "dana", "another officer has to decide", "approvals", "approve", find("export"), "--reason", "mine")
	if out := g.ok("omar", "approvals", "approve", find("export"), "--reason", "fine"); !strings.Contains(out, "approved") {
		t.Error(out)
	}
	g.ok("dana", export...)
	out := g.ok("dana", "recordings", "erase", id, "--reason", "asked for")
	if !strings.Contains(out, "approvals approve "+find("erase")) {
		t.Errorf("it doesn't say how: %q", out)
	}
	if out := g.ok("omar", "approvals", "list"); !strings.Contains(out, id) || !strings.Contains(out, "asked for") {
		t.Error(out)
	}
	g.ok("dana", "recordings", "show", id)
	g.ok("omar", "approvals", "approve", find("erase"), "--reason", "fine")
	g.fails(1, "dana", "not found", "recordings", "show", id)
}
