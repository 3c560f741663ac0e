package store_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"consentgate/store"
)

// handClock is set by hand: its wall clock may jump, what went by only grows.
type handClock struct{ wall, gone atomic.Int64 }

func (c *handClock) read() (time.Time, time.Duration) {
	return time.Unix(0, c.wall.Load()), time.Duration(c.gone.Load())
}

func (c *handClock) pass(d time.Duration) { c.wall.Add(int64(d)); c.gone.Add(int64(d)) }

func newHandClock() *handClock {
	c := &handClock{}
	c.wall.Store(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func jumps(t *testing.T, s *store.Store) (out []store.ClockJumped) {
	t.Helper()
	must(t, s.Entries(0, func(e store.Entry) bool {
		var j store.ClockJumped
		if e.Type == store.TypeClock {
			must(t, json.Unmarshal(e.Payload, &j))
			out = append(out, j)
		}
		return true
	}))
	return out
}

// TestAClockThatIsSetIsLogged, forward and back, and neither time that goes by
// nor what NTP slews is.
func TestAClockThatIsSetIsLogged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := newHandClock()
	s, look := store.OpenWithClock(t, store.Options{Dir: dir}, c.read)
	for range 3 {
		c.pass(time.Hour)
		c.wall.Add(int64(time.Second))
		look()
	}
	if got := jumps(t, s); len(got) != 0 {
		t.Fatalf("time that went by is a jump: %+v", got)
	}
	for _, by := range []time.Duration{time.Hour, -time.Hour, -time.Minute} {
		c.pass(5 * time.Second)
		c.wall.Add(int64(by))
		look()
		got := jumps(t, s)
		if j := got[len(got)-1]; math.Abs(j.Seconds-by.Seconds()) > 0.001 || j.Seen != "running" || j.Is.Sub(j.Was) != by {
			t.Errorf("set by %v: %+v", by, j)
		}
	}
	must(t, s.Close())
	r := verify(t, dir)
	if r.Clock.Back != 2 || r.Clock.Unexplained != 0 || r.Clock.First < 0 {
		t.Errorf("the verifier sees %+v", r.Clock)
	}
}

// TestAClockBehindTheLogIsLoggedAtTheStart; one ahead of it is what every start
// finds.
func TestAClockBehindTheLogIsLoggedAtTheStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := newHandClock()
	open := func() *store.Store {
		s, _ := store.OpenWithClock(t, store.Options{Dir: dir}, c.read)
		return s
	}
	must(t, open().Close())
	c.pass(24 * time.Hour)
	s := open()
	if got := jumps(t, s); len(got) != 0 {
		t.Errorf("a day later: %+v", got)
	}
	must(t, s.Close())
	c.wall.Add(-int64(time.Hour))
	s = open()
	if got := jumps(t, s); len(got) != 1 || got[0].Seen != "start" || got[0].Seconds != -3600 {
		t.Errorf("an hour back: %+v", got)
	}
	must(t, s.Close())
	if r := verify(t, dir); r.Clock.Back != 1 || r.Clock.Unexplained != 0 {
		t.Errorf("the verifier sees %+v", r.Clock)
	}
}

// TestTimesThatRunBackWithoutAWordAreRemarked: the tree proves the order, so it
// isn't a finding.
func TestTimesThatRunBackWithoutAWordAreRemarked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := newHandClock()
	s, _ := store.OpenWithClock(t, store.Options{Dir: dir}, c.read)
	c.wall.Add(-int64(time.Hour))
	must(t, s.Close()) // before the gate looked
	if r := verify(t, dir); r.Clock.Back != 1 || r.Clock.Unexplained != 1 || r.Clock.First != r.Size-1 {
		t.Errorf("%+v", r.Clock)
	}
}

// TestAnotherConfigurationThanAtTheLastStartIsLogged, by its hash; or than what was
// read since.
func TestAnotherConfigurationThanAtTheLastStartIsLogged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for i, c := range []struct {
		config string
		want   int    // changes logged by then
		read   string // while it ran
	}{{"", 0, ""}, {"aa", 0, ""}, {"aa", 0, ""}, {"bb", 1, ""}, {"bb", 1, ""}, {"aa", 2, "cc"}, {"cc", 3, ""}, {"cc", 3, "aa"}, {"bb", 5, ""}} {
		s, err := store.Open(store.Options{Dir: dir, Node: "n", Version: "v9", Config: c.config})
		must(t, err)
		var start store.NodeStart
		var change store.ConfigChanged
		changes := 0
		must(t, s.Entries(0, func(e store.Entry) bool {
			switch e.Type {
			case store.TypeNodeUp:
				must(t, json.Unmarshal(e.Payload, &start))
			case store.TypeConfig:
				change = store.ConfigChanged{}
				must(t, json.Unmarshal(e.Payload, &change))
				changes++
			}
			return true
		}))
		if changes != c.want || start != (store.NodeStart{Node: "n", Version: "v9", Config: c.config}) {
			t.Errorf("start %d: %d changes, want %d; %+v", i, changes, c.want, start)
		}
		if changes == 2 && change != (store.ConfigChanged{Before: "bb", After: "aa"}) || changes == 5 && change != (store.ConfigChanged{Before: "aa", After: "bb"}) {
			t.Errorf("%+v", change)
		}
		if c.read != "" {
			must(t, s.Audit().Note(t.Context(), store.ConfigChanged{Before: c.config, After: c.read, Part: "console.users"}))
		}
		must(t, s.Close())
	}
	verify(t, dir)
}
