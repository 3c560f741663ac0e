package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// FuzzDatagram: whatever a peer sends, nothing panics on its way to the other
// side, and what would be sent there can be read again with the same Call-ID,
// tags and CSeq.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(carrierInvite, "\n", "\r\n")))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:e@f>\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("INVITE tel:+1 SIP/2.0\r\nv: SIP/2.0/UDP h\r\nf: <sip:a@b>;tag=1\r\nt: x\r\ni: x\r\nCSeq: 1 INVITE\r\nm: *\r\n\r\n"))
	from := netip.MustParseAddrPort("192.0.2.7:5060")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxHeaders {
			return
		}
		msg, bad := parseMessage(data)
		if bad != nil {
			return
		}
		switch m := msg.(type) {
		case *sip.Request:
			if validate(m) != nil {
				return
			}
			newResponse(m, from, 486, "Busy Here", "")
			calledNumber(m)
			callerOf(m)
			asserted(m)
			infoKey(m)
			out := relayRequest(m, m.Recipient, hop{via: "SIP/2.0/UDP g:1;branch=z9hG4bK1", contact: "g:1", maxHops: maxHops(m), body: m.Body()})
			unchanged(t, m, out)
		case *sip.Response:
			if readable(m) {
				unchanged(t, m, relayResponse(m, hop{contact: "g:1", body: m.Body()}))
			}
		}
	})
}

// unchanged reads what would be sent: it can be read again, the tripwire finds
// nothing in it, and what tells calls apart is the same.
func unchanged(t *testing.T, in, out message) {
	t.Helper()
	sent := wire(out)
	if differ := ancestorOf(out).differences(string(sent)); len(differ) > 0 {
		t.Fatalf("%q became %q: %v", ancestorOf(in).head, sent, differ)
	}
	again, bad := parseMessage(sent)
	if bad != nil {
		t.Fatalf("%q can't be read: %s", sent, bad.text)
	}
	for _, name := range []string{"call-id", "cseq", "from", "to"} {
		if a, b := header(in, name), header(again, name); a != b {
			t.Fatalf("%s was %q and is %q", name, a, b)
		}
	}
}
