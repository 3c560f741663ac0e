package store

import (
	"context"
	"time"
)

// clockStep is how far the clock must have been set, between two looks at it,
// to be an entry. NTP slews less than that; a step of it confuses who reads times.
const clockStep = 2 * time.Second

// clock gives the wall clock and, from some moment on, the time that really went by.
type clock func() (wall time.Time, gone time.Duration)

// systemClock is the machine's: CLOCK_REALTIME and CLOCK_MONOTONIC. The latter
// stands while the machine sleeps, so that waking up is a jump, too.
func systemClock() clock {
	start := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start)
	}
}

// clockWatch compares the two from one look to the next.
type clockWatch struct {
	read clock
	wall time.Time
	gone time.Duration
}

func newClockWatch(read clock) *clockWatch {
	w := &clockWatch{read: read}
	w.wall, w.gone = read()
	return w
}

// look reports whether the clock was set since the last look.
func (w *clockWatch) look() (ClockJumped, bool) {
	wall, gone := w.read()
	should := w.wall.Add(gone - w.gone)
	w.wall, w.gone = wall, gone
	return jump(should, wall, "running")
}

func jump(should, is time.Time, seen string) (ClockJumped, bool) {
	off := is.Sub(should)
	return ClockJumped{Was: should.UTC(), Is: is.UTC(), Seconds: off.Seconds(), Seen: seen}, off.Abs() > clockStep
}

// watchClock notes a jump, now or when the log can take it.
func (s *Store) watchClock(w *clockWatch) {
	if e, jumped := w.look(); jumped {
		s.log.Warn("the clock was set", "seconds", e.Seconds)
		s.end("logging that the clock was set", func(ctx context.Context) error { return s.audit.Note(ctx, e) })
	}
}
