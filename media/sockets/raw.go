package sockets

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The two system calls of each packet go by RawSyscall: they don't block, the
// scheduler needn't know of them, and the standard library's forms of them
// allocate an address a packet.

// name is a sockaddr_in or sockaddr_in6, as the kernel reads and writes it.
type name [28]byte

// set writes an address; the number of bytes is that of its family.
func (n *name) set(to netip.AddrPort, v6 bool) uintptr {
	*n = name{}
	binary.BigEndian.PutUint16(n[2:], to.Port())
	if v6 {
		binary.NativeEndian.PutUint16(n[:], unix.AF_INET6)
		a := to.Addr().As16()
		copy(n[8:], a[:])
		return unix.SizeofSockaddrInet6
	}
	binary.NativeEndian.PutUint16(n[:], unix.AF_INET)
	a := to.Addr().As4()
	copy(n[4:], a[:])
	return unix.SizeofSockaddrInet4
}

func (n *name) addr() netip.AddrPort {
	port := binary.BigEndian.Uint16(n[2:])
	if binary.NativeEndian.Uint16(n[:]) == unix.AF_INET6 {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(n[8:24])).Unmap(), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(n[4:8])), port)
}

// inbox is where a thread receives.
type inbox struct {
	data [MaxPacket + 1]byte
	from name
	size uint32
}

// receive takes one datagram; it is the inbox's until the next.
func (in *inbox) receive(fd int) ([]byte, netip.AddrPort, error) {
	in.size = uint32(len(in.from))
	n, _, no := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&in.data)), uintptr(len(in.data)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&in.from)), uintptr(unsafe.Pointer(&in.size)))
	switch {
	case no != 0:
		return nil, netip.AddrPort{}, no
	case n > MaxPacket: // there may be more of it than we have
		return nil, in.from.addr(), ErrTooLong
	}
	return in.data[:n], in.from.addr(), nil
}

var errFamily = errors.New("the socket is of another address family")

// Send sends one datagram. It doesn't block: what the kernel has no room for is
// an error, and so is sending after Close (net.ErrClosed).
func (s *Socket) Send(data []byte, to netip.AddrPort) error {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if s.shut {
		return net.ErrClosed
	}
	return s.send(data, to)
}

// Pass is Send for the Takers of the socket's set, and for nobody else: the set's
// lock, which they run under, is all that it needs.
func (s *Socket) Pass(data []byte, to netip.AddrPort) error {
	if s.closed {
		return net.ErrClosed
	}
	return s.send(data, to)
}

func (s *Socket) send(data []byte, to netip.AddrPort) error {
	if len(data) == 0 || to.Addr().Unmap().Is4() == s.v6 {
		return errFamily
	}
	var n name
	size := n.set(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), s.v6)
	_, _, no := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&n)), size)
	if no != 0 {
		return no
	}
	return nil
}

// patience is how long a thread waits unknown to the scheduler, in ms.
const patience = 10

// wait returns the events there are. While packets come the thread waits by a
// system call that the scheduler doesn't know of: it would take the processor
// away from a thread that waits, look after it each 20 us meanwhile, and give it
// another when a packet comes, which costs more than to relay the packet. When
// nothing has come for a while the thread waits as others do.
func (t *Thread) wait(events []unix.EpollEvent) (int, error) {
	if !t.busy {
		t.busy = true
		t.load.Store(0)
		return unix.EpollWait(t.poll, events, -1)
	}
	n, _, no := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(t.poll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), patience, 0, 0)
	if no != 0 {
		return 0, no
	}
	t.busy = n > 0
	return int(n), nil
}
