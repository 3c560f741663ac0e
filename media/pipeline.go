package media

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// gather is how often what has been tapped goes to the recorders: to do so for
	// each packet costs CPU that the relay needs (BenchmarkLoadedRelay shows it).
	gather = 50 * time.Millisecond
	// lanes are how many goroutines write for all recordings. A recorder that
	// hangs holds up its lane, not all.
	lanes = 4
	// polite is up to how many recordings a lane gives way between two of them. With
	// 50 each that halves how long packets wait, the longest hundredth; with 125 it
	// costs an eighth more CPU, which packets wait for as long as for the recordings.
	polite = 64
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
	taps []*Tap
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
	l.mu.Lock()
	l.taps = append(l.taps, t)
	l.mu.Unlock()
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
	tick := time.NewTicker(gather)
	defer tick.Stop()
	for {
		taps := l.current()
		if len(taps) == 0 {
			select {
			case <-l.wake:
				continue
			case <-p.stop:
				return
			}
		}
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
		for _, t := range taps {
			open := t.Open()
			t.writer.run(open)
			if !open {
				l.leave(t)
				p.done.Go(t.seal) // it waits for a disk, and the others must not
			}
			if len(taps) <= polite {
				giveWay()
			}
		}
	}
}

// giveWay lets a thread that relays have the processor before the next recording,
// if it waits for it: the kernel gives slices of some milliseconds, which is as long
// as hundreds of recordings take. The scheduler of Go needn't know; it has a
// processor more for each thread that relays.
func giveWay() {
	_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // it can't fail (sched_yield(2))
}

func (l *lane) current() []*Tap {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.taps)
}

func (l *lane) leave(t *Tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taps = slices.DeleteFunc(l.taps, func(x *Tap) bool { return x == t })
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
