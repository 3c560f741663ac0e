package media

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gather is how often what has been tapped goes to a recorder: to do so for each
	// packet costs CPU that the relay needs (BenchmarkLoadedRelay shows it).
	gather = 50 * time.Millisecond
	// steps are in how many parts a lane does so. What is written at once keeps a
	// processor from the threads that relay: the kernel may let a writer go on for
	// some milliseconds, which is as long as hundreds of recordings take.
	steps = 10
	// few are how many it writes at once whatever their number: to be woken for less
	// costs more than it saves.
	few = 8
	// lanes are how many goroutines write for all recordings. A recorder that
	// hangs holds up its lane, not all.
	lanes = 4
)

// pipeline brings what the taps hold to their recorders.
type pipeline struct {
	lanes [lanes]lane
	turn  atomic.Uint32
	stop  chan struct{}
	done  sync.WaitGroup // its lanes, and recordings that are being sealed
}

// lane is one goroutine and its taps.
type lane struct {
	mu   sync.Mutex
	taps []*Tap        // the first is the next to be written
	wake chan struct{} // there is a tap
}

func newPipeline() *pipeline {
	p := &pipeline{stop: make(chan struct{})}
	for i := range p.lanes {
		p.lanes[i].wake = make(chan struct{}, 1)
		p.done.Go(func() { p.run(&p.lanes[i]) })
	}
	return p
}

// take gives a tap to a lane, which seals its recorder in the end.
func (p *pipeline) take(t *Tap) {
	l := &p.lanes[int(p.turn.Add(1))%lanes]
	l.put(t)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close ends the lanes and waits for recorders that are being sealed. Taps that
// are still open are left as they are.
func (p *pipeline) close() {
	close(p.stop)
	p.done.Wait()
}

// run is a lane's goroutine.
func (p *pipeline) run(l *lane) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due []*Tap
	for {
		select {
		case <-timer.C:
		case <-p.stop:
			return
		}
		var pause time.Duration
		if due, pause = l.due(due[:0]); len(due) == 0 {
			select {
			case <-l.wake:
			case <-p.stop:
				return
			}
		}
		timer.Reset(pause)
		for _, t := range due {
			open := t.Open()
			t.writer.run(open)
			if open {
				l.put(t)
			} else {
				p.done.Go(t.seal) // it waits for a disk, and the others must not
			}
		}
		clear(due) // for who has been sealed
	}
}

// due takes the lane's next taps out of it, and says how long to wait for those after
// them, so that each has its turn once in gather.
func (l *lane) due(to []*Tap) (due []*Tap, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := len(l.taps)
	if all == 0 {
		return to, gather
	}
	n := min(all, max(few, (all+steps-1)/steps))
	due = append(to, l.taps[:n]...)
	l.taps = slices.Delete(l.taps, 0, n)
	return due, gather * time.Duration(n) / time.Duration(all)
}

// put puts a tap behind the others.
func (l *lane) put(t *Tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taps = append(l.taps, t)
}

// seal ends the recording, when all of it has been written.
func (t *Tap) seal() {
	defer close(t.done)
	defer t.relay.engine.remove(t)
	t.mu.Lock()
	at, reason := t.at, t.reason
	t.mu.Unlock()
	t.writer.end(at)
	if err := t.sink.Seal(at, reason); err != nil {
		t.relay.log.Error("sealing a recording", "error", err)
	}
}
