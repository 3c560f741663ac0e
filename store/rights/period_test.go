package rights

import (
	"math/rand/v2"
	"testing"
	"time"
)

func day(t *testing.T, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAMonthEndsOnTheSameDateOrTheMonthsLast: Regulation 1182/71 Art. 3(2)(c),
// and moves to the next working day, Art. 3(4).
func TestAMonthEndsOnTheSameDateOrTheMonthsLast(t *testing.T) {
	christmas := func(d Date) bool { return d.Month == time.December && (d.Day == 25 || d.Day == 26) }
	for _, c := range []struct {
		from   string
		months int
		want   string
		why    string
	}{
		{"2026-11-25", 1, "2026-12-28", "a Friday, but Christmas; then Saturday and Sunday"},
		{"2026-03-05", 1, "2026-04-06", "the 5th is a Sunday"},
		{"2026-03-06", 1, "2026-04-06", "a Monday; Easter is the controller's to know"},
		{"2025-01-31", 1, "2025-02-28", "February has no 31st"},
		{"2028-01-31", 1, "2028-02-29", "but a 29th in a leap year"},
		{"2026-01-31", 1, "2026-03-02", "the last of February is a Saturday"},
		{"2026-08-31", 1, "2026-09-30", "September has no 31st"},
		{"2026-12-31", 1, "2027-02-01", "the 31st is a Sunday"},
		{"2026-11-30", 3, "2027-03-01", "three months: the last of February is a Sunday"},
		{"2026-02-28", 1, "2026-03-30", "not the last of March: the same date, a Saturday"},
	} {
		if got := Deadline(day(t, c.from), c.months, christmas).String(); got != c.want {
			t.Errorf("%d months from %s: %s, want %s (%s)", c.months, c.from, got, c.want, c.why)
		}
	}
	if got := Deadline(day(t, "2026-11-25"), 1, nil).String(); got != "2026-12-25" {
		t.Errorf("without holidays: %s", got)
	}
}

// TestADeadlineIsAWorkingDayNeverBeforeTheMonthIsOver, for any day.
func TestADeadlineIsAWorkingDayNeverBeforeTheMonthIsOver(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	for range 5000 {
		from := DateOf(time.Date(2020, 1, 1+rnd.IntN(20000), 0, 0, 0, 0, time.UTC))
		got := Deadline(from, 1, nil)
		days := int(got.In(time.UTC).Sub(from.In(time.UTC)).Hours() / 24)
		if wd := got.In(time.UTC).Weekday(); days < 28 || days > 33 || wd == time.Saturday || wd == time.Sunday {
			t.Errorf("from %s: %s, %d days", from, got, days)
		}
		if Deadline(from.next(), 1, nil).In(time.UTC).Before(got.In(time.UTC)) {
			t.Errorf("who asks a day after %s has an answer sooner", from)
		}
	}
}

// TestADayEndsWhereTheControllerIs, whatever the clocks do that night.
func TestADayEndsWhereTheControllerIs(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if got := day(t, "2026-10-25").End(berlin).Sub(day(t, "2026-10-25").In(berlin)); got != 25*time.Hour {
		t.Errorf("a day of %s", got)
	}
	if got := DateOf(time.Date(2026, 1, 1, 23, 30, 0, 0, time.UTC).In(berlin)).String(); got != "2026-01-02" {
		t.Errorf("received on %s", got)
	}
}

func TestDaysAreReadStrictly(t *testing.T) {
	for _, bad := range []string{"", "2026-02-30", "25.11.2026", "2026-11-25T00:00:00Z", "2026-1-2"} {
		if _, err := ParseDate(bad); err == nil {
			t.Errorf("%q is a day", bad)
		}
	}
}
