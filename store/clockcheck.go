package store

import "time"

// ClockReport is how the entries' times run. Their order is proved by the tree;
// times are only the gate's word, and may run back where its clock was set.
type ClockReport struct {
	Back        int   // how often the time runs back from one entry to the next
	First       int64 // the entry at which it does first; -1: it doesn't
	Unexplained int   // how many of those no clock.jumped entry follows
}

// clockSlack is how much a time may run back unremarked: less than what the gate
// notices, so that the two needn't agree to the millisecond.
const clockSlack = 3 * time.Second

// clockChecker follows the entries' times.
type clockChecker struct {
	last    time.Time
	report  ClockReport
	pending int // since the last clock.jumped
}

func (c *clockChecker) entry(l leaf) {
	if c.last.Sub(l.At) > clockSlack {
		if c.report.Back++; c.report.Back == 1 {
			c.report.First = l.Seq
		}
		c.pending++
	}
	c.last = l.At
	if l.Type == TypeClock { // the first after a jump speaks of it, and others may come before
		c.report.Unexplained += max(c.pending-1, 0)
		c.pending = 0
	}
}

func (c *clockChecker) end() ClockReport {
	c.report.Unexplained += c.pending
	if c.report.Back == 0 {
		c.report.First = -1
	}
	return c.report
}
