// Package sockets reads many UDP sockets on a few threads of the kernel's epoll.
// A goroutine a socket costs a switch for each packet; here one wake-up serves
// all that have come.
package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// MaxPacket is the largest datagram that is taken, in bytes: 60 ms of L16 at 16 kHz
// are 1,932 (RFC 3551 section 4.5.11), which come in fragments.
const MaxPacket = 2048

// Taker takes what comes to a socket, on its set's thread: it must not block, nor
// keep data, which it may change. at is when the thread was told of the packet. An
// error is of one receive; data is empty then, or where a datagram was over
// MaxPacket (ErrTooLong).
type Taker interface {
	Take(data []byte, from netip.AddrPort, at time.Time, err error)
}

// ErrTooLong is of a datagram over MaxPacket.
var ErrTooLong = errors.New("the datagram is too long")

// Group is a set of threads. Make it with New, and Close it when its sockets
// have been.
type Group struct {
	threads []*Thread
	done    sync.WaitGroup
}

// New starts as many threads; 0 is one for each processor. Those that aren't needed
// sleep (see balance). A thread keeps one of the scheduler's processors to itself while packets come (see wait), so the
// program gets as many more until Close.
func New(threads int) (*Group, error) {
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	g := &Group{}
	for range threads {
		t, err := newThread(g)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making a thread for media: %w", err), g.Close())
		}
		g.threads = append(g.threads, t)
		g.done.Go(t.run)
		processors(1)
	}
	return g, nil
}

// Close ends the threads and waits for them.
func (g *Group) Close() error {
	var errs []error
	for _, t := range g.threads {
		errs = append(errs, t.stop())
	}
	g.done.Wait()
	processors(-len(g.threads))
	for _, t := range g.threads {
		errs = append(errs, t.free())
	}
	return errors.Join(errs...)
}

// counting guards what processors reads and writes.
var counting sync.Mutex

func processors(more int) {
	counting.Lock()
	defer counting.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + more)
}
