package sockets

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// batch is how many sockets are looked after before the kernel is asked anew.
const batch = 128

// bellSlot is the index of the bell in events.
const bellSlot = -1

// Thread reads its sockets in turn.
type Thread struct {
	poll int  // epoll
	bell int  // eventfd: rung to end
	busy bool // packets come; run's alone

	mu    sync.Mutex // a few instructions; never held during a system call
	slots []slot     // by the index in an event
	spare []int32    // indices that nobody has
}

// slot is a socket's place. Its generation tells an event of the socket from one
// of another that had the place before.
type slot struct {
	socket     *Socket
	generation int32
}

func newThread() (*Thread, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(poll))
	}
	t := &Thread{poll: poll, bell: bell}
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
		n, err := t.wait(events[:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("sockets: internal error: epoll_wait: " + err.Error()) // only a bad descriptor or address
		}
		stopping := false
		t.mu.Lock()
		for i := range n {
			ready[i] = nil
			switch at := events[i].Fd; {
			case at == bellSlot:
				stopping = true
			case t.slots[at].generation == events[i].Pad:
				ready[i] = t.slots[at].socket
			}
		}
		t.mu.Unlock()
		if stopping {
			return
		}
		for _, s := range ready[:max(n, 0)] {
			if s != nil {
				s.serve(in)
			}
		}
	}
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

// serve takes one datagram. If there are more, epoll says so again: to ask for
// one that isn't there would cost as much as an eighth of a relayed one.
func (s *Socket) serve(in *inbox) {
	s.taking.Lock()
	defer s.taking.Unlock()
	if s.closed {
		return
	}
	data, from, err := in.receive(s.fd)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	default:
		s.take(data, from, time.Now(), err)
	}
}
