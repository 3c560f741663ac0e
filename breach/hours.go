package breach

import (
	"slices"
	"time"
)

// Hours are when people work: on some days of the week, from a time of the day
// until another. Without days any time is fine.
type Hours struct {
	Days        []time.Weekday
	From, Until time.Duration  // since midnight, by the clock on the wall
	Zone        *time.Location // nil: the machine's
}

// Outside reports whether a moment is outside of them.
func (h Hours) Outside(t time.Time) bool {
	if len(h.Days) == 0 {
		return false
	}
	zone := h.Zone
	if zone == nil {
		zone = time.Local
	}
	t = t.In(zone)
	hour, minute, second := t.Clock()
	at := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	return !slices.Contains(h.Days, t.Weekday()) || at < h.From || at >= h.Until
}
