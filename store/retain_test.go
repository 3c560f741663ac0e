package store_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rights"
	"consentgate/store/rootcell"
)

const day = 24 * time.Hour

// shiftedClock is the machine's clock, set forward, and time gone by.
type shiftedClock struct {
	mu      sync.Mutex
	wall    time.Duration
	elapsed time.Duration
	begin   time.Time
	waiting chan time.Duration // what is waited for; nil: nobody looks
	ring    chan time.Time
}

func newClock() *shiftedClock { return &shiftedClock{begin: time.Now(), ring: make(chan time.Time)} }

// pass lets time go by; set only sets the clock.
func (c *shiftedClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
	c.elapsed += d
}

func (c *shiftedClock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

func (c *shiftedClock) clock() store.Clock {
	return store.Clock{
		Now: func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			return time.Now().Add(c.wall)
		},
		Elapsed: func() time.Duration {
			c.mu.Lock()
			defer c.mu.Unlock()
			return time.Since(c.begin) + c.elapsed
		},
		After: func(d time.Duration) <-chan time.Time {
			if c.waiting != nil {
				c.waiting <- d
			}
			return c.ring
		},
	}
}

// sure lets a run erase whatever is due.
var sure = store.Retention{Brake: rights.Brake{Share: 1}}

// retaining is a store with a clock of its own.
func retaining(t *testing.T, dir string, c *shiftedClock, r store.Retention, reg prometheus.Registerer) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Node: "test", Retention: r, Clock: c.clock(), Place: time.UTC, Registerer: reg})
	must(t, err)
	return s
}

// ended opens a store with n recordings that were kept for 90 days and ended
// just now.
func ended(t *testing.T, n int, r store.Retention) (s *store.Store, c *shiftedClock, ids []string, dir string) {
	t.Helper()
	dir, c = filepath.Join(t.TempDir(), "data"), newClock()
	s = retaining(t, dir, c, r, nil)
	for range n {
		ids = append(ids, record(t, s, "c", 2))
	}
	must(t, s.RetainOnce())
	return s, c, ids, dir
}

func end(t *testing.T, s *store.Store, dir string) {
	t.Helper()
	must(t, s.Close())
	verify(t, dir)
}

// left counts the recordings that there are.
func left(t *testing.T, s *store.Store) int {
	t.Helper()
	page, _, err := s.Search(store.Query{})
	must(t, err)
	return len(page)
}

// passDays lets days go by, with a run each.
func passDays(t *testing.T, s *store.Store, c *shiftedClock, days int) {
	t.Helper()
	for range days {
		c.pass(day)
		must(t, s.RetainOnce())
	}
}

// TestARecordingGoesWhenItsTimeIsOverAndNotBefore: counted from its end.
func TestARecordingGoesWhenItsTimeIsOverAndNotBefore(t *testing.T) {
	s, c, ids, dir := ended(t, 1, sure)
	sum, err := s.Get(ids[0])
	must(t, err)
	if got := sum.Until.Sub(sum.Ended); got != 90*day {
		t.Fatalf("kept for %s", got)
	}
	c.pass(90*day - time.Hour)
	must(t, s.RetainOnce())
	if left(t, s) != 1 {
		t.Fatal("an hour too early")
	}
	c.pass(time.Hour + time.Second)
	if sum, err := s.Get(ids[0]); err != nil || !sum.Restricted {
		t.Errorf("its time is over, and it may be used: %+v %v", sum, err)
	}
	must(t, s.RetainOnce())
	if left(t, s) != 0 || types(t, s)[store.TypeErased] != 1 || types(t, s)[store.TypeRetentionRun] != 1 {
		t.Errorf("%d left, %v", left(t, s), types(t, s))
	}
	must(t, s.RetainOnce())
	if types(t, s)[store.TypeRetentionRun] != 1 {
		t.Error("a run that does nothing is logged")
	}
	end(t, s, dir)
}

// TestRetentionIsTheShorterOfToldAndConfigured.
func TestRetentionIsTheShorterOfToldAndConfigured(t *testing.T) {
	for _, c := range []struct {
		configured time.Duration
		days       int
	}{{30 * day, 30}, {365 * day, 90}} {
		p := sure
		p.Purposes = map[string]time.Duration{"training": c.configured}
		s, clock, _, dir := ended(t, 1, p)
		clock.pass(time.Duration(c.days)*day - time.Hour)
		must(t, s.RetainOnce())
		before := left(t, s)
		clock.pass(2 * time.Hour)
		must(t, s.RetainOnce())
		if before != 1 || left(t, s) != 0 {
			t.Errorf("configured %s: %d, then %d", c.configured, before, left(t, s))
		}
		end(t, s, dir)
	}
}

// TestHoldsAndRestrictionsBeatRetention, until they end.
func TestHoldsAndRestrictionsBeatRetention(t *testing.T) {
	s, c, ids, dir := ended(t, 4, sure)
	held, kept, letGo := ids[0], ids[1], ids[2]
	h := hold(t, s, held, "case")
	k, err := s.Restrict(ctx, kept, rights.Restriction{Act: because("needs it"), Ground: rights.Claims})
	must(t, err)
	_, err = s.Restrict(ctx, letGo, rights.Restriction{Act: because("contests it"), Ground: rights.Accuracy, LetGo: true})
	must(t, err)
	passDays(t, s, c, 91)
	if left(t, s) != 2 || gone(s, held) || gone(s, kept) {
		t.Fatalf("%d are left", left(t, s))
	}
	if err := s.Lift(ctx, kept, k, because("over"), false); !errors.Is(err, rights.ErrIncomplete) {
		t.Errorf("lifted without a word to its subject: %v", err)
	}
	must(t, s.Lift(ctx, kept, k, because("over"), true), s.Release(ctx, held, h, because("settled")))
	if left(t, s) != 0 {
		t.Error("their time is over, nothing keeps them, and they are there")
	}
	end(t, s, dir)
}

// TestACopyThatIsBeingMadeIsNotTakenAway: from the order on until it is delivered.
func TestACopyThatIsBeingMadeIsNotTakenAway(t *testing.T) {
	s, c, _, dir := ended(t, 1, sure)
	r, err := s.Receive(ctx, rights.Access, callerNumber, rights.DateOf(time.Now().UTC()), because("letter"))
	must(t, err)
	_, err = s.Identify(ctx, r.ID, because("id card"))
	must(t, err)
	_, err = s.CarryOut(ctx, r.ID, store.Order{Act: because("go")})
	must(t, err)
	passDays(t, s, c, 91)
	if left(t, s) != 1 {
		t.Error("it went before it was given")
	}
	_, err = s.Delivered(ctx, r.ID, because("sent"))
	must(t, err, s.RetainOnce())
	if left(t, s) != 0 {
		t.Error("it was given, and stays")
	}
	end(t, s, dir)
}

// TestTheBrakeStopsAMassDeletionUntilAnOfficerConfirms: over a restart.
func TestTheBrakeStopsAMassDeletionUntilAnOfficerConfirms(t *testing.T) {
	braked := store.Retention{Brake: rights.Brake{Share: 0.5, Least: 2}}
	s, c, _, dir := ended(t, 4, braked)
	if err := s.ConfirmRetention(ctx, because("why not")); !errors.Is(err, store.ErrNotBraked) {
		t.Errorf("%v", err)
	}
	c.pass(91 * day)
	for range 3 {
		must(t, s.RetainOnce())
	}
	b, is, err := s.Braked()
	if err != nil || !is || left(t, s) != 4 || b.Due["training"] != 4 || b.Total["training"] != 4 || b.Clock {
		t.Fatalf("%+v %v %v, %d left", b, is, err, left(t, s))
	}
	if n := types(t, s)[store.TypeRetentionBraked]; n != 1 {
		t.Errorf("%d entries for one stop", n)
	}
	must(t, s.Close())
	// A forecast sees the same, and changes nothing.
	f, err := store.ForecastRetention(ctx, dir, rootcell.NewFile(store.DefaultRootFile(dir)), braked, time.Now().Add(91*day))
	if err != nil || len(f.Due) != 4 || len(f.Stopped) != 1 || f.Braked == nil {
		t.Errorf("%+v %v", f, err)
	}
	s = retaining(t, dir, c, braked, nil)
	must(t, s.ConfirmRetention(ctx, rights.Act{By: "dana", At: time.Now(), Reason: "they are 91 days old, I looked"}))
	must(t, s.RetainOnce())
	if left(t, s) != 0 {
		t.Errorf("%d left after the confirmation", left(t, s))
	}
	if _, is, err := s.Braked(); is || err != nil {
		t.Errorf("still stopped: %v %v", is, err)
	}
	end(t, s, dir)
}

// TestAConfirmationIsForWhatWasDueThen: what comes due later is braked anew.
func TestAConfirmationIsForWhatWasDueThen(t *testing.T) {
	p := store.Retention{Brake: rights.Brake{Share: 0.1}, Purposes: map[string]time.Duration{"training": 30 * day}}
	s, c, _, dir := ended(t, 3, p)
	c.pass(31 * day)
	must(t, s.RetainOnce(), s.ConfirmRetention(ctx, because("looked")), s.RetainOnce())
	if left(t, s) != 0 {
		t.Fatal("not confirmed")
	}
	must(t, s.Close())
	p.Purposes = nil
	s = retaining(t, dir, c, p, nil)
	record(t, s, "c", 2)
	must(t, s.RetainOnce())
	c.pass(60 * day)
	must(t, s.RetainOnce())
	if _, is, err := s.Braked(); !is || err != nil || left(t, s) != 1 {
		t.Errorf("an old confirmation let it go: %v %v", is, err)
	}
	end(t, s, dir)
}

// TestAJumpingClockErasesNothing: set forward, set back, and after a restart.
func TestAJumpingClockErasesNothing(t *testing.T) {
	s, c, ids, dir := ended(t, 2, sure)
	h := hold(t, s, ids[0], "case")
	c.set(400 * day)
	must(t, s.RetainOnce())
	if b, is, err := s.Braked(); !is || err != nil || !b.Clock || left(t, s) != 2 {
		t.Fatalf("set forward: %+v %v %v, %d left", b, is, err, left(t, s))
	}
	c.set(-400 * day)
	must(t, s.RetainOnce())
	if _, is, err := s.Braked(); is || err != nil {
		t.Errorf("the clock is right again, and it is still stopped: %v", err)
	}
	c.set(-time.Hour)
	must(t, s.RetainOnce())
	if b, is, err := s.Braked(); !is || err != nil || !strings.Contains(b.Why, "set back") {
		t.Errorf("set back: %+v %v %v", b, is, err)
	}
	c.set(time.Hour)
	must(t, s.Close())
	c.pass(400 * day) // or the machine's clock is broken: who knows
	s = retaining(t, dir, c, sure, nil)
	must(t, s.RetainOnce())
	if b, is, err := s.Braked(); !is || err != nil || !b.Clock || left(t, s) != 2 {
		t.Errorf("started in another year: %+v %v %v", b, is, err)
	}
	must(t, s.ConfirmRetention(ctx, because("the gate was off for a year")), s.RetainOnce())
	if left(t, s) != 1 || gone(s, ids[0]) {
		t.Errorf("an officer says that the clock is right: %d left", left(t, s))
	}
	must(t, s.Release(ctx, ids[0], h, because("settled")))
	end(t, s, dir)
}

// TestTheRunnerRunsAtTheStartAndEveryHour, and ends with the store.
func TestTheRunnerRunsAtTheStartAndEveryHour(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	c.waiting = make(chan time.Duration)
	p := sure
	p.Every = time.Hour
	s := retaining(t, dir, c, p, nil)
	if d := <-c.waiting; d != time.Hour {
		t.Errorf("it waits for %s", d)
	}
	record(t, s, "c", 2)
	c.pass(90*day + time.Minute)
	c.ring <- time.Now()
	<-c.waiting // the run is over
	if left(t, s) != 0 {
		t.Error("nothing went")
	}
	c.ring <- time.Now()
	<-c.waiting
	end(t, s, dir)
}

// TestClosedRequestsGoByTheMonth.
func TestClosedRequestsGoByTheMonth(t *testing.T) {
	p := sure
	p.Requests = 100 * day
	s, c, _, dir := ended(t, 0, p)
	r, err := s.Receive(ctx, rights.Access, callerNumber, rights.DateOf(time.Now().UTC()), because("letter"))
	must(t, err)
	open, err := s.Receive(ctx, rights.Access, callerNumber, rights.Date{Year: 2026, Month: 1, Day: 5}, because("letter"))
	must(t, err)
	_, err = s.Refuse(ctx, r.ID, because("nobody knows who it is"), "12(2)")
	must(t, err)
	passDays(t, s, c, 99)
	if _, err := s.Request(r.ID); err != nil {
		t.Errorf("too early: %v", err)
	}
	passDays(t, s, c, 2)
	if _, err := s.Request(r.ID); !errors.Is(err, store.ErrNoRequest) {
		t.Errorf("it is kept: %v", err)
	}
	if _, err := s.Request(open.ID); err != nil {
		t.Errorf("an open one went: %v", err)
	}
	end(t, s, dir)
}

// TestMetricsTellWhatIsDue.
func TestMetricsTellWhatIsDue(t *testing.T) {
	reg := prometheus.NewRegistry()
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := retaining(t, dir, c, sure, reg)
	must(t, s.RetainOnce())
	hold(t, s, record(t, s, "c", 2), "case")
	read := func() map[string]float64 {
		t.Helper()
		families, err := reg.Gather()
		must(t, err)
		out := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "consentgate_")
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return out
	}
	if _, there := read()["subject_requests_due_seconds erasure"]; there {
		t.Error("something is due, and nobody asked")
	}
	r, err := s.Receive(ctx, rights.Erasure, callerNumber, rights.DateOf(time.Now().UTC()), because("letter"))
	must(t, err)
	got := read()
	if want := time.Until(r.Due.End(time.UTC)).Seconds(); got["subject_requests_due_seconds erasure"] > want+1 || got["subject_requests_due_seconds erasure"] < want-60 {
		t.Errorf("due in %f s, want %f", got["subject_requests_due_seconds erasure"], want)
	}
	if got["recordings_held"] != 1 || got["recordings_restricted"] != 0 || got["subject_requests_overdue erasure"] != 0 || got["retention_braked"] != 0 {
		t.Errorf("%v", got)
	}
	c.set(100 * day)
	must(t, s.RetainOnce())
	if got = read(); got["subject_requests_due_seconds erasure"] >= 0 || got["subject_requests_overdue erasure"] != 1 || got["retention_braked"] != 1 {
		t.Errorf("%v", got)
	}
	c.set(-100 * day)
	end(t, s, dir)
}

// TestARunIsLoggedWithWhatItDid.
func TestARunIsLoggedWithWhatItDid(t *testing.T) {
	s, c, ids, dir := ended(t, 3, sure)
	hold(t, s, ids[0], "case")
	c.pass(91 * day)
	must(t, s.RetainOnce())
	var ev struct {
		Erased map[string]int
		Kept   int
		By     string
	}
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeRetentionRun {
			must(t, json.Unmarshal(e.Payload, &ev))
		}
		return true
	}))
	if ev.Erased["training"] != 2 || ev.Kept != 1 || ev.By != "system" {
		t.Errorf("%+v", ev)
	}
	end(t, s, dir)
}

// TestAGrantWithoutARecordingGoesOnItsDay: what the log has of it, too.
func TestAGrantWithoutARecordingGoesOnItsDay(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := retaining(t, dir, c, sure, nil)
	g := grant(t, s.Audit(), "c")
	h := g.Hash()
	_, err := s.Audit().Append(ctx, consent.Record{Kind: consent.Failed, Grant: &h, Reason: "no recorder"})
	must(t, err, s.RetainOnce())
	seen := func() (readable bool) {
		must(t, s.Entries(0, func(e store.Entry) bool {
			var r consent.Record
			readable = readable || e.Type == store.TypeConsent && json.Unmarshal(e.Payload, &r) == nil && r.Hash() == h
			return true
		}))
		return readable
	}
	c.pass(90 * day)
	must(t, s.RetainOnce())
	if !seen() {
		t.Error("it is gone on the day itself")
	}
	c.pass(day + time.Second)
	must(t, s.RetainOnce(), s.RetainOnce())
	if seen() || types(t, s)[store.TypeErased] != 1 {
		t.Errorf("it is there, or the log doesn't say once that it went: %v", types(t, s))
	}
	var ev struct{ Recording string }
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeErased {
			must(t, json.Unmarshal(e.Payload, &ev))
		}
		return true
	}))
	if n, _ := s.Waiting(); n != 1 || state(t, s, ev.Recording) != store.ErasurePending {
		t.Errorf("before the rotation %d wait, it is %s", n, state(t, s, ev.Recording))
	}
	must(t, s.Rotate(ctx))
	signed, err := s.Certificate(ev.Recording)
	must(t, err)
	cert, err := store.CheckCertificate(signed, vkeyOf(t, dir))
	if n, _ := s.Waiting(); err != nil || !cert.Of(h) || cert.Cause.Kind != "retention" || n != 0 {
		t.Errorf("%d wait; %+v %v", n, cert, err)
	}
	end(t, s, dir)
}
