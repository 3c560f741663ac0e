package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rights"
)

// TestRetentionDryRunListsWhatWouldGo: of a gate that runs, and of one that
// stopped; and nothing goes for it.
func TestRetentionDryRunListsWhatWouldGo(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("data_dir: %s\nretention: {least: 1}\n", data) + strings.Replace(minimal, "retention: 90d", "retention: 1s", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 3 {
		ids = append(ids, recordOnce(t, s))
	}
	ctx := context.Background()
	if _, err := s.Hold(ctx, ids[0], rights.Act{By: "dana", At: time.Now(), Reason: "claim"}, "case"); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"running", "stopped"} {
		var out, errs strings.Builder
		wanted := []string{"2 of 3 recordings go, 1 stay beyond their time", ids[0] + "  training  since", "stays: its retention is over, and only a legal hold",
			ids[1] + "  training", "  goes\n", "the brake would stop training"}
		deadline := time.Now().Add(20 * time.Second)
		for code := -1; ; time.Sleep(50 * time.Millisecond) {
			out.Reset()
			code = run(ctx, []string{"retention", "--config", file, "--dry-run"}, &out, &errs)
			if code != exitOK {
				t.Fatalf("%s: exit %d: %s", state, code, errs.String())
			}
			if strings.Contains(out.String(), wanted[0]) || time.Now().After(deadline) {
				break // their second is over
			}
		}
		for _, w := range wanted {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: %q isn't in\n%s", state, w, out.String())
			}
		}
		if state == "stopped" {
			break
		}
		if page, _, err := s.Search(store.Query{}); err != nil || len(page) != 3 {
			t.Errorf("%d are left: %v", len(page), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRetentionIsConfirmedByNameAndReason: only what was stopped can be.
func TestRetentionIsConfirmedByNameAndReason(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("data_dir: "+data+"\n"+minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	confirm := func() (int, string) {
		var out strings.Builder
		code := run(context.Background(), []string{"retention", "--config", file, "--confirm", "looked", "--by", "dana"}, &out, &out)
		return code, out.String()
	}
	begin := time.Now()
	open := func(later time.Duration) *store.Store {
		t.Helper()
		s, err := store.Open(store.Options{Dir: data, Retention: store.Retention{Every: time.Hour}, Clock: store.Clock{
			Now:     func() time.Time { return time.Now().Add(later) },
			Elapsed: func() time.Duration { return time.Since(begin) }, After: time.After}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(0)
	if code, said := confirm(); code != exitFail || !strings.Contains(said, "another process has it open") || !strings.Contains(said, "system confirm-retention") {
		t.Errorf("with the gate running: exit %d, %s", code, said)
	}
	recordOnce(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, said := confirm(); code != exitFail || !strings.Contains(said, "isn't stopped") {
		t.Errorf("with nothing to confirm: exit %d, %s", code, said)
	}
	s = open(time.Hour)
	waitFor(t, func() bool { _, is, _ := s.Braked(); return is })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, said := confirm(); code != exitOK {
		t.Fatalf("exit %d, %s", code, said)
	}
	s = open(time.Hour)
	waitFor(t, func() bool { page, _, err := s.Search(store.Query{}); return err == nil && len(page) == 0 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it doesn't come")
		}
	}
}

// recordOnce makes an empty recording that is kept for a second.
func recordOnce(t *testing.T, s *store.Store) string { return recordFrom(t, s, "+442079460123") }

// recordFrom makes a recording of a call of somebody's.
func recordFrom(t *testing.T, s *store.Store, remote string) string {
	t.Helper()
	p := &consent.Policy{Action: consent.Ask, Parties: []consent.Party{consent.Remote}, Accept: '1', Attempts: 1,
		Purpose: consent.Purpose{Name: "training", Retention: time.Second}}
	session := consent.NewSession(&consent.Call{ID: "c", Remote: remote, Local: "+4930901820"}, p, s.Audit())
	session.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	session.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := session.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	for _, a := range acts {
		if a.Do != consent.Commit {
			continue
		}
		acts, _ := session.Step(session.Commit(context.Background(), a.Record))
		for _, a := range acts {
			if a.Do != consent.Create {
				continue
			}
			r, err := s.Create(context.Background(), a.Grant)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Seal(time.Now(), "hang-up"); err != nil {
				t.Fatal(err)
			}
			return r.ID()
		}
	}
	t.Fatal("no grant")
	return ""
}

// TestAForecastTellsOfTheLogsMonths, and that they wait for an officer.
func TestAForecastTellsOfTheLogsMonths(t *testing.T) {
	var out strings.Builder
	printForecast(store.Forecast{Months: []string{"2023-10", "2023-11"}, Held: true}, &out)
	for _, want := range []string{"goes of 2023-10, 2023-11, but for what goes with a recording", "the brake would stop that"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q isn't in\n%s", want, out.String())
		}
	}
	out.Reset()
	if printForecast(store.Forecast{}, &out); strings.Contains(out.String(), "audit log") || strings.Contains(out.String(), "brake") {
		t.Errorf("nothing goes of the log:\n%s", out.String())
	}
}
