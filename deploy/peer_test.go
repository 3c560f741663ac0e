package deploy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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

// answersOptions asks somebody once whether they are there, and waits for a moment.
func answersOptions(t testing.TB, at netip.AddrPort) bool {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := strings.ReplaceAll(fmt.Sprintf("OPTIONS sip:%s SIP/2.0\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d\nFrom: <sip:t@t>;tag=1\nTo: <sip:t@t>\nCall-ID: %[3]d\n"+
		"CSeq: 1 OPTIONS\nMax-Forwards: 70\nContent-Length: 0\n\n", at, conn.LocalAddr(), time.Now().UnixNano()), "\n", "\r\n")
	_, _ = conn.Write([]byte(ask)) // refused until it listens
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := conn.Read(make([]byte, 4096))
	return err == nil && n > 0
}
