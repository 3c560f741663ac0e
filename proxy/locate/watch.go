package locate

import (
	"context"
	"time"
)

const (
	// minRefresh is after how long DNS is asked again at the earliest, also after
	// a failure.
	minRefresh = 5 * time.Second
	// maxRefresh is after how long it is asked again at the latest.
	maxRefresh = time.Hour
	// roundPatience bounds all questions of one refresh.
	roundPatience = time.Minute
)

// Watch locates a peer again and again, as its records' TTLs say, until ctx ends.
// Each time it tells the answer that is in force and what went wrong, if anything
// did: then the answer is made of what was true last. An answer that leads
// nowhere never replaces one that leads somewhere, nor does one that came about
// because a question failed: a domain whose NAPTR can't be had just now isn't
// looked for at its web server. Tell is called on the caller's goroutine.
func (p Peer) Watch(ctx context.Context, dns Lookup, sockets []Socket, tell func(Answer, error)) {
	m := &memory{dns: dns}
	var last Answer
	for {
		m.begin()
		round, cancel := context.WithTimeout(ctx, roundPatience)
		a, err := p.Locate(round, m, sockets)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if len(last.Hops()) == 0 || len(a.Hops()) > 0 && !m.unsure {
			last = a
			m.keep()
		}
		tell(last, err)
		wait := min(max(a.TTL, minRefresh), maxRefresh)
		if err != nil {
			wait = minRefresh
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}
