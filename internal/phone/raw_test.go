package phone_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// raw is a peer that is no more than a socket.
type raw struct {
	t    *testing.T
	conn *net.UDPConn
}

func dialRaw(t *testing.T, to netip.AddrPort) *raw {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t, conn}
}

func (r *raw) local() string { return r.conn.LocalAddr().String() }

func (r *raw) say(text string) {
	r.t.Helper()
	if _, err := r.conn.Write([]byte(text)); err != nil {
		r.t.Fatal(err)
	}
}

// final is the next final response that comes.
func (r *raw) final() string {
	r.t.Helper()
	if err := r.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			r.t.Fatal(err)
		}
		if text := string(buf[:n]); strings.HasPrefix(text, "SIP/2.0 ") && !strings.HasPrefix(text, "SIP/2.0 1") {
			return text
		}
	}
}
