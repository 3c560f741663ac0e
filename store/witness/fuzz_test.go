package witness

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// FuzzWitnessFile: nothing but what the log signed is a checkpoint of it.
func FuzzWitnessFile(f *testing.F) {
	_, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		f.Fatal(err)
	}
	w := &file{path: filepath.Join(f.TempDir(), "witness"), vkey: vkey}
	f.Add([]byte("{\"checkpoint\":\"x\"}\n"))
	f.Add([]byte("{\"checkpoint\":\"log.example\\n1\\nAAAA\\n\\n— log.example AAAA\\n\"}\n{"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(w.path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, ok, _ := w.held(context.Background()); ok {
			t.Errorf("%q is %+v", data, c)
		}
	})
}
