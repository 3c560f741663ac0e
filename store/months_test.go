package store_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store"
	"consentgate/store/rootcell"
)

// keptLog lets what the log says go 60 days after its month's end.
var keptLog = store.Retention{Audit: 60 * day}

// dated is a store whose log and whose retention have one clock.
func dated(t *testing.T, dir string, c *shiftedClock, r store.Retention) *store.Store {
	t.Helper()
	clock := c.clock()
	s, _ := store.OpenWithClock(t, store.Options{Dir: dir, Node: "test", Retention: r, Clock: clock, Place: time.UTC},
		func() (time.Time, time.Duration) { return clock.Now(), clock.Elapsed() })
	return s
}

// monthEnd is when the month is over that a clock shows.
func monthEnd(c *shiftedClock) time.Time {
	now := c.clock().Now().UTC()
	return time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}

// passTo lets time go by until a moment.
func (c *shiftedClock) passTo(at time.Time) { c.pass(at.Sub(c.clock().Now())) }

func login(t *testing.T, s *store.Store, by string) {
	t.Helper()
	must(t, s.Audit().Note(ctx, store.Login{By: by}))
}

// logins are the names in the log that can be read, "-" where one can't be.
func logins(t *testing.T, s *store.Store) (out []string) {
	t.Helper()
	must(t, s.Entries(0, func(e store.Entry) bool {
		l := store.Login{By: "-"}
		if e.Type == store.TypeLogin {
			if e.Payload != nil {
				must(t, json.Unmarshal(e.Payload, &l))
			}
			out = append(out, l.By)
		}
		return true
	}))
	return out
}

// everyWay verifies a log with and without the root key, and as an export.
func everyWay(t *testing.T, dir string) store.Report {
	t.Helper()
	r := verify(t, dir)
	if bare, err := store.Verify(dir, "no-root"); err != nil || !bare.OK() || bare.Erased != r.Erased || bare.Before != r.Before {
		t.Errorf("without the root: %+v %v", bare, err)
	}
	if out, err := (store.Auditor{}).VerifyExport(bytes.NewReader(exportOf(t, dir))); err != nil || !out.OK() || out.Erased != r.Erased || out.Before != r.Before {
		t.Errorf("as an export: %+v %v", out, err)
	}
	return r
}

// TestWhatGoesWithNoRecordingGoesWithItsMonth, when that has been over for as long
// as it is kept, and not before. What goes with a recording stays as long as that.
func TestWhatGoesWithNoRecordingGoesWithItsMonth(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, keptLog)
	login(t, s, "first")
	id := record(t, s, "c", 2)
	over := monthEnd(c).Add(60 * day)
	c.passTo(monthEnd(c).Add(time.Minute))
	login(t, s, "second")
	c.passTo(over.Add(-time.Minute))
	must(t, s.RetainOnce())
	if got := logins(t, s); !slices.Equal(got, []string{"first", "second"}) {
		t.Fatalf("a minute too early: %v", got)
	}
	c.passTo(over.Add(time.Minute))
	must(t, s.RetainOnce(), s.RetainOnce())
	if got := logins(t, s); !slices.Equal(got, []string{"-", "second"}) || types(t, s)[store.TypePayloadsErased] != 1 {
		t.Errorf("%v, said %d times", got, types(t, s)[store.TypePayloadsErased])
	}
	_, err := s.Check(ctx, id)
	must(t, err)
	sum, err := s.Get(id)
	must(t, err, s.Erase(ctx, sum.Grant, "asked"), s.Rotate(ctx), s.Close())
	if r := everyWay(t, dir); r.Erased < 2 || r.Before < 2 {
		t.Errorf("%+v", r)
	}
}

// TestManyPayloadsGoInParts, and the parts join.
func TestManyPayloadsGoInParts(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, keptLog)
	const n = 2*store.PayloadsAtOnce + 10
	done := make(chan error, 64)
	for range cap(done) {
		go func() {
			for range n / cap(done) {
				if err := s.Audit().Note(ctx, store.Login{By: "many"}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		must(t, <-done)
	}
	over := monthEnd(c).Add(60 * day)
	c.passTo(monthEnd(c).Add(time.Minute))
	login(t, s, "next")
	c.passTo(over.Add(time.Minute))
	must(t, s.RetainOnce())
	if got := types(t, s)[store.TypePayloadsErased]; got != 3 {
		t.Errorf("%d parts", got)
	}
	if got := logins(t, s); slices.Contains(got, "many") || got[len(got)-1] != "next" {
		t.Error("one is left, or one of the next month's went")
	}
	must(t, s.Close())
	everyWay(t, dir)
}

// TestManyMonthsAtOnceWaitForAnOfficer: a slip in the configuration looks so.
func TestManyMonthsAtOnceWaitForAnOfficer(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, store.Retention{})
	for range 5 {
		login(t, s, "dana")
		c.passTo(monthEnd(c).Add(time.Minute))
		must(t, s.RetainOnce())
	}
	login(t, s, "dana")
	must(t, s.Close())
	c.pass(59 * day) // and it was away for less than a week, as far as it knows
	cell := rootcell.NewFile(store.DefaultRootFile(dir))
	f, err := store.ForecastRetention(ctx, dir, cell, keptLog, c.clock().Now())
	if err != nil || len(f.Months) != 4 || !f.Held || len(f.Months[0]) != len("2026-11") {
		t.Errorf("%+v %v", f, err)
	}
	s = dated(t, dir, c, keptLog)
	must(t, s.RetainOnce())
	if b, is, err := s.Braked(); err != nil || !is || !b.Clock { // it was away for long after all
		t.Fatalf("%+v %v %v", b, is, err)
	}
	must(t, s.ConfirmRetention(ctx, because("the clock is right")), s.RetainOnce())
	b, is, err := s.Braked()
	if err != nil || !is || b.Months != 4 || slices.Contains(logins(t, s), "-") {
		t.Fatalf("%+v %v %v, %v", b, is, err, logins(t, s))
	}
	must(t, s.ConfirmRetention(ctx, because("the period is meant so")), s.RetainOnce())
	if got := logins(t, s); strings.Join(got, " ") != "- - - - dana dana" {
		t.Errorf("%v", got)
	}
	must(t, s.Close())
	everyWay(t, dir)
}

// TestAMonthOfAWrongClockGoesWithThoseAroundIt, one that lies ahead and one that is
// long over, and takes nothing with it that isn't over.
func TestAMonthOfAWrongClockGoesWithThoseAroundIt(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, keptLog)
	over := monthEnd(c).Add(60 * day)
	login(t, s, "first")
	c.set(20 * 365 * day)
	login(t, s, "from 2046")
	c.set(-40 * 365 * day)
	login(t, s, "from 2006")
	c.set(20 * 365 * day)
	must(t, s.RetainOnce())
	if got := logins(t, s); slices.Contains(got, "-") {
		t.Errorf("what isn't over went: %v", got)
	}
	login(t, s, "first again")
	c.passTo(monthEnd(c).Add(time.Minute))
	login(t, s, "second")
	c.passTo(over.Add(time.Minute))
	must(t, s.RetainOnce())
	if is, b := isBraked(t, s); is {
		must(t, s.ConfirmRetention(ctx, because(b.Why)), s.RetainOnce())
	}
	if got := logins(t, s); strings.Join(got, " ") != "- - - - second" {
		t.Errorf("%v", got)
	}
	must(t, s.Close())
	everyWay(t, dir)
}

func isBraked(t *testing.T, s *store.Store) (bool, store.Braked) {
	t.Helper()
	b, is, err := s.Braked()
	must(t, err)
	return is, b
}

// monthErased is a log of which a month's payloads were erased.
func monthErased(t *testing.T) (dir string) {
	t.Helper()
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, keptLog)
	login(t, s, "first")
	over := monthEnd(c).Add(60 * day)
	c.passTo(monthEnd(c).Add(time.Minute))
	login(t, s, "second")
	c.passTo(over.Add(time.Minute))
	must(t, s.RetainOnce(), s.Close())
	everyWay(t, dir)
	return dir
}

// TestAMonthsErasureExcusesWhatIsBeforeItAndNoMore: with and without the root key.
func TestAMonthsErasureExcusesWhatIsBeforeItAndNoMore(t *testing.T) {
	before := monthErased(t)
	for name, c := range map[string]struct {
		do   func(tx *bolt.Tx)
		seq  int64
		want string
	}{
		"one of the next month's": {func(tx *bolt.Tx) { ok(tx.Bucket([]byte("payload")).Delete(row(2))) }, 2, "no erasure of it is logged"},
		"one put back":            {func(tx *bolt.Tx) { ok(tx.Bucket([]byte("payload")).Put(row(1), []byte("month/2026-11\x00anything"))) }, 1, ""},
		"the list of months":      {func(tx *bolt.Tx) { ok(tx.Bucket([]byte("month")).Put(row(2), []byte("month/2020-01"))) }, 2, "another month's"},
	} {
		dir := copyOf(t, before)
		rewrite(t, dir, c.do)
		for _, root := range []string{store.DefaultRootFile(dir), "no-root"} {
			r, err := store.Verify(dir, root)
			must(t, err)
			if r.BadSeq != c.seq || root == "no-root" && !strings.Contains(r.Problem, c.want) {
				t.Errorf("%s, root %s: bad %d, want %d: %s", name, root, r.BadSeq, c.seq, r.Problem)
			}
		}
	}
}

// TestWhatTheLogSaidIsGoneFromFilesAndBackups: the attacker has all files of now,
// and a backup of all of them from before.
func TestWhatTheLogSaidIsGoneFromFilesAndBackups(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, keptLog)
	login(t, s, "Dana Whitlock")
	month := c.clock().Now().UTC().Format("2006-01")
	over := monthEnd(c).Add(60 * day)
	c.passTo(monthEnd(c).Add(time.Minute))
	login(t, s, "second")
	root := rootOf(t, dir, 1)
	backup := filesOf(t, dir)
	a := attacker{raw: backup, month: month, bucket: "none"}
	if got := a.monthly(root); !strings.Contains(got, "Dana Whitlock") {
		t.Fatalf("control: the attack before the erasure brings %q", got)
	}
	c.passTo(over.Add(time.Minute))
	must(t, s.RetainOnce(), s.Rotate(ctx), s.Close())
	a.raw = append(filesOf(t, dir), backup...)
	if got := a.monthly(rootOf(t, dir, 2)); got != "" {
		t.Errorf("with the present root: %q", got)
	}
	if got := a.monthly(root); !strings.Contains(got, "Dana Whitlock") {
		t.Errorf("control: with the old root the attack must succeed, or it proves nothing: %q", got)
	}
	everyWay(t, dir)
}

func rootOf(t *testing.T, dir string, epoch uint64) [32]byte {
	t.Helper()
	root, err := rootcell.NewFile(store.DefaultRootFile(dir)).Get(ctx, epoch)
	must(t, err)
	return root
}

// monthly collects what the log said under a month's key.
func (a attacker) monthly(root [32]byte) string {
	var out strings.Builder
	leaves := a.after("consentgate-audit-1 ", func(i int) []byte {
		if end := bytes.IndexByte(a.raw[i:min(i+256, len(a.raw))], '\n'); end > 0 {
			return a.raw[i-len("consentgate-audit-1 ") : i+end+1]
		}
		return nil
	})
	rows := a.after("month/"+a.month+"\x00", func(i int) []byte { return a.raw[i:min(i+300, len(a.raw))] })
	for _, k := range a.keys(root) {
		for _, row := range rows {
			for _, leaf := range leaves {
				out.WriteString(strings.Join(payload(gcm(k), row, leaf), ""))
			}
		}
	}
	return out.String()
}

// TestALogFromBeforeMonthsWereListedGetsItsList, and goes by it.
func TestALogFromBeforeMonthsWereListedGetsItsList(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "data"), newClock()
	s := dated(t, dir, c, keptLog)
	login(t, s, "first")
	over := monthEnd(c).Add(60 * day)
	c.passTo(monthEnd(c).Add(time.Minute))
	login(t, s, "second")
	must(t, s.Close())
	rewrite(t, dir, func(tx *bolt.Tx) { ok(tx.DeleteBucket([]byte("month"))) })
	s = dated(t, dir, c, keptLog)
	must(t, s.RetainOnce())
	c.passTo(over.Add(time.Minute))
	must(t, s.RetainOnce())
	if got := logins(t, s); !slices.Equal(got, []string{"-", "second"}) {
		t.Errorf("%v", got)
	}
	must(t, s.Close())
	everyWay(t, dir)
}

// TestAMonthGoesWhereverTheGateIsKilled on the way: the next run brings it to its end.
func TestAMonthGoesWhereverTheGateIsKilled(t *testing.T) {
	for _, point := range []string{"month.logged", "month.dropped"} {
		dir, c := filepath.Join(t.TempDir(), "data"), newClock()
		s := dated(t, dir, c, keptLog)
		login(t, s, "first")
		over := monthEnd(c).Add(60 * day)
		c.passTo(monthEnd(c).Add(time.Minute))
		login(t, s, "second")
		c.passTo(over.Add(time.Minute))
		// A copy of the files at the point is what a kill leaves: nothing is half written then.
		var left string
		s.AtPoint(func(p string) {
			if p == point && left == "" {
				left = copyOf(t, dir)
			}
		})
		must(t, s.RetainOnce(), s.Close())
		everyWay(t, left)
		s = dated(t, left, c, keptLog)
		must(t, s.RetainOnce(), s.Rotate(ctx))
		if got := logins(t, s); !slices.Equal(got, []string{"-", "second"}) {
			t.Errorf("%s: %v", point, got)
		}
		must(t, s.Close())
		everyWay(t, left)
		if _, err := os.Stat(store.DefaultRootFile(left)); err == nil {
			t.Errorf("%s: the root that the month's key was under is there", point)
		}
	}
}
