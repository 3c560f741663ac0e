package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"consentgate/store"
)

func loaded(t *testing.T, s *store.Store) string {
	t.Helper()
	values, err := s.Bindings().Load(context.Background())
	must(t, err)
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestBindingsOutlastTheProcess: what was saved is there when the directory is
// opened again, what was replaced or taken out isn't.
func TestBindingsOutlastTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	ctx := context.Background()
	must(t, s.Bindings().Save(ctx, map[string][]byte{"a": []byte("one"), "b": []byte("two"), "c": []byte("three")}),
		s.Bindings().Save(ctx, map[string][]byte{"a": []byte("four"), "b": nil, "never": nil}))
	must(t, s.Close())
	s = openStore(t, dir)
	if got := loaded(t, s); got != "four three" {
		t.Errorf("loaded %q", got)
	}
	must(t, s.Close())
}

// TestInvariant8_NoPlaintextAtRestOfBindings: neither keys nor values lie in the
// data directory as they are.
func TestInvariant8_NoPlaintextAtRestOfBindings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	const address = "sip:+442079460123@192.0.2.77"
	for i := range 20 {
		must(t, s.Bindings().Save(context.Background(), map[string][]byte{fmt.Sprint("key of ", address, i): []byte("value of " + address)}))
	}
	must(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if !slices.Contains(files, filepath.Join(dir, "bindings.db")) {
		t.Fatalf("there are only %v", files)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err == nil && (bytes.Contains(raw, []byte("442079460123")) || bytes.Contains(raw, []byte("192.0.2.77"))) {
			t.Errorf("%s has the address", f)
		}
	}
}

// TestDamagedBindingsAreSetAside: the store opens, the table is empty and works,
// and recordings aren't concerned.
func TestDamagedBindingsAreSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	must(t, s.Bindings().Save(context.Background(), map[string][]byte{"a": []byte("one")}), s.Close())
	path := filepath.Join(dir, "bindings.db")
	must(t, os.WriteFile(path, bytes.Repeat([]byte("damage "), 5000), 0o600))
	s = openStore(t, dir)
	if got := loaded(t, s); got != "" {
		t.Errorf("loaded %q", got)
	}
	must(t, s.Bindings().Save(context.Background(), map[string][]byte{"a": []byte("two")}))
	record(t, s, "call", 5)
	must(t, s.Close())
	s = openStore(t, dir)
	if got := loaded(t, s); got != "two" {
		t.Errorf("loaded %q", got)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestASealedBindingOfAnotherStoreDoesNotOpen: it is left out, and told.
func TestASealedBindingOfAnotherStoreDoesNotOpen(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "data")
	for _, dir := range []string{one, two} {
		s := openStore(t, dir)
		must(t, s.Bindings().Save(context.Background(), map[string][]byte{"a": []byte("of " + dir)}), s.Close())
	}
	raw, err := os.ReadFile(filepath.Join(one, "bindings.db"))
	must(t, err, os.WriteFile(filepath.Join(two, "bindings.db"), raw, 0o600))
	s := openStore(t, two)
	values, err := s.Bindings().Load(context.Background())
	if err == nil || len(values) != 0 {
		t.Errorf("loaded %q, %v", values, err)
	}
	must(t, s.Close())
}
