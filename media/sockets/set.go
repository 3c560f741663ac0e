package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Set is the sockets of one call. One thread reads them all, one packet at a
// time, so that what their Takers know of the call needs no lock of its own; the
// thread may change, between two packets. Its methods are safe for concurrent use.
type Set struct {
	group *Group

	// mu is held while a packet is taken, which nothing may hold up: with it are
	// done only a few instructions and system calls that don't wait.
	mu      sync.Mutex
	thread  *Thread // that reads the sockets; nil before the first
	sockets []*Socket
}

// Set makes a set without sockets.
func (g *Group) Set() *Set { return &Set{group: g} }

// Open binds x, which nobody uses yet, and begins to read it. The kernel keeps at most
// buffer bytes that weren't read yet. What is sent is marked as speech (DSCP EF). needs
// is what the taker does most packets with (see Memory). On an error x is as it was.
func (s *Set) Open(x *Socket, at netip.AddrPort, buffer int, taker Taker, needs ...Memory) error {
	x.set, x.taker, x.v6, x.needs = s, taker, at.Addr().Is6(), gather(needs)
	family := unix.AF_INET
	if x.v6 {
		family = unix.AF_INET6
	}
	var err error
	if x.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("making a socket: %w", err)
	}
	if err = x.bind(at, buffer); err == nil {
		err = s.add(x)
	}
	if err != nil {
		return errors.Join(err, unix.Close(x.fd))
	}
	return nil
}

func (s *Set) add(x *Socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.thread == nil {
		s.thread = s.group.next()
		s.thread.adopt(s)
	}
	at, err := s.thread.watch(x)
	if err != nil {
		s.release()
		return err
	}
	x.at = at
	s.sockets = append(s.sockets, x)
	return nil
}

// release lets the thread go when there is nothing to read.
func (s *Set) release() {
	if len(s.sockets) == 0 {
		s.thread.disown(s)
		s.thread = nil
	}
}

// forget ends the reading of a socket.
func (s *Set) forget(x *Socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.thread.leave(x.at)
	s.sockets = slices.DeleteFunc(s.sockets, func(y *Socket) bool { return x == y })
	s.release()
}

// move gives the sockets to another thread, if they are from's still. Where the
// kernel has no room for that they stay.
func (s *Set) move(from, to *Thread) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.thread != from {
		return
	}
	places := make([]int32, 0, len(s.sockets)) // with to
	for _, x := range s.sockets {
		at, err := to.watch(x)
		if err != nil {
			for i, at := range places {
				to.unwatch(s.sockets[i], at)
			}
			return
		}
		places = append(places, at)
	}
	for i, x := range s.sockets {
		from.unwatch(x, x.at)
		x.at = places[i]
	}
	from.disown(s)
	s.thread = to
	to.adopt(s)
}
