// Package attempts slows down who fails to log in: each failure of a name, or
// from an address, makes the next try wait longer, up to a minute. Nobody is
// locked out for good, and who logged in from an address before isn't held up
// there by the failures of others.
package attempts

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// longest is how long a try has to wait at most.
	longest = time.Minute
	// forgotten is how long without failures it takes until all is forgotten.
	forgotten = time.Hour
	// places are how many addresses of a name are remembered.
	places = 8
)

// counts are failures by what a keyed hash of a key gives: as many as there are,
// whatever is tried, and nothing in it tells a name that exists from one that
// doesn't. Who shares a place with another waits with it; nobody can choose to
// without the key.
type counts struct {
	free int // failures without consequence: people mistype
	of   []count
}

type count struct {
	failures int
	last     time.Time
}

// Attempts are those at one console.
type Attempts struct {
	seed maphash.Seed

	mu    sync.Mutex
	names counts
	addrs counts
	pairs counts                  // of a name and an address where it logged in before
	known map[string][]netip.Addr // names of users, to where they logged in from, the latest last
}

// New makes a table without failures. It takes less than a megabyte, and no more.
func New() *Attempts {
	return &Attempts{seed: maphash.MakeSeed(), known: map[string][]netip.Addr{},
		names: counts{5, make([]count, 1<<12)}, addrs: counts{10, make([]count, 1<<13)}, pairs: counts{5, make([]count, 1<<12)}}
}

// Place is what counts as one address: an IPv4 address, or a network of 64 bits,
// of which everybody has at least one.
func Place(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// Try is one that may be made. It counts as a failure until it is told otherwise,
// so that many at once gain nothing.
type Try struct {
	Acquainted bool // the name logged in from there before

	of    *Attempts
	name  string
	from  netip.Addr
	marks []mark
}

// mark is where a try was counted, and what stood there before.
type mark struct {
	count      *count
	at, before time.Time
}

// Begin counts a try, or says how long to wait for it. An empty name is for what
// proves itself without one.
func (a *Attempts) Begin(name string, from netip.Addr) (*Try, time.Duration) {
	from = Place(from)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &Try{of: a, name: name, from: from, Acquainted: slices.Contains(a.known[name], from)}
	wait := time.Duration(0)
	for _, c := range a.counting(t) {
		wait = max(wait, c.in.wait(c.count, now))
	}
	if wait > 0 {
		return nil, wait
	}
	for _, c := range a.counting(t) {
		t.marks = append(t.marks, mark{c.count, now, c.count.last})
		c.count.failures, c.count.last = c.count.failures+1, now
	}
	return t, 0
}

type counting struct {
	in    *counts
	count *count
}

// counting are the counts that decide about a try.
func (a *Attempts) counting(t *Try) []counting {
	addr := maphash.Comparable(a.seed, t.from)
	name := maphash.Comparable(a.seed, t.name)
	switch {
	case t.name == "":
		return []counting{a.addrs.at(addr)}
	case t.Acquainted:
		return []counting{a.pairs.at(maphash.Comparable(a.seed, [2]uint64{addr, name}))}
	}
	return []counting{a.addrs.at(addr), a.names.at(name)}
}

func (c *counts) at(hash uint64) counting { return counting{c, &c.of[hash%uint64(len(c.of))]} }

// wait is how long after now the next try may be made.
func (c *counts) wait(n *count, now time.Time) time.Duration {
	if now.Sub(n.last) >= forgotten {
		n.failures = 0
	}
	if n.failures < c.free {
		return 0
	}
	// 1 s, 2 s, 4 s: longest is reached after six
	pause := min(time.Second<<min(n.failures-c.free, 6), longest)
	return n.last.Add(pause).Sub(now)
}

// Void takes the try back: it was good, or nothing was tried after all. A nil Try
// has nothing to take back.
func (t *Try) Void() {
	if t == nil {
		return
	}
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	for _, m := range t.marks {
		m.count.failures = max(0, m.count.failures-1)
		if m.count.last.Equal(m.at) {
			m.count.last = m.before
		}
	}
	t.marks = nil
}

// Met remembers that a user logged in from there. Only names of users may come
// here: there is no bound to how many.
func (a *Attempts) Met(name string, from netip.Addr) {
	from = Place(from)
	a.mu.Lock()
	defer a.mu.Unlock()
	others := slices.DeleteFunc(a.known[name], func(b netip.Addr) bool { return b == from })
	a.known[name] = append(others[max(0, len(others)-places+1):], from)
}

// Pick gives one of n by a name: always the same, and nobody knows which.
func (a *Attempts) Pick(name string, n int) int {
	return int(maphash.String(a.seed, name) % uint64(n))
}

// Knows reports whether the name logged in from there before.
func (a *Attempts) Knows(name string, from netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.known[name], Place(from))
}
