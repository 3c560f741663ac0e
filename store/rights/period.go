package rights

import (
	"fmt"
	"time"
)

// Date is a day of the controller's calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day of a time, where the time is.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// ParseDate reads 2026-11-25.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("%q isn't a day: it must be like 2026-11-25", s)
	}
	return DateOf(t), nil
}

func (d Date) String() string { return d.In(time.UTC).Format(time.DateOnly) }

// MarshalText and UnmarshalText are String and ParseDate.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Date) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDate(string(b))
	return err
}

// In is when the day begins there.
func (d Date) In(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
}

// End is when it is over there.
func (d Date) End(loc *time.Location) time.Time { return d.next().In(loc) }

func (d Date) next() Date { return DateOf(time.Date(d.Year, d.Month, d.Day+1, 0, 0, 0, 0, time.UTC)) }

// After reports whether d comes after e.
func (d Date) After(e Date) bool { return d.In(time.UTC).After(e.In(time.UTC)) }

// months is the same date so many months on, or the last day of that month where
// it has no such date: Regulation (EEC, Euratom) 1182/71 Art. 3(2)(c).
func (d Date) months(n int) Date {
	last := time.Date(d.Year, d.Month+time.Month(n)+1, 0, 0, 0, 0, 0, time.UTC)
	return Date{last.Year(), last.Month(), min(d.Day, last.Day())}
}

// Holidays says which days are public holidays where the controller acts; nil
// where nobody said, which makes periods shorter, never longer.
type Holidays func(Date) bool

// Deadline is the last day of a period of months that runs from what happened
// on a day: that day doesn't count (Regulation 1182/71 Art. 3(1)), and a
// period whose last day is a Saturday, a Sunday or a public holiday ends with
// the next working day (Art. 3(4)).
func Deadline(from Date, months int, holidays Holidays) Date {
	d := from.months(months)
	for free(d, holidays) {
		d = d.next()
	}
	return d
}

func free(d Date, holidays Holidays) bool {
	day := d.In(time.UTC).Weekday()
	return day == time.Saturday || day == time.Sunday || holidays != nil && holidays(d)
}
