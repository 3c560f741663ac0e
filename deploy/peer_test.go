package deploy

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// peer answers OPTIONS, and nothing else, as one that is there or, by 503, as one
// that takes no calls: silence would take the gate half a minute to believe.
type peer struct {
	conn *net.UDPConn
	down atomic.Bool
}

func newPeer(t testing.TB, down bool) *peer {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{conn: conn}
	p.down.Store(down)
	ended := make(chan struct{})
	go func() { defer close(ended); p.serve() }()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return p
}

func (p *peer) addr() string { return p.conn.LocalAddr().String() }

func (p *peer) serve() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.conn.ReadFromUDP(buf)
		if err != nil {
			return // closed
		}
		status := "200 OK"
		if p.down.Load() {
			status = "503 Service Unavailable"
		}
		answer := "SIP/2.0 " + status + "\r\n"
		for _, line := range strings.Split(string(buf[:n]), "\r\n") {
			switch name, _, _ := strings.Cut(line, ":"); name {
			case "Via", "From", "Call-ID", "CSeq":
				answer += line + "\r\n"
			case "To":
				answer += line + ";tag=peer\r\n"
			}
		}
		if strings.HasPrefix(string(buf[:n]), "OPTIONS ") {
			_, _ = p.conn.WriteToUDP([]byte(answer+"Content-Length: 0\r\n\r\n"), from)
		}
	}
}
