package quality

import "time"

// sendersKept is how many sender reports are remembered: a report comes each few
// seconds, and is answered by the next.
const sendersKept = 4

// RoundTrip measures the way to one side and back, by the sender reports that
// are passed to it and its answers (RFC 3550 section 6.4.1). It is for one
// goroutine at a time. The zero RoundTrip is ready.
type RoundTrip struct {
	sent   [sendersKept]sentReport
	next   int
	latest time.Duration
	known  bool
}

type sentReport struct {
	ntp uint32 // the middle of its NTP timestamp
	at  time.Time
}

// Sent notes a sender report that is passed to the side.
func (r *RoundTrip) Sent(ntp uint64, at time.Time) {
	r.sent[r.next] = sentReport{uint32(ntp >> 16), at}
	r.next = (r.next + 1) % sendersKept
}

// Reported takes a reception report of the side: the last sender report that it
// knows, and for how long, in units of 1/65536 s.
func (r *RoundTrip) Reported(last, delay uint32, at time.Time) {
	if last == 0 {
		return // it has had none
	}
	for _, s := range r.sent {
		if s.ntp != last || s.at.IsZero() {
			continue
		}
		took := at.Sub(s.at) - time.Duration(delay)*time.Second/65536
		if took >= 0 && took < 10*time.Second {
			r.latest, r.known = took, true
		}
		return
	}
}

// Latest is the latest round trip; false if there was none.
func (r *RoundTrip) Latest() (time.Duration, bool) { return r.latest, r.known }
