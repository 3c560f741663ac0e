package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func dialPlain(to netip.AddrPort) (net.Conn, error) { return net.Dial("tcp", to.String()) }

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// TestACallCrossesTransportsAndFamilies: each side of the gate speaks its own
// transport and its own family of addresses, and says so in Via and Contact.
func TestACallCrossesTransportsAndFamilies(t *testing.T) {
	for _, way := range []struct{ from, fromIP, to, toIP string }{
		{"tcp", "127.0.0.1", "udp", "127.0.0.1"},
		{"udp", "127.0.0.1", "tcp", "127.0.0.1"},
		{"udp", "::1", "udp", "127.0.0.1"},
		{"tcp", "127.0.0.1", "tls", "::1"},
		{"tls", "::1", "tcp", "127.0.0.1"},
	} {
		t.Run(way.from+" "+way.fromIP+" to "+way.to+" "+way.toIP, func(t *testing.T) {
			ca := newAuthority(t)
			carrier := newPeer(t, way.from, way.fromIP, ca.peerTLS())
			pbx := newPeer(t, way.to, way.toIP, ca.peerTLS())
			a, b := sideOf(carrier), sideOf(pbx)
			a.TLS, b.TLS = ca.gateTLS(), ca.gateTLS()
			g := newRawGate(t, a, b, nil)
			send := func(s string) { carrier.sendTo(g.carrier(), s) }
			if way.from != "udp" {
				conn := carrier.connect(g.carrier())
				send = func(s string) { _, _ = io.WriteString(conn, s) }
			}
			send(carrier.request("INVITE", "sip:100@"+g.carrier().String(), "<sip:100@example.test>", "c1", 1))
			inv := pbx.next("INVITE")
			via, contact := head(inv.text, "Via"), head(inv.text, "Contact")
			if !strings.HasPrefix(via, "SIP/2.0/"+strings.ToUpper(way.to)+" ") || strings.Contains(contact, way.from) ||
				way.to != "udp" && !strings.Contains(contact, ";transport="+way.to+">") {
				t.Errorf("Via %q, Contact %q", via, contact)
			}
			own := "Contact: <sip:100@" + pbx.place.Addr.String() + ";transport=" + way.to + ">"
			inv.reply(answer(inv.text, "180 Ringing", "b1", own))
			carrier.next("180")
			inv.reply(answer(inv.text, "200 OK", "b1", own))
			ok := carrier.next("200")
			send(carrier.request("ACK", "sip:gate", head(ok.text, "To"), "c1", 1))
			pbx.next("ACK")
			send(carrier.request("BYE", "sip:gate", head(ok.text, "To"), "c1", 2))
			bye := pbx.next("BYE")
			bye.reply(answer(bye.text, "200 OK", ""))
			carrier.next("200")
		})
	}
}

// TestAStreamIsCutWhereItsMessagesEnd: by Content-Length, however the bytes
// arrive; a double CRLF is answered with one.
func TestAStreamIsCutWhereItsMessagesEnd(t *testing.T) {
	carrier, pbx := newPeer(t, "tcp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	conn := carrier.connect(g.carrier())
	one := strings.Replace(carrier.request("MESSAGE", "sip:1@h", "<sip:1@h>", "m1", 1, "Content-Type: text/plain"),
		"Content-Length: 0\r\n\r\n", "Content-Length: 12\r\n\r\nhello\r\n\r\nyou", 1)
	two := carrier.request("MESSAGE", "sip:2@h", "<sip:2@h>", "m2", 1)
	if _, err := io.WriteString(conn, one+two); err != nil {
		t.Fatal(err)
	}
	first := pbx.next("MESSAGE sip:1@h")
	if !strings.HasSuffix(first.text, "\r\n\r\nhello\r\n\r\nyou") {
		t.Errorf("the body ends wrong: %q", first.text)
	}
	first.reply(answer(first.text, "200 OK", "x"))
	carrier.next("200")
	second := pbx.next("MESSAGE sip:2@h")
	second.reply(answer(second.text, "202 Accepted", "x"))
	carrier.next("202")
	for _, b := range []byte(carrier.request("MESSAGE", "sip:3@h", "<sip:3@h>", "m3", 1)) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	third := pbx.next("MESSAGE sip:3@h")
	third.reply(answer(third.text, "200 OK", "x"))
	carrier.next("200")
}

func TestAPingOnAStreamIsAnswered(t *testing.T) {
	carrier, pbx := newPeer(t, "tcp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	raw, err := dialPlain(g.carrier())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := io.WriteString(raw, "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	pong := make([]byte, 2)
	if _, err := io.ReadFull(raw, pong); err != nil || string(pong) != "\r\n" {
		t.Errorf("%q, %v", pong, err)
	}
}

// TestAStreamThatCannotBeReadOnIsClosed, and counted; the listener goes on.
func TestAStreamThatCannotBeReadOnIsClosed(t *testing.T) {
	carrier, pbx := newPeer(t, "tcp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	for _, bad := range []string{"OPTIONS sip:h SIP/2.0\r\nX: " + strings.Repeat("a", 20000), "OPTIONS sip:h SIP/2.0\r\nContent-Length: -1\r\n\r\n",
		"OPTIONS sip:h SIP/2.0\r\nl: 99999999999\r\n\r\n"} {
		raw, err := dialPlain(g.carrier())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(raw, bad) // it may be closed before all is written
		if rest, _ := io.ReadAll(raw); len(rest) > 0 {
			t.Errorf("%.40q: answered %q", bad, rest)
		}
		_ = raw.Close()
	}
	eventually(t, "three streams were counted", func() bool { return g.counted(t, "consentgate_sip_rejected_total", "framing") == 3 })
	conn := carrier.connect(g.carrier())
	_, _ = io.WriteString(conn, carrier.request("OPTIONS", "sip:"+g.carrier().String(), "<sip:h>", "o1", 1))
	carrier.next("200")
}

// TestAClosedConnectionIsMadeAgain for the next request of the dialog.
func TestAClosedConnectionIsMadeAgain(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "tcp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:100@h", "<sip:100@h>", "c1", 1))
	inv := pbx.next("INVITE")
	inv.reply(answer(inv.text, "200 OK", "b1", fmt.Sprintf("Contact: <sip:100@%s;transport=tcp>", pbx.place.Addr)))
	ok := carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", head(ok.text, "To"), "c1", 1))
	pbx.next("ACK")
	pbx.hangUp()
	pbx.next("closed")
	carrier.sendTo(g.carrier(), carrier.request("BYE", "sip:gate", head(ok.text, "To"), "c1", 2))
	bye := pbx.next("BYE")
	if bye.conn == inv.conn {
		t.Error("it came by the closed connection")
	}
	bye.reply(answer(bye.text, "200 OK", ""))
	carrier.next("200")
}

// TestALargeRequestTakesAStream where the peer offers one (RFC 3261 section
// 18.1.1), and goes by UDP where it doesn't.
func TestALargeRequestTakesAStream(t *testing.T) {
	carrier, udp, tcp := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "tcp", "127.0.0.1", nil)
	large := "X-Large: " + strings.Repeat("x", 2000)
	g := newRawGate(t, sideOf(carrier), sideOf(udp, tcp), nil)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1, large))
	inv := tcp.next("INVITE")
	if via := head(inv.text, "Via"); !strings.HasPrefix(via, "SIP/2.0/TCP ") || head(inv.text, "X-Large") == "" {
		t.Errorf("Via %q", via)
	}
	inv.reply(answer(inv.text, "486 Busy Here", "x"))
	carrier.next("486")

	g = newRawGate(t, sideOf(carrier), sideOf(udp), nil)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c2", 1, large, strings.Replace(large, "X", "Y", 1),
		strings.Replace(large, "X", "Z", 1), strings.Replace(large, "X", "W", 1)))
	inv = udp.next("INVITE")
	if head(inv.text, "W-Large") == "" {
		t.Error("a datagram of 8 KiB was cut short")
	}
	inv.reply(answer(inv.text, "486 Busy Here", "x"))
	carrier.next("486")
}

// TestCertificatesAreReadAgain when their files change, without a restart; the
// metric of their end follows.
func TestCertificatesAreReadAgain(t *testing.T) {
	ca := newAuthority(t)
	carrier, pbx := newPeer(t, "tls", "127.0.0.1", ca.peerTLS()), newPeer(t, "udp", "127.0.0.1", nil)
	side := sideOf(carrier)
	side.TLS = ca.gateTLS()
	g := newRawGate(t, side, sideOf(pbx), nil)
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", g.carrier().String(), &tls.Config{RootCAs: ca.pool(), ServerName: "gate.test"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		shown := conn.ConnectionState().PeerCertificates[0]
		if end := g.counted(t, "consentgate_tls_certificate_expiry_timestamp_seconds", "carrier", "main"); end != float64(shown.NotAfter.Unix()) {
			t.Errorf("certificate %d ends at %d, the metric says %.0f", shown.SerialNumber, shown.NotAfter.Unix(), end)
		}
		return shown.SerialNumber.Int64()
	}
	if n := serial(); n != 2 {
		t.Fatalf("certificate %d", n)
	}
	ca.issue("gate", "gate.test", 3000)
	if n := serial(); n != 3000 {
		t.Errorf("after the change: certificate %d", n)
	}
	if err := os.WriteFile(side.TLS.Cert, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 3000 {
		t.Errorf("after rubbish: certificate %d", n)
	}
}

// TestTLSTrustsNobodyElse: a peer whose certificate is for another name gets no
// call, and with client_cert nobody without a certificate gets in.
func TestTLSTrustsNobodyElse(t *testing.T) {
	ca := newAuthority(t)
	wrong := ca.peerTLS()
	cert, err := tls.LoadX509KeyPair(ca.issue("wrong", "somebody.test", 9))
	if err != nil {
		t.Fatal(err)
	}
	wrong.Certificates = []tls.Certificate{cert}
	carrier, pbx := newPeer(t, "tls", "127.0.0.1", ca.peerTLS()), newPeer(t, "tls", "127.0.0.1", wrong)
	a, b := sideOf(carrier), sideOf(pbx)
	a.TLS, b.TLS = ca.gateTLS(), ca.gateTLS()
	a.TLS.ClientCert = true
	g := newRawGate(t, a, b, nil)
	conn := carrier.connect(g.carrier())
	_, _ = io.WriteString(conn, carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	carrier.next("503")

	anonymous, err := tls.Dial("tcp", g.carrier().String(), &tls.Config{RootCAs: ca.pool(), ServerName: "gate.test"})
	if err == nil { // TLS 1.3 tells a client afterwards
		_, _ = io.WriteString(anonymous, carrier.request("OPTIONS", "sip:"+g.carrier().String(), "<sip:h>", "o1", 1))
		if rest, _ := io.ReadAll(anonymous); len(rest) > 0 {
			t.Errorf("somebody without a certificate was answered %q", rest)
		}
		_ = anonymous.Close()
	}
	old, err := tls.Dial("tcp", g.carrier().String(), &tls.Config{RootCAs: ca.pool(), ServerName: "gate.test", MaxVersion: tls.VersionTLS11,
		MinVersion: tls.VersionTLS10, Certificates: carrier.tls.Certificates})
	if err == nil {
		t.Error("TLS 1.1 was accepted")
		_ = old.Close()
	}
}
