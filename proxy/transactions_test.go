package proxy

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// broken is a socket that sends nothing.
type broken struct{ socket }

func (broken) send([]byte, Place, Place) error { return errors.New("no way") }

// TestErrorsOfSendingHoldNoNumber: they are logged.
func TestErrorsOfSendingHoldNoNumber(t *testing.T) {
	tx := newTransactions(&endpoint{sock: broken{}, transport: "udp"}, slog.New(slog.DiscardHandler))
	_, err := tx.send(parseRequest(t, carrierInvite), Place{Transport: "udp"}, func(*sip.Response) {})
	if err == nil || !strings.Contains(err.Error(), "no way") || strings.Contains(err.Error(), "442079460000") {
		t.Errorf("%v", err)
	}
	tx.close()
}

// TestAFaultInReadingCostsThatMessageAlone, and what it says isn't logged.
func TestAFaultInReadingCostsThatMessageAlone(t *testing.T) {
	var reasons []string
	var log strings.Builder
	e := &endpoint{transport: "udp", log: slog.New(slog.NewTextHandler(&log, nil)), reject: func(reason string) { reasons = append(reasons, reason) },
		receive: func(m message, _ *problem, _ netip.AddrPort) { panic(header(m, "from")) }}
	e.take([]byte(strings.ReplaceAll(carrierInvite, "\n", "\r\n")), netip.MustParseAddrPort("192.0.2.1:1"))
	if !slices.Equal(reasons, []string{"fault"}) || !strings.Contains(log.String(), "fault") || strings.Contains(log.String(), "4930123") {
		t.Errorf("counted %q, said %s", reasons, log.String())
	}
}

// TestAFailureIsAcknowledgedInTheInvitesOwnWords (RFC 3261 section 17.1.1.3).
func TestAFailureIsAcknowledgedInTheInvitesOwnWords(t *testing.T) {
	n := &nowhere{}
	p := newWatched(n).to(Place{})
	p.request = parseRequest(t, strings.Replace(carrierInvite, "Record-Route: <", "ROUTE :  <", 1))
	res := sip.NewResponse(486, "Busy")
	res.AppendHeader(sip.NewHeader("To", `"x;y"<sip:1@h> ; TAG = z`))
	p.refusedBy(res)
	if err := p.WriteMsg(sip.NewRequest(sip.ACK, sip.Uri{})); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`ACK sip:+442079460000;npdi;rn=1@198.51.100.2:5060;user=phone SIP/2.0
v: SIP/2.0/UDP 203.0.113.5:5070;branch=z9hG4bK1;rport;x="q;r",SIP/2.0/UDP 203.0.113.6;branch=z9hG4bK0
ROUTE :  <sip:203.0.113.5;lr;ftag=1>
Max-Forwards: 69
f: "Zoë, \"the\" <caller>" <sip:+4930123@example.com;x=1>;tag=abc;y="a;b"
i: 1@203.0.113.5
To: "x;y"<sip:1@h> ; TAG = z
CSeq: 7 ACK
Content-Length: 0

`, "\n", "\r\n")
	if string(n.sent) != want {
		t.Errorf("sent\n%s\nwant\n%s", n.sent, want)
	}
}

// TestTransactionsAreToldApart as RFC 3261 section 17.2.3 says, whatever stands
// in quotes.
func TestTransactionsAreToldApart(t *testing.T) {
	key := func(old, new string) string {
		return serverKey(parseRequest(t, strings.Replace(carrierInvite, old, new, 1)))
	}
	same := key("", "")
	for old, new := range map[string]string{";rport": "", "branch=z9hG4bK1": `x=";branch=z9hG4bKother" ; Branch = z9hG4bK1`, "7 INVITE": "8 INVITE",
		"INVITE sip": "ACK sip"} {
		if key(old, new) != same {
			t.Errorf("%s: another", new)
		}
	}
	for old, new := range map[string]string{"branch=z9hG4bK1": "branch=z9hG4bK2", "203.0.113.5:5070": "203.0.113.5:5071", "INVITE sip": "invite sip",
		";branch=z9hG4bK1": ""} {
		if key(old, new) == same {
			t.Errorf("%s: the same", new)
		}
	}
	if key("203.0.113.5:5070", "Host.Example") != key("203.0.113.5:5070", "host.example:5060") {
		t.Error("a default port and capitals: another")
	}
	old := strings.Replace(carrierInvite, "branch=z9hG4bK1", "branch=1", 1) // RFC 2543
	for _, pair := range [][2]string{{"7 INVITE", "8 INVITE"}, {"branch=1", "branch=2"}, {"tag=abc", "tag=abd"}, {"i: 1@", "i: 2@"}} {
		if serverKey(parseRequest(t, old)) == serverKey(parseRequest(t, strings.Replace(old, pair[0], pair[1], 1))) {
			t.Errorf("%s: the same", pair[1])
		}
	}
}
