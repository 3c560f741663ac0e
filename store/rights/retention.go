package rights

import "time"

// Until is when a recording's time is over. It is counted from the recording's
// end. The subject was told one period at the consent (GDPR Art. 13(2)(a)):
// what is configured since can't make it longer, but a controller who needs
// recordings for less long than it said keeps them for no longer (Art. 5(1)(e)).
// configured is 0 where the purpose isn't configured any more.
func Until(ended time.Time, told, configured time.Duration) time.Time {
	if configured > 0 {
		told = min(told, configured)
	}
	return ended.Add(told)
}

// Brake stops a run that would erase too much at once: a mistake in the
// configuration or a clock looks like that.
type Brake struct {
	Share float64 // of the recordings of one purpose; 0 to 1
	Least int     // so many may always go
}

// Stops reports whether due of total is too much.
func (b Brake) Stops(due, total int) bool {
	return due > b.Least && float64(due) > b.Share*float64(total)
}

// Drift is how far the clock may be from where it must be by what is known.
const Drift = 10 * time.Minute

// LongestAbsence is how long a gate may have been away before its clock is
// taken for a wrong one.
const LongestAbsence = 7 * 24 * time.Hour

// Seen is a time that was trusted.
type Seen struct {
	Wall    time.Time
	Elapsed time.Duration // of a clock that nobody sets
	Here    bool          // Elapsed is of this process
}

// Trust reports whether a clock may be believed that shows now, elapsed by the
// clock that nobody sets; "" if so, else what is wrong with it.
func (s Seen) Trust(now time.Time, elapsed time.Duration) string {
	if s.Wall.IsZero() {
		return "" // a new data directory has nothing to lose
	}
	past := now.Sub(s.Wall)
	if s.Here {
		past -= elapsed - s.Elapsed
	}
	switch {
	case past < -Drift:
		return "the clock was set back"
	case s.Here && past > Drift:
		return "the clock was set forward"
	case past > LongestAbsence:
		return "the clock shows a time long after the last one known"
	}
	return ""
}
