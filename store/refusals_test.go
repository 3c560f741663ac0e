package store_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"consentgate/store"
)

// unwrapFailures are those that the log has, summed up.
func unwrapFailures(t *testing.T, s *store.Store) map[string]int {
	t.Helper()
	out := map[string]int{}
	_, err := s.EntriesOf(0, map[string]bool{store.TypeUnwrap: true}, func(e store.Entry) bool {
		var u store.UnwrapFailed
		must(t, json.Unmarshal(e.Payload, &u))
		for what, n := range u.Failed {
			out[what] += n
		}
		return true
	})
	must(t, err)
	return out
}

// TestWhatDoesntOpenIsLogged, counted, and not at each try: a recording that
// somebody changed, and a root that another process saw refuse. What opens isn't.
func TestWhatDoesntOpenIsLogged(t *testing.T) {
	s, dir := kit(t)
	good, bad := record(t, s, "c-1", 5), record(t, s, "c-2", 5)
	file := filepath.Join(dir, "recordings", bad+".rec")
	wait(t, "the sealed file", func() bool { _, err := os.Stat(file); return err == nil })
	_, err := s.Check(context.Background(), good)
	must(t, err)
	s.NoteRefusals()
	if got := unwrapFailures(t, s); len(got) != 0 {
		t.Errorf("control: %v", got)
	}
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)-100] ^= 1
	must(t, os.WriteFile(file, b, 0o600))
	for range 2 {
		if _, err := s.Check(context.Background(), bad); err == nil {
			t.Error("control: the change isn't noticed")
		}
	}
	s.Refused(3)
	s.NoteRefusals()
	s.Refused(1)
	s.NoteRefusals() // too soon for another entry
	if got := unwrapFailures(t, s); got["recording"] != 2 || got["root"] != 3 || len(got) != 2 {
		t.Errorf("%v", got)
	}
	if n := types(t, s)[store.TypeUnwrap]; n != 1 {
		t.Errorf("%d entries", n)
	}
}

// TestEntriesOfSomeTypesAreReadInOrderAndOnce, and the next reading goes on
// behind them, wherever the last was stopped.
func TestEntriesOfSomeTypesAreReadInOrderAndOnce(t *testing.T) {
	s, _ := kit(t)
	for range 300 {
		must(t, s.Audit().Note(context.Background(), store.Login{By: "dana"}), s.Audit().Note(context.Background(), store.LoginFailed{As: "dana"}))
	}
	last, n, next := int64(-1), 0, int64(0)
	for range 3 {
		var err error
		stop := n + 100
		next, err = s.EntriesOf(next, map[string]bool{store.TypeLogin: true}, func(e store.Entry) bool {
			if e.Type != store.TypeLogin || e.Seq <= last || e.Payload == nil {
				t.Errorf("%+v behind %d", e, last)
			}
			last = e.Seq
			n++
			return n < stop || stop == 300
		})
		must(t, err)
	}
	if n != 300 || next != s.Audit().Size() {
		t.Errorf("%d entries; the next from %d of %d", n, next, s.Audit().Size())
	}
}
