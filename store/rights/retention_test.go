package rights

import (
	"testing"
	"time"
)

const aDay = 24 * time.Hour

// TestAnotherPeriodInTheConfigurationOnlyShortens: what the subject was told is
// the most.
func TestAnotherPeriodInTheConfigurationOnlyShortens(t *testing.T) {
	ended := someone.At
	for _, c := range []struct{ told, configured, want time.Duration }{
		{90 * aDay, 90 * aDay, 90 * aDay},
		{90 * aDay, 365 * aDay, 90 * aDay},
		{90 * aDay, 30 * aDay, 30 * aDay},
		{90 * aDay, 0, 90 * aDay},
	} {
		if got := Until(ended, c.told, c.configured).Sub(ended); got != c.want {
			t.Errorf("told %s, configured %s: kept %s, want %s", c.told, c.configured, got, c.want)
		}
	}
}

func TestTheBrakeStopsAMassAndLetsAFewGo(t *testing.T) {
	b := Brake{Share: 0.1, Least: 5}
	for _, c := range []struct {
		due, total int
		stops      bool
	}{{0, 0, false}, {5, 5, false}, {6, 6, true}, {6, 59, true}, {6, 60, false}, {100, 1000, false}, {101, 1000, true}} {
		if b.Stops(c.due, c.total) != c.stops {
			t.Errorf("%d of %d", c.due, c.total)
		}
	}
	if (Brake{Share: 1}).Stops(10, 10) {
		t.Error("a share of all stops")
	}
}

func TestAClockIsTrustedOnlyAsFarAsIsKnown(t *testing.T) {
	at := someone.At
	for _, c := range []struct {
		name    string
		here    bool
		wall    time.Duration // since it was seen
		elapsed time.Duration
		trusted bool
	}{
		{"an hour later", true, time.Hour, time.Hour, true},
		{"slewed", true, time.Hour - 5*time.Minute, time.Hour, true},
		{"set forward", true, 90 * aDay, time.Hour, false},
		{"set forward a little", true, time.Hour + 11*time.Minute, time.Hour, false},
		{"set back", true, -time.Hour, time.Hour, false},
		{"set back by what went by", true, 0, time.Hour, false},
		{"a month, seen going by", true, 30 * aDay, 30 * aDay, true},
		{"restarted", false, time.Minute, 0, true},
		{"restarted after a weekend", false, 3 * aDay, 0, true},
		{"restarted after a month", false, 30 * aDay, 0, false},
		{"restarted before it was stopped", false, -time.Hour, 0, false},
		{"restarted in 1970", false, -56 * 365 * aDay, 0, false},
	} {
		s := Seen{Wall: at, Elapsed: 5 * time.Second, Here: c.here}
		if why := s.Trust(at.Add(c.wall), s.Elapsed+c.elapsed); (why == "") != c.trusted {
			t.Errorf("%s: %q", c.name, why)
		}
	}
	if why := (Seen{}).Trust(at, 0); why != "" {
		t.Errorf("a new directory: %s", why)
	}
}
