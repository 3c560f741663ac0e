package wrapcell

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"consentgate/store/rootcell"
)

// TestWhatACrashLeftOfAnEncryptedRootIsRemoved: no more than that, and not a root of
// another cell in the same folder.
func TestWhatACrashLeftOfAnEncryptedRootIsRemoved(t *testing.T) {
	dir := t.TempDir()
	c := New(nil, filepath.Join(dir, "root.wrapped"), "gate", rootcell.Description{})
	stay := []string{"root.wrapped.1", "root.wrapped.2", ".root.wrapped", ".root.wrapped.x.1", ".root.2.99", "root.wrapped.1.99"}
	for _, name := range append([]string{".root.wrapped.1.1234", ".root.wrapped.20.7"}, stay...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("box"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if c.Sweep(ended) == nil {
		t.Error("it sweeps after its context ended")
	}
	if err := c.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(stay) {
		t.Errorf("left are %v, %v", files, err)
	}
	for _, name := range stay {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
