package sockets_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"consentgate/media/sockets"
)

// bound is a new socket of a set.
func bound(set *sockets.Set, at netip.AddrPort, buffer int, t sockets.Taker, needs ...sockets.Memory) (*sockets.Socket, error) {
	s := new(sockets.Socket)
	return s, set.Open(s, at, buffer, t, needs...)
}

func group(t testing.TB, threads int) *sockets.Group {
	t.Helper()
	g, err := sockets.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// takes is a Taker without a state.
type takes func(data []byte, from netip.AddrPort, err error)

func (f takes) Take(data []byte, from netip.AddrPort, _ time.Time, err error) { f(data, from, err) }

// got is what a socket took.
type got struct {
	data []byte
	from netip.AddrPort
	err  error
}

func open(t testing.TB, g *sockets.Group, host string) (*sockets.Socket, chan got) {
	t.Helper()
	all := make(chan got, 1024)
	s, err := bound(g.Set(), netip.AddrPortFrom(netip.MustParseAddr(host), 0), 128<<10,
		takes(func(data []byte, from netip.AddrPort, err error) {
			all <- got{bytes.Clone(data), from, err}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, all
}

func next(t testing.TB, all chan got) got {
	t.Helper()
	select {
	case g := <-all:
		return g
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return got{}
	}
}

func TestWhatIsSentIsTakenWithItsSource(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		g := group(t, 2)
		a, _ := open(t, g, host)
		b, atB := open(t, g, host)
		for _, size := range []int{1, 172, sockets.MaxPacket} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			if err := a.Send(want, b.Local()); err != nil {
				t.Fatal(err)
			}
			if p := next(t, atB); !bytes.Equal(p.data, want) || p.from != a.Local() || p.err != nil {
				t.Errorf("%s, %d bytes: got %d bytes from %s (%v)", host, size, len(p.data), p.from, p.err)
			}
		}
	}
}

// TestWhatIsSentIsMarkedAsSpeech, for routers: EF, in either family.
func TestWhatIsSentIsMarkedAsSpeech(t *testing.T) {
	for _, family := range []struct {
		host             string
		level, ask, told int
	}{{"127.0.0.1", unix.IPPROTO_IP, unix.IP_RECVTOS, unix.IP_TOS}, {"::1", unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, unix.IPV6_TCLASS}} {
		a, _ := open(t, group(t, 1), family.host)
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(family.host), 0)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), family.level, family.ask, 1) }), err,
			a.Send([]byte{1}, conn.LocalAddr().(*net.UDPAddr).AddrPort()), conn.SetReadDeadline(time.Now().Add(10*time.Second))); err != nil {
			t.Fatal(err)
		}
		control := make([]byte, 256)
		_, n, _, _, err := conn.ReadMsgUDP(make([]byte, 1), control)
		if err != nil {
			t.Fatal(err)
		}
		all, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(all) != 1 || int(all[0].Header.Type) != family.told || all[0].Data[0]>>2 != 46 {
			t.Errorf("%s: %+v, %v", family.host, all, err)
		}
	}
}

func TestWhatIsTooLongIsToldAndNotTaken(t *testing.T) {
	g := group(t, 1)
	a, _ := open(t, g, "127.0.0.1")
	b, atB := open(t, g, "127.0.0.1")
	if err := a.Send(make([]byte, sockets.MaxPacket+1), b.Local()); err != nil {
		t.Fatal(err)
	}
	if p := next(t, atB); !errors.Is(p.err, sockets.ErrTooLong) || len(p.data) != 0 {
		t.Errorf("got %d bytes (%v)", len(p.data), p.err)
	}
}

func TestAnAddressOfTheOtherFamilyIsAnError(t *testing.T) {
	g := group(t, 1)
	a, _ := open(t, g, "127.0.0.1")
	b, _ := open(t, g, "::1")
	if a.Send([]byte{1}, b.Local()) == nil || b.Send([]byte{1}, a.Local()) == nil {
		t.Error("it was sent")
	}
	if err := a.Send([]byte{1}, netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), a.Local().Port())); err != nil {
		t.Errorf("a mapped address is an IPv4 one: %v", err)
	}
}

// TestNothingIsTakenAfterClose: whoever holds the socket's number next, and with
// packets under way all the time.
func TestNothingIsTakenAfterClose(t *testing.T) {
	g := group(t, 2)
	a, _ := open(t, g, "127.0.0.1")
	stop := make(chan struct{})
	var flood sync.WaitGroup
	defer flood.Wait()
	defer close(stop)
	var to struct {
		sync.Mutex
		at netip.AddrPort
	}
	flood.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				to.Lock()
				at := to.at
				to.Unlock()
				if at.IsValid() {
					_ = a.Send([]byte{1}, at) // refused while nobody is there
				}
			}
		}
	})
	for range 200 {
		var mu sync.Mutex
		closed, taken := false, make(chan struct{}, 1)
		s, err := bound(g.Set(), netip.MustParseAddrPort("127.0.0.1:0"), 64<<10, takes(func(_ []byte, _ netip.AddrPort, err error) {
			mu.Lock()
			defer mu.Unlock()
			if closed {
				t.Error("a packet was taken after Close")
			}
			select {
			case taken <- struct{}{}:
			default:
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		to.Lock()
		to.at = s.Local()
		to.Unlock()
		select {
		case <-taken:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		closed = true
		mu.Unlock()
		if err := s.Send([]byte{1}, a.Local()); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("sending after Close: %v", err)
		}
	}
}

// TestClosedSocketsGiveTheirNumbersBack: descriptors don't leak.
func TestClosedSocketsGiveTheirNumbersBack(t *testing.T) {
	count := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("NOT TESTED: no /proc to count descriptors in")
		}
		return len(files)
	}
	before := count()
	g, err := sockets.New(2)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		s, err := bound(g.Set(), netip.MustParseAddrPort("127.0.0.1:0"), 64<<10, takes(func([]byte, netip.AddrPort, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	g := group(t, 1)
	a, _ := open(t, g, "127.0.0.1")
	if s, err := bound(g.Set(), a.Local(), 64<<10, nil); err == nil {
		_ = s.Close()
		t.Error("two sockets have one port")
	}
}

// TestNothingIsAllocatedForAPacket, on the way in and out.
func TestNothingIsAllocatedForAPacket(t *testing.T) {
	g := group(t, 1)
	taken := make(chan struct{}, 1)
	b, err := bound(g.Set(), netip.MustParseAddrPort("127.0.0.1:0"), 64<<10, takes(func([]byte, netip.AddrPort, error) { taken <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	data, to := make([]byte, 172), b.Local()
	if n := testing.AllocsPerRun(1000, func() {
		if err := b.Send(data, to); err != nil {
			t.Error(err)
		}
		<-taken
	}); n >= 1 {
		t.Errorf("%v allocations a packet", n)
	}
}
