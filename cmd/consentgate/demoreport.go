package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"consentgate/consent"
	"consentgate/internal/phone"
	"consentgate/store"
)

// line is one of a call's timeline.
type line struct {
	at   time.Time
	who  string
	what string
}

// reportStopped opens the data directory like anybody later, and prints what it proves.
func (d *demo) reportStopped(calls []*demoCall, started time.Time) (err error) {
	s, err := store.Open(store.Options{Dir: d.dataDir(), Node: "demo"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return d.report(s, calls, started)
}

// reportLive prints it while the gate runs, once nothing of the calls is under way.
func (d *demo) reportLive(calls []*demoCall, started time.Time) error {
	s := d.app.store.store.Load()
	if s == nil {
		return errNoStore
	}
	for until := time.Now().Add(sealTime); ; time.Sleep(20 * time.Millisecond) {
		h, err := s.Health()
		if err != nil {
			return err
		}
		if len(d.app.gate.Calls()) == 0 && h.Recording == 0 && h.Unsealed == 0 {
			return d.report(s, calls, started)
		}
		if time.Now().After(until) {
			return errors.New("the recording isn't sealed")
		}
	}
}

func (d *demo) dataDir() string { return filepath.Join(d.dir, "data") }

func (d *demo) report(s *store.Store, calls []*demoCall, started time.Time) error {
	var failed error
	for i, dc := range calls {
		fmt.Fprintf(d.out, "\nCall %d: %s\n", i+1, dc.title)
		if dc.err != nil {
			failed = errors.Join(failed, fmt.Errorf("call %d: %w", i+1, dc.err))
			fmt.Fprintf(d.out, "  went wrong: %v\n", dc.err)
			continue
		}
		if err := d.reportCall(s, dc); err != nil {
			return err
		}
	}
	if err := d.prove(d.dataDir()); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nAll of it took %.0f s. Everything stays in %s until you delete it.\n", time.Since(started).Seconds(), d.dir)
	return failed
}

func (d *demo) reportCall(s *store.Store, dc *demoCall) error {
	lines := of("caller", dc.call.Events())
	d.mu.Lock()
	agent := d.agents[dc.call.ID()]
	d.mu.Unlock()
	if agent != nil {
		lines = append(lines, of("agent", agent.Events())...)
	}
	records, err := recordsOf(s, dc.call.ID())
	if err != nil {
		return err
	}
	for _, r := range records {
		lines = append(lines, line{r.At, "gate", describe(r)})
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].at.Before(lines[j].at) })
	for _, l := range lines {
		fmt.Fprintf(d.out, "  %6.2f s  %-7s %s\n", l.at.Sub(lines[0].at).Seconds(), l.who, l.what)
	}
	return d.reportRecording(s, dc, records)
}

func of(who string, events []phone.Event) (out []line) {
	for _, e := range events {
		out = append(out, line{e.At, who, e.What})
	}
	return out
}

// recordsOf reads a call's evidence from the log.
func recordsOf(s *store.Store, callID string) (out []consent.Record, err error) {
	err = s.Entries(0, func(e store.Entry) bool {
		var r consent.Record
		if e.Type == store.TypeConsent && json.Unmarshal(e.Payload, &r) == nil && r.Call.CallID == callID {
			out = append(out, r)
		}
		return true
	})
	return out, err
}

// describe is a record in words.
func describe(r consent.Record) string {
	switch r.Kind {
	case consent.Granted:
		a := r.Answers[0]
		return fmt.Sprintf("logs consent for %q: heard %.1f s of the prompt, pressed %c; on disk, then records",
			r.Purpose.Name, a.Heard.Heard.Seconds(), a.Press.Key)
	case consent.Declined:
		return "logs the refusal and connects the call, unrecorded"
	case consent.Silent:
		return "logs that no answer came and connects the call, unrecorded"
	}
	return "logs: " + string(r.Kind)
}

func (d *demo) reportRecording(s *store.Store, dc *demoCall, records []consent.Record) error {
	found, _, err := s.Search(store.Query{Party: "+44 20 7946 0123"})
	if err != nil {
		return err
	}
	for _, r := range records {
		for _, sum := range found {
			if sum.Call != r.Call.ID {
				continue
			}
			path := filepath.Join(d.dir, "call-"+dc.number+".wav")
			if err := writeWAV(s, sum.ID, path); err != nil {
				return err
			}
			fmt.Fprintf(d.out, "  recorded: %.1f s, encrypted, %d bytes; rendered to %s\n", sum.Seconds, sum.Bytes, path)
			return nil
		}
	}
	fmt.Fprintln(d.out, "  recorded: nothing")
	return nil
}

func writeWAV(s *store.Store, id, path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = s.WAV(context.Background(), id, f)
	return errors.Join(err, f.Close())
}

// prove verifies the log as an auditor would.
func (d *demo) prove(dir string) error {
	fmt.Fprintln(d.out, "\nThe audit log, verified from its files alone:")
	r, err := store.Verify(dir, store.DefaultRootFile(dir), nil)
	if err != nil {
		return err
	}
	if printReport(r, d.out) != exitOK {
		return errors.New("the log doesn't verify")
	}
	return nil
}
