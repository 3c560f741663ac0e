package e2e

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// lastPort counts the ports that were given to tests.
var lastPort atomic.Int32

// freePorts is the first, an even one, of some ports of loopback that nobody has
// right now, neither for UDP nor for TCP. They are below those for media, those that
// sipp looks for one in itself (6000), and those that the kernel gives to whoever
// asks for any: another test's program would get them. Nor does anybody get the odd one behind an even one: phones take it for TLS
// and RTCP.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	const first, all = 1500, 4400
	n += n % 2
	for range all {
		at := first + (os.Getpid()*64+int(lastPort.Add(int32(n)))-n)%all
		free := true
		for p := at; p < at+n && free; p++ {
			free = isFree(p)
		}
		if free {
			return at
		}
	}
	t.Fatal("no ports are free")
	return 0
}

func isFree(port int) bool {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	defer c.Close()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// freePort is the address of one.
func freePort(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1))
}
