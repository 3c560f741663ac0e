package checkpoint_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentgate/store/checkpoint"
)

const text = "log.example\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

// keys are of one log.
func keys(t testing.TB) (signer note.Signer, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err = note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, vkey
}

// FuzzCheckpoint: whatever the log's key signs is read as it is written, or refused.
func FuzzCheckpoint(f *testing.F) {
	signer, vkey := keys(f)
	f.Add(text)
	f.Add(text + "more\n")
	f.Add(strings.Replace(text, "3", "-3", 1))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := checkpoint.Parse([]byte(text), vkey); err == nil {
			t.Errorf("%q has no signature", text)
		}
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			return // no note
		}
		if c, err := checkpoint.Parse(signed, vkey); err == nil && !strings.HasPrefix(text, c.Text()) {
			t.Errorf("%q is read as %q", text, c.Text())
		}
	})
}

// FuzzKept: a witness's file is read line by line; none that isn't the log's is taken
// for one of its checkpoints.
func FuzzKept(f *testing.F) {
	signer, vkey := keys(f)
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		f.Fatal(err)
	}
	line, err := json.Marshal(checkpoint.Line{Checkpoint: string(signed)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\n"))
	f.Add([]byte("{\"at\":"))
	f.Add(signed)
	f.Fuzz(func(t *testing.T, data []byte) {
		if out, _, err := checkpoint.ParseKept(data, vkey); err == nil && len(out) == 0 {
			t.Errorf("%q has none, and is no error", data)
		}
		whole := append(append(append([]byte{}, line...), '\n'), data...)
		out, notes, err := checkpoint.ParseKept(whole, vkey)
		if err == nil && (len(out) != len(notes) || out[0].Text() != text) {
			t.Errorf("behind a good line %q: %v", data, out)
		}
	})
}
