package store_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"consentgate/consent"
)

// recipe is the script in docs/recording-format.md, as it stands there.
func recipe(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/recording-format.md")
	must(t, err)
	_, section, _ := strings.Cut(string(doc), "\n## Recipe\n")
	_, script, _ := strings.Cut(section, "\n```sh\n")
	script, _, ok := strings.Cut(script, "\n```\n")
	if !ok {
		t.Fatal("the recipe isn't there")
	}
	return script
}

// TestTheRecipeRendersWhatWeRender: age, tshark and sox, as the document says, give
// the WAV that the gate gives: with losses, a pause, and RTP time that wraps.
func TestTheRecipeRendersWhatWeRender(t *testing.T) {
	program(t, "age", "tshark", "xxd", "awk", "sox")
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	remote, local := newVoice(t, r, consent.Remote, "PCMU", 8000, 0, 440), newVoice(t, r, consent.Local, "PCMA", 8000, 8, 880)
	for i := range 300 {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		a, b := remote.next(), local.next()
		if i == 150 {
			must(t, r.Gap(consent.Remote, "pause", start.Add(2*time.Second), at))
		}
		if i < 100 || i >= 150 {
			must(t, r.WriteRTP(consent.Remote, at, a))
		}
		if i%37 != 0 {
			must(t, r.WriteRTP(consent.Local, at, b))
		}
	}
	must(t, r.Seal(start.Add(6*time.Second), "hang-up"))
	ours, _ := render(t, s, r)

	work := t.TempDir()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	var out bytes.Buffer
	must(t, s.Sealed(context.Background(), r.ID(), &out, key.Recipient()),
		os.WriteFile(filepath.Join(work, "call.age"), out.Bytes(), 0o600),
		os.WriteFile(filepath.Join(work, "key.txt"), []byte(key.String()+"\n"), 0o600))
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", recipe(t))
	cmd.Dir = work
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	theirs, err := os.ReadFile(filepath.Join(work, "call.wav"))
	must(t, err)
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		want, rate := track(t, ours, p)
		got, theirRate := track(t, plainHeader(t, theirs), p)
		if len(got) != len(want) || rate != theirRate {
			t.Fatalf("%s: %d samples at %d Hz, ours has %d at %d", p, len(got), theirRate, len(want), rate)
		}
		for i := range want {
			if diff := int(got[i]) - int(want[i]); diff != 0 && (p == consent.Remote || want[i] != 0 || diff != 8) { // A-law has no zero
				t.Fatalf("%s: sample %d is %d, ours %d", p, i, got[i], want[i])
			}
		}
	}
	notes, err := os.ReadFile(filepath.Join(work, "notes.jsonl"))
	must(t, err)
	for _, part := range []string{`"remote":"` + callerNumber + `"`, `"encoding":"PCMA"`, `"cause":"pause"`, `"reason":"hang-up"`, `"id":"` + r.ID() + `"`} {
		if !strings.Contains(string(notes), part) {
			t.Errorf("the notes don't have %s", part)
		}
	}
}

// plainHeader gives a WAV file the shortest header: sox may write a longer one.
func plainHeader(t *testing.T, wav []byte) []byte {
	t.Helper()
	at := bytes.Index(wav, []byte("data"))
	if at < 36 {
		t.Fatal("not a WAV file")
	}
	return append(append(bytes.Clone(wav[:36]), wav[at:at+8]...), wav[at+8:]...)
}
