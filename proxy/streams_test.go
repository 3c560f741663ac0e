package proxy

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// impatient is a TCP listener that waits but a moment for the rest of a message.
// What it takes and what it counts come by the channels.
func impatient(t *testing.T) (dial func() net.Conn, took, counted chan string) {
	t.Helper()
	s, err := listenStream(netip.MustParseAddrPort("127.0.0.1:0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.patience = 50 * time.Millisecond
	took, counted = make(chan string, 10), make(chan string, 10)
	s.serve(&endpoint{sock: s, transport: "tcp", log: slog.New(slog.DiscardHandler), accept: func(netip.Addr) bool { return true },
		receive: func(m message, _ *problem, _ netip.AddrPort) { took <- header(m, "call-id") },
		reject:  func(reason string) { counted <- reason }, lost: func(netip.AddrPort, bool) {}})
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		c, err := net.Dial("tcp", s.local().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}, took, counted
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// TestHalfAMessageIsNotWaitedForForEver: whoever begins a message and falls
// silent loses the connection, be it in a header or in the body.
func TestHalfAMessageIsNotWaitedForForEver(t *testing.T) {
	dial, took, counted := impatient(t)
	whole := strings.ReplaceAll(carrierInvite, "\n", "\r\n")
	for _, half := range []string{"I", whole[:200], strings.Replace(whole, "Content-Length: 0", "Content-Length: 10", 1) + "12345"} {
		c := dial()
		say(t, c, half)
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		if reason := <-counted; reason != "slow" {
			t.Errorf("counted as %s", reason)
		}
	}
	if len(took) > 0 {
		t.Errorf("took %q", <-took)
	}
}

// TestAnIdleConnectionStays: between messages, and behind an empty line, there is
// no haste.
func TestAnIdleConnectionStays(t *testing.T) {
	dial, took, counted := impatient(t)
	idle, half := dial(), dial()
	whole := strings.ReplaceAll(carrierInvite, "\n", "\r\n")
	say(t, idle, whole+"\r\n")
	<-took
	say(t, half, "I") // by when it is given up, the idle one has been so for longer
	if reason := <-counted; reason != "slow" {
		t.Fatalf("counted as %s", reason)
	}
	say(t, idle, whole)
	if id := <-took; id != "1@203.0.113.5" {
		t.Errorf("took %q", id)
	}
}
