package sockets

import (
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// expedited is the DSCP of speech, EF (RFC 3246, RFC 4594 section 4.1), as it
// stands in the byte that the kernel wants.
const expedited = 46 << 2

// Socket is a UDP socket of a Set, once Open has been called. Its methods are safe for concurrent use, but
// for Pass.
type Socket struct {
	// What a packet needs stands first, and together.
	set    *Set
	taker  Taker
	fd     int
	v6     bool
	closed bool  // nothing is taken or passed; the set's lock guards it
	at     int32 // its place in the thread; so it does this
	needs  needs

	sending sync.RWMutex // held for the system call by those who send without the set's lock
	shut    bool         // nothing is sent; sending guards it
	local   netip.AddrPort
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
// again, and nothing more is sent: the socket's number may soon be somebody
// else's. It must not be called from a Taker.
func (s *Socket) Close() error {
	s.set.mu.Lock()
	was := s.closed
	s.closed = true
	s.set.mu.Unlock()
	if was {
		return nil
	}
	s.sending.Lock()
	s.shut = true
	s.sending.Unlock()
	s.set.forget(s)
	if err := unix.Close(s.fd); err != nil { // epoll forgets it, too
		return fmt.Errorf("closing a socket: %w", err)
	}
	return nil
}
