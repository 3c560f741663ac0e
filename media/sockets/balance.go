package sockets

import "time"

// One thread serves more packets at each waking than two that share them, which
// is cheaper by a quarter. So calls gather on few threads, and move to others when
// those have much to do. Loads are shares of a second's time, in thousandths.
const (
	window   = 100 * time.Millisecond // over which a load is measured
	heavy    = 350                    // a thread with more gives half of its calls to one with less than half of it
	filled   = 250                    // a thread with more gets no new calls while another has less
	combined = 200                    // threads with less together need be only one
	calm     = 10                     // windows after a change until the next, by the same thread
)

// next is the thread for a new call.
func (g *Group) next() *Thread {
	for _, t := range g.threads {
		if t.load.Load() < filled {
			return t
		}
	}
	return g.least()
}

// least is the thread that has the least to do.
func (g *Group) least() *Thread {
	least := g.threads[0]
	for _, t := range g.threads[1:] {
		if t.load.Load() < least.load.Load() {
			least = t
		}
	}
	return least
}

// measure keeps account of the time that the thread has worked, and balances the
// calls of its group at each window's end.
func (t *Thread) measure(slept time.Duration, now time.Time) {
	t.idle += slept
	took := now.Sub(t.since)
	if took < window {
		return
	}
	t.load.Store(1000 - 1000*int64(min(t.idle, took))/int64(took))
	t.since, t.idle = now, 0
	if t.calm++; t.calm >= calm && t.balance() {
		t.calm = 0
	}
}

// balance gives calls to another thread where that is better; true: it did. They
// are given by the thread that has them, between two packets.
func (t *Thread) balance() bool {
	mine := t.load.Load()
	if mine > heavy {
		to := t.group.least()
		return to.load.Load() < mine/2 && t.give(to, 2)
	}
	for _, to := range t.group.threads {
		if to == t {
			break // only to those before it, or two would exchange their calls
		}
		if to.load.Load()+mine < combined {
			return t.give(to, 1)
		}
	}
	return false
}

// give moves each nth call. The loads are guesses then, until they are measured.
func (t *Thread) give(to *Thread, nth int) bool {
	t.mu.Lock()
	var going []*Set
	i := 0
	for s := range t.sets {
		if i++; i%nth == 0 {
			going = append(going, s)
		}
	}
	t.mu.Unlock()
	if len(going) == 0 {
		return false
	}
	moved := t.load.Load() / int64(nth)
	t.load.Add(-moved)
	to.load.Add(moved)
	for _, s := range going {
		s.move(t, to)
	}
	return true
}
