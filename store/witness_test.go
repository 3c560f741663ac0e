package store_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/store"
	"consentgate/store/rootcell"
	"consentgate/store/witness"
)

// openWitnessed opens a store with witnesses; the second result reads a metric
// of the first of them.
func openWitnessed(t *testing.T, dir string, w ...witness.Config) (*store.Store, func(name string) float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := store.Open(store.Options{Dir: dir, Node: "test", Registerer: reg, Witnesses: w, WitnessEvery: 10 * time.Millisecond})
	must(t, err)
	return s, func(name string) float64 {
		families, err := reg.Gather()
		must(t, err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "consentgate_audit_"+name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == w[0].Name() {
					return m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
		t.Fatalf("there is no metric %s", name)
		return 0
	}
}

func wait(t *testing.T, what string, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !until(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestAHistoryRewrittenByWhoHoldsTheKeyIsFoundByItsWitness: the insider writes
// another log and signs it with the real key. By itself it verifies; with the
// witness's file it doesn't, and the gate sounds the alarm when it starts.
func TestAHistoryRewrittenByWhoHoldsTheKeyIsFoundByItsWitness(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	kept := witness.Config{File: filepath.Join(t.TempDir(), "witness.log")}
	s, _ := openWitnessed(t, dir, kept)
	record(t, s, "that shall never have been", 2)
	must(t, s.Close()) // the last thing witnessed is node.stop
	lines, err := os.ReadFile(kept.File)
	must(t, err)
	if r, err := store.Verify(dir, store.DefaultRootFile(dir), lines); err != nil || !r.OK() || !strings.HasPrefix(r.Checked, "5 ") {
		t.Fatalf("control: %+v %v", r, err)
	}

	must(t, os.Remove(filepath.Join(dir, "audit.db")))
	s = openStore(t, dir)
	for range 3 {
		record(t, s, "another past", 2)
	}
	must(t, s.Close())
	verify(t, dir) // sound in itself
	r, err := store.Verify(dir, store.DefaultRootFile(dir), lines)
	must(t, err)
	if r.OK() || !strings.Contains(r.Problem, "isn't the one of the checkpoint given") {
		t.Errorf("%+v", r)
	}

	for range 2 { // it doesn't wear off
		s, metric := openWitnessed(t, dir, kept)
		wait(t, "the alarm", func() bool { return metric("witness_conflict") == 1 })
		wait(t, "its entry", func() bool { return types(t, s)[store.TypeConflict] > 0 })
		must(t, s.Close())
	}
	after, err := os.ReadFile(kept.File)
	must(t, err)
	if string(after) != string(lines) {
		t.Error("the other history was witnessed on top of the first")
	}
	verify(t, dir)
}

// TestALogThatWasPutBackIsFoundByItsWitness: yesterday's audit.db.
func TestALogThatWasPutBackIsFoundByItsWitness(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	kept := witness.Config{File: filepath.Join(t.TempDir(), "witness.log")}
	s, _ := openWitnessed(t, dir, kept)
	must(t, s.Close())
	old, err := os.ReadFile(filepath.Join(dir, "audit.db"))
	must(t, err)
	s, _ = openWitnessed(t, dir, kept)
	record(t, s, "c", 1)
	must(t, s.Close(), os.WriteFile(filepath.Join(dir, "audit.db"), old, 0o600))
	s, metric := openWitnessed(t, dir, kept)
	wait(t, "the alarm", func() bool { return metric("witness_conflict") == 1 })
	wait(t, "its entry", func() bool { return types(t, s)[store.TypeConflict] == 1 })
	must(t, s.Close())
}

// TestTheWitnessesFileOnlyGrows, a line a checkpoint; what a full disk cut off
// stays a line by itself.
func TestTheWitnessesFileOnlyGrows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	kept := witness.Config{File: filepath.Join(t.TempDir(), "witness.log")}
	s, metric := openWitnessed(t, dir, kept)
	for n := range 3 {
		record(t, s, "c", 1)
		wait(t, "its witness", func() bool { return metric("witnessed_size") == float64(4+3*n) })
	}
	if age := metric("witnessed_age_seconds"); age < 0 || age > 10 {
		t.Errorf("age %v", age)
	}
	must(t, s.Close())
	before, err := os.ReadFile(kept.File)
	must(t, err, os.WriteFile(kept.File, append(before, `{"at":"2026-11-25T12`...), 0o600))
	s, metric = openWitnessed(t, dir, kept)
	wait(t, "the next", func() bool { return metric("witnessed_size") == 12 })
	must(t, s.Close())
	after, err := os.ReadFile(kept.File)
	must(t, err)
	if !strings.HasPrefix(string(after), string(before)) || metric("witness_failures_total") != 0 {
		t.Error("the file didn't only grow")
	}
	r, err := store.Verify(dir, store.DefaultRootFile(dir), after)
	must(t, err)
	if !r.OK() || !strings.HasPrefix(r.Checked, "13 ") {
		t.Errorf("%+v", r)
	}
}

// TestAWitnessThatIsAwayIsTriedAgain, counted, and holds up nothing.
func TestAWitnessThatIsAwayIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	folder := filepath.Join(t.TempDir(), "share")
	kept := witness.Config{File: filepath.Join(folder, "witness.log")}
	s, metric := openWitnessed(t, dir, kept)
	record(t, s, "c", 1)
	wait(t, "failures", func() bool { return metric("witness_failures_total") >= 2 })
	if metric("witnessed_size") != 0 || metric("witness_conflict") != 0 {
		t.Error("nothing was witnessed, and nothing contradicts")
	}
	must(t, os.Mkdir(folder, 0o700))
	wait(t, "the witness", func() bool { return metric("witnessed_size") == 4 })
	must(t, s.Close())
}

// TestACollectorGetsEachCheckpoint with the token of the moment, and is told
// nothing twice.
func TestACollectorGetsEachCheckpoint(t *testing.T) {
	var mu sync.Mutex
	var got []string
	answer := http.StatusServiceUnavailable
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != "Bearer secret" || r.Method != http.MethodPost {
			t.Errorf("%v %s %q", err, r.Method, r.Header)
		}
		if answer == http.StatusNoContent {
			got = append(got, string(body))
		}
		w.WriteHeader(answer)
	}))
	defer srv.Close()
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	dir := filepath.Join(t.TempDir(), "data")
	s, metric := openWitnessed(t, dir, witness.Config{URL: srv.URL + "/in", TokenFile: token})
	wait(t, "failures", func() bool { return metric("witness_failures_total") >= 2 })
	mu.Lock()
	answer = http.StatusNoContent
	mu.Unlock()
	wait(t, "the first", func() bool { return metric("witnessed_size") == 1 })
	record(t, s, "c", 1)
	wait(t, "the next", func() bool { return metric("witnessed_size") == 4 })
	must(t, s.Close())
	var kept [][]byte
	seen := map[string]bool{}
	for _, g := range got {
		if seen[g] {
			t.Errorf("twice:\n%s", g)
		}
		seen[g] = true
		kept = append(kept, []byte(g))
	}
	if r, err := store.Verify(dir, store.DefaultRootFile(dir), kept...); err != nil || !r.OK() || !strings.HasPrefix(r.Checked, "5 ") {
		t.Errorf("%+v %v", r, err)
	}
}

// TestAProofIsCheckedWithoutTheLog: consistency of two checkpoints, and that an
// entry is in the log. Any byte changed, or another log's key, and it isn't one.
func TestAProofIsCheckedWithoutTheLog(t *testing.T) {
	h := makeHistory(t)
	key, err := os.ReadFile(filepath.Join(h.dir, store.VerifierFile))
	must(t, err)
	other, err := os.ReadFile(filepath.Join(makeHistory(t).dir, store.VerifierFile))
	must(t, err)
	of := func(p store.Proof, err error) []byte {
		must(t, err)
		b, err := json.Marshal(p)
		must(t, err)
		return b
	}
	proofs := map[string][]byte{
		"consistency":          of(store.ProveConsistency(h.dir, h.older, h.current)),
		"of itself":            of(store.ProveConsistency(h.dir, h.current, h.current)),
		"entry":                of(store.ProveEntry(context.Background(), h.dir, nil, 5)),
		"entry with payload":   of(store.ProveEntry(context.Background(), h.dir, rootcell.NewFile(store.DefaultRootFile(h.dir)), 5)),
		"the newest entry":     of(store.ProveEntry(context.Background(), h.dir, nil, verify(t, h.dir).Size-1)),
		"from a branch's root": of(store.ProveConsistency(h.branch, h.older, h.older)),
	}
	for name, p := range proofs {
		got, err := store.CheckProof(p, string(key))
		if err != nil || got.To.Size == 0 || (got.Entry != nil) != strings.Contains(name, "entry") {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		if name == "entry with payload" && (got.Entry.Payload == nil || got.Entry.Seq != 5) || name == "entry" && got.Entry.Payload != nil {
			t.Errorf("%s: %+v", name, got.Entry)
		}
		if _, err := store.CheckProof(p, string(other)); err == nil {
			t.Errorf("%s: passes for another log's", name)
		}
		for at := range p {
			b := append([]byte(nil), p...)
			b[at] ^= 1
			if got2, err := store.CheckProof(b, string(key)); err == nil && !sameProven(got, got2) {
				t.Errorf("%s: byte %d was changed: %+v", name, at, got2)
			}
		}
	}
	if _, err := store.ProveConsistency(h.dir, h.current, h.older); err == nil {
		t.Error("the older continues the newer")
	}
	if _, err := store.ProveEntry(context.Background(), h.dir, nil, 1000); err == nil {
		t.Error("an entry that isn't there is proved")
	}
	s := openStore(t, h.branch)
	for range 6 {
		record(t, s, "another", 1)
	}
	must(t, s.Close())
	if _, err := store.ProveConsistency(h.branch, h.older, h.current); err == nil || !strings.Contains(err.Error(), "doesn't continue") {
		t.Errorf("another history proves this one's checkpoint: %v", err)
	}
}

// sameProven: what a changed file says is what the unchanged one said.
func sameProven(a, b store.Proven) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
