package sockets

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// batch is how many sockets are looked after before the kernel is asked anew.
const batch = 128

// bellSlot is the index of the bell in events.
const bellSlot = -1

// Thread reads the sockets of its sets in turn.
type Thread struct {
	group *Group
	poll  int // epoll
	bell  int // eventfd: rung to end
	load  atomic.Int64

	// These are run's alone.
	busy  bool          // packets come
	since time.Time     // of the window in which load is measured
	idle  time.Duration // within it
	calm  int           // windows since calls were moved

	mu    sync.Mutex // a few instructions; never held during a system call
	slots []slot     // by the index in an event
	spare []int32    // indices that nobody has
	sets  map[*Set]struct{}
}

// slot is a socket's place. Its generation tells an event of the socket from one
// of another that had the place before.
type slot struct {
	socket     *Socket
	generation int32
}

func newThread(g *Group) (*Thread, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(poll))
	}
	t := &Thread{group: g, poll: poll, bell: bell, since: time.Now(), sets: map[*Set]struct{}{}}
	if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellSlot}); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll_ctl: %w", err), t.free())
	}
	return t, nil
}

// stop makes run return.
func (t *Thread) stop() error {
	if _, err := unix.Write(t.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("ending a thread for media: %w", err)
	}
	return nil
}

func (t *Thread) free() error { return errors.Join(unix.Close(t.bell), unix.Close(t.poll)) }

// run is the thread's goroutine.
func (t *Thread) run() {
	var events [batch]unix.EpollEvent
	var ready [batch]*Socket
	in := &inbox{}
	for {
		before := time.Now()
		n, err := t.wait(events[:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("sockets: internal error: epoll_wait: " + err.Error()) // only a bad descriptor or address
		}
		now := time.Now()
		if t.look(events[:max(n, 0)], &ready) {
			return
		}
		t.serve(ready[:max(n, 0)], in, now)
		t.measure(now.Sub(before), now)
	}
}

// look finds the sockets of events; true: the thread is to end.
func (t *Thread) look(events []unix.EpollEvent, ready *[batch]*Socket) (stopping bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range events {
		ready[i] = nil
		switch at := events[i].Fd; {
		case at == bellSlot:
			stopping = true
		case t.slots[at].generation == events[i].Pad:
			ready[i] = t.slots[at].socket
		}
	}
	return stopping
}

// watch begins to read a socket and gives it a place.
func (t *Thread) watch(s *Socket) (at int32, err error) {
	at, generation := t.enter(s)
	if err := unix.EpollCtl(t.poll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: at, Pad: generation}); err != nil {
		t.leave(at)
		return 0, fmt.Errorf("watching a socket: %w", err)
	}
	return at, nil
}

// unwatch ends the reading of one that is at a place.
func (t *Thread) unwatch(s *Socket, at int32) {
	t.leave(at)
	if err := unix.EpollCtl(t.poll, unix.EPOLL_CTL_DEL, s.fd, nil); err != nil {
		panic("sockets: internal error: epoll_ctl: " + err.Error()) // only where it isn't there
	}
}

// adopt and disown keep the list of sets.
func (t *Thread) adopt(s *Set) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sets[s] = struct{}{}
}

func (t *Thread) disown(s *Set) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sets, s)
}

// enter gives a socket a place.
func (t *Thread) enter(s *Socket) (at, generation int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.spare); n > 0 {
		at, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		at = int32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	t.slots[at].socket = s
	return at, t.slots[at].generation
}

func (t *Thread) leave(at int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[at].socket = nil
	t.slots[at].generation++
	t.spare = append(t.spare, at)
}

// serve takes a datagram of each socket. What the next one needs is fetched meanwhile,
// and the socket after that, for it says what it needs.
func (t *Thread) serve(ready []*Socket, in *inbox, at time.Time) {
	for i, s := range ready {
		if i == 0 {
			s.ahead()
		}
		if i+1 < len(ready) {
			ready[i+1].ahead()
		}
		if i+2 < len(ready) {
			ready[i+2].soon()
		}
		if s != nil {
			s.serve(t, in, at)
		}
	}
}

// serve takes one datagram. If there are more, epoll says so again: to ask for
// one that isn't there would cost as much as an eighth of a relayed one.
func (s *Socket) serve(t *Thread, in *inbox, at time.Time) {
	s.set.mu.Lock()
	defer s.set.mu.Unlock()
	if s.closed || s.set.thread != t {
		return
	}
	data, from, err := in.receive(s.fd)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	default:
		s.taker.Take(data, from, at, err)
	}
}
