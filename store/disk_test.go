package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/store"
)

const mib = 1 << 20

// fakeDisk says what a test wants of its room. While it hangs it doesn't answer.
type fakeDisk struct {
	mu    sync.Mutex
	now   store.Space
	err   error
	hangs chan struct{} // nil: it answers
}

func (d *fakeDisk) ask(string) (store.Space, error) {
	d.mu.Lock()
	now, err, hangs := d.now, d.err, d.hangs
	d.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	return now, err
}

func (d *fakeDisk) set(change func(*fakeDisk)) {
	d.mu.Lock()
	change(d)
	d.mu.Unlock()
}

func (d *fakeDisk) free(n int64) {
	d.set(func(d *fakeDisk) { d.now = store.SpaceOf(n*mib, 100*mib, 0, 0) })
}

// watched is a store whose disk is a test's: 100 MiB, with an alarm below 20 and
// an end below 10.
func watched(t *testing.T, stale time.Duration) (*store.Store, *fakeDisk, string) {
	t.Helper()
	d := &fakeDisk{}
	d.free(50)
	o := store.Options{Dir: filepath.Join(t.TempDir(), "data"),
		Disk: store.DiskMarks{Low: store.Mark{Bytes: 20 * mib}, Stop: store.Mark{Share: 0.1}}}
	s, err := store.Open(store.WithDisk(o, d.ask, 10*time.Millisecond, stale))
	must(t, err)
	return s, d, o.Dir
}

// until waits for something that a goroutine of the store's does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestNoRecordingBeginsBelowTheMarkAndThoseThatRunGoOn, and it begins again by
// itself where there is room again. The log has each change of level, once.
func TestNoRecordingBeginsBelowTheMarkAndThoseThatRunGoOn(t *testing.T) {
	s, d, dir := watched(t, 0)
	running, err := s.Create(context.Background(), grant(t, s.Audit(), "before"))
	must(t, err)
	d.free(9)
	until(t, "the end", func() bool { return errors.Is(s.Ready("main"), store.ErrNoRoom) })
	g := grant(t, s.Audit(), "meanwhile") // who was asked already
	if _, err := s.Create(context.Background(), g); !errors.Is(err, store.ErrNoRoom) {
		t.Errorf("a recording began: %v", err)
	}
	h := g.Hash()
	_, err = s.Audit().Append(context.Background(), consent.Record{Kind: consent.Failed, Grant: &h}) // as consent does
	must(t, err)
	speak(t, running, time.Now(), 20)
	must(t, running.Seal(time.Now(), "hang-up"))
	d.free(11) // above the mark, and not above its relief
	stays(t, d, s, func() bool { return s.Ready("main") != nil })
	d.free(15)
	until(t, "room again", func() bool { return s.Ready("main") == nil })
	record(t, s, "after", 3)
	d.free(22)
	stays(t, d, s, func() bool { return s.DiskLevel() == "low" })
	d.free(30)
	until(t, "plenty", func() bool { return s.DiskLevel() == "ok" })
	s.RunTasks()
	if got := levels(t, s); got != "disk.low:stop disk.low:low disk.ok:ok" {
		t.Errorf("the log has %s", got)
	}
	must(t, s.Close())
	if r := verify(t, dir); r.Unaccounted != 0 {
		t.Errorf("%+v", r)
	}
}

// stays looks whether something is so after the disk was looked at anew.
func stays(t *testing.T, d *fakeDisk, s *store.Store, ok func() bool) {
	t.Helper()
	for range 3 {
		was := s.DiskSeen()
		until(t, "another look", func() bool { return s.DiskSeen().After(was) })
	}
	if !ok() {
		t.Errorf("at %v of room the level is %s", d.now, s.DiskLevel())
	}
}

// levels are the log's entries of the disk.
func levels(t *testing.T, s *store.Store) string {
	t.Helper()
	var out []string
	must(t, s.Entries(0, func(e store.Entry) bool {
		var ev struct{ Level, By string }
		if strings.HasPrefix(e.Type, "disk.") {
			must(t, json.Unmarshal(e.Payload, &ev))
			if ev.By != "system" {
				t.Errorf("by %q", ev.By)
			}
			out = append(out, e.Type+":"+ev.Level)
		}
		return true
	}))
	return strings.Join(out, " ")
}

// TestADiskThatDoesNotSayIsNotRecordedTo: whether it answers with an error, or
// not at all. Neither holds up who asks, nor Close.
func TestADiskThatDoesNotSayIsNotRecordedTo(t *testing.T) {
	s, d, dir := watched(t, 500*time.Millisecond)
	d.set(func(d *fakeDisk) { d.err = errors.New("stale file handle") })
	until(t, "an error is doubt", func() bool { err := s.Ready("main"); return err != nil && strings.Contains(err.Error(), "stale") })
	d.set(func(d *fakeDisk) { d.err = nil })
	until(t, "an answer", func() bool { return s.Ready("main") == nil })
	hangs := make(chan struct{})
	d.set(func(d *fakeDisk) { d.hangs = hangs })
	until(t, "no answer is doubt", func() bool { err := s.Ready("main"); return err != nil && strings.Contains(err.Error(), "answered") })
	if _, err := s.Create(context.Background(), grant(t, s.Audit(), "c")); !errors.Is(err, store.ErrNoRoom) {
		t.Errorf("recorded to a disk that hangs: %v", err)
	}
	must(t, s.Close())
	close(hangs)
	verify(t, dir)
}

// TestLevelsHaveRelief: the whole rule, as a table of what was, what is free and
// what follows; 100 bytes and 1,000 files, marks at 20 and 10 per cent.
func TestLevelsHaveRelief(t *testing.T) {
	m := store.DiskMarks{Low: store.Mark{Share: 0.2}, Stop: store.Mark{Share: 0.1}}
	for _, c := range []struct {
		was         string
		free, files int64
		want        string
	}{
		{"ok", 21, 900, "ok"}, {"ok", 19, 900, "low"}, {"ok", 9, 900, "stop"}, {"ok", 90, 150, "low"}, {"ok", 90, 50, "stop"},
		{"low", 21, 900, "low"}, {"low", 25, 900, "ok"}, {"low", 9, 900, "stop"}, {"low", 90, 220, "low"},
		{"stop", 11, 900, "stop"}, {"stop", 13, 900, "low"}, {"stop", 24, 900, "low"}, {"stop", 26, 900, "ok"}, {"stop", 90, 110, "stop"},
		{"unknown", 21, 900, "ok"}, {"unknown", 9, 900, "stop"},
	} {
		if got := store.NextLevel(m, c.was, store.SpaceOf(c.free, 100, c.files, 1000)); got != c.want {
			t.Errorf("%s, then %d free and %d files: %s, want %s", c.was, c.free, c.files, got, c.want)
		}
	}
	if got := store.NextLevel(store.DiskMarks{}, "ok", store.SpaceOf(0, 100, 0, 10)); got != "ok" {
		t.Errorf("without marks: %s", got)
	}
}

// TestAQuotaEndsOneTrunksRecordings: by what is sealed and what is being written,
// after a restart as before, and no longer when something was erased. Another
// trunk is recorded all the while.
func TestAQuotaEndsOneTrunksRecordings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	reg := prometheus.NewRegistry()
	open := func(quota int64, reg prometheus.Registerer) *store.Store {
		s, err := store.Open(store.Options{Dir: dir, Quotas: map[string]int64{"main": quota, "other": 0}, Registerer: reg})
		must(t, err)
		until(t, "the count", func() bool { err := s.Ready("main"); return err == nil || !strings.Contains(err.Error(), "counted") })
		return s
	}
	s := open(30_000, reg)
	id := record(t, s, "one", 50) // about 17 kB
	must(t, s.Ready("main"))
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "two"))
	must(t, err)
	speak(t, r, time.Now(), 50)
	until(t, "the running one counts", func() bool { return errors.Is(s.Ready("main"), store.ErrQuota) })
	must(t, r.Seal(time.Now(), "hang-up"), s.Ready("other"))
	if err := s.Ready("main"); !errors.Is(err, store.ErrQuota) {
		t.Errorf("sealed: %v", err)
	}
	if _, err := s.Create(context.Background(), closed(t, s, "three")); !errors.Is(err, store.ErrQuota) {
		t.Errorf("created: %v", err)
	}
	before := series(t, reg, "consentgate_trunk_recorded_bytes")
	must(t, s.Close())
	reg = prometheus.NewRegistry()
	s = open(30_000, reg)
	if after := series(t, reg, "consentgate_trunk_recorded_bytes"); after != before || !strings.Contains(after, "trunk=main") || strings.Contains(after, "other") {
		t.Errorf("%s before the restart, %s after", before, after)
	}
	if err := s.Ready("main"); !errors.Is(err, store.ErrQuota) {
		t.Errorf("after a restart: %v", err)
	}
	sum, err := s.Get(id)
	must(t, err, s.Erase(context.Background(), sum.Grant, "test"), s.Ready("main"), s.Close())
	verify(t, dir)
}

// closed is a grant whose end the log has, as that of a recorder that wasn't made.
func closed(t *testing.T, s *store.Store, call string) consent.Grant {
	t.Helper()
	g := grant(t, s.Audit(), call)
	h := g.Hash()
	_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Failed, Grant: &h})
	must(t, err)
	return g
}

// series writes a metric's samples, for instance "trunk=main 12".
func series(t *testing.T, reg prometheus.Gatherer, name string) string {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	var out []string
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			line := ""
			for _, l := range m.GetLabel() {
				line += l.GetName() + "=" + l.GetValue() + " "
			}
			out = append(out, fmt.Sprint(line, m.GetGauge().GetValue()))
		}
	}
	return strings.Join(out, ", ")
}
