package rootcell_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"consentgate/store/rootcell"
)

// FuzzRootFile: a file that is there is a root, or an error that doesn't say that it is
// gone; nothing but the right line is a root.
func FuzzRootFile(f *testing.F) {
	key := bytes.Repeat([]byte("0123456789abcdef"), 4)
	f.Add(append([]byte("consentgate root 1 "), key...))
	f.Add(append([]byte("consentgate root 2 "), key...))
	f.Add([]byte("consentgate root 1 00\n"))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "root")
	cell := rootcell.NewFile(path)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := cell.Get(context.Background(), 1)
		switch {
		case errors.Is(err, rootcell.ErrGone):
			t.Errorf("%q is taken for a root that is gone", data)
		case err == nil && !bytes.Contains(bytes.ToLower(data), []byte(hex.EncodeToString(k[:]))):
			t.Errorf("%q is read as %x", data, k)
		case err != nil && k != (rootcell.Key{}):
			t.Errorf("%q: an error, and a key", data)
		}
	})
}
