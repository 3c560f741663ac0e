package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEachMutationFindsItsLine: what code is moved to another file takes its
// mutation along, which the mutations themselves tell only after minutes.
func TestEachMutationFindsItsLine(t *testing.T) {
	for _, m := range mutations {
		raw, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(raw), m.old); n != 1 {
			t.Errorf("%s: what it changes stands %d times in %s", m.name, n, m.file)
		}
	}
}
