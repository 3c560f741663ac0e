package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// expedited is the DSCP of speech, EF (RFC 3246, RFC 4594 section 4.1), as it
// stands in the byte that the kernel wants.
const expedited = 46 << 2

// Socket is a UDP socket that a Thread reads. Its methods are safe for
// concurrent use.
type Socket struct {
	thread *Thread
	fd     int
	at     int32
	take   Taker
	local  netip.AddrPort
	v6     bool

	// Both are held for a system call, for Close alone to wait for: a number that
	// is closed is soon somebody else's socket. taking is its thread's until then,
	// sending is shared by all who send.
	taking  sync.Mutex
	sending sync.RWMutex
	closed  bool // for both
}

// Open binds a socket and begins to read it. The kernel keeps at most buffer
// bytes that weren't read yet. What is sent is marked as speech (DSCP EF).
func (t *Thread) Open(at netip.AddrPort, buffer int, take Taker) (*Socket, error) {
	s := &Socket{thread: t, take: take, v6: at.Addr().Is6()}
	family := unix.AF_INET
	if s.v6 {
		family = unix.AF_INET6
	}
	var err error
	if s.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	if err := s.bind(at, buffer); err != nil {
		return nil, errors.Join(err, unix.Close(s.fd))
	}
	var generation int32
	s.at, generation = t.enter(s)
	if err := unix.EpollCtl(t.poll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: s.at, Pad: generation}); err != nil {
		t.leave(s.at)
		return nil, errors.Join(fmt.Errorf("watching a socket: %w", err), unix.Close(s.fd))
	}
	return s, nil
}

func (s *Socket) bind(at netip.AddrPort, buffer int) error {
	var to unix.Sockaddr
	level, option := unix.IPPROTO_IP, unix.IP_TOS
	if !s.v6 {
		to = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		to = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("keeping a socket to IPv6: %w", err)
		}
	}
	if err := unix.Bind(s.fd, to); err != nil {
		return fmt.Errorf("binding %s: %w", at, err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer); err != nil {
		return fmt.Errorf("sizing a socket's buffer: %w", err)
	}
	if err := unix.SetsockoptInt(s.fd, level, option, expedited); err != nil {
		return fmt.Errorf("marking a socket's packets: %w", err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return fmt.Errorf("asking for a socket's address: %w", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
	}
	return nil
}

// Local is where the socket is bound.
func (s *Socket) Local() netip.AddrPort { return s.local }

// Close ends the socket. When it returns its Taker isn't running and won't run
// again, and nothing more is sent; it must not be called from there.
func (s *Socket) Close() error {
	s.taking.Lock()
	s.sending.Lock()
	was := s.closed
	s.closed = true
	s.sending.Unlock()
	s.taking.Unlock()
	if was {
		return nil
	}
	s.thread.leave(s.at)
	if err := unix.Close(s.fd); err != nil { // epoll forgets it, too
		return fmt.Errorf("closing a socket: %w", err)
	}
	return nil
}
