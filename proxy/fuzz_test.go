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
		e := &endpoint{parser: newParser()}
		msg, err := e.parse(data)
		if err != nil {
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
			same(t, m, out.String(), "call-id", "cseq", "from", "to")
		case *sip.Response:
			out := relayResponse(m, hop{contact: "g:1", body: m.Body()})
			same(t, m, out.String(), "call-id", "cseq", "from", "to")
		}
	})
}

// same reads what would be sent and compares headers.
func same(t *testing.T, in message, sent string, names ...string) {
	t.Helper()
	if !strings.Contains(sent, "\r\n\r\n") {
		return
	}
	again, err := newParser().ParseSIP([]byte(sent))
	if err != nil {
		return // a Request-URI that sipgo reads and doesn't write back the same way
	}
	for _, name := range names {
		if a, b := header(in, name), header(again.(message), name); a != b {
			t.Fatalf("%s was %q and is %q", name, a, b)
		}
	}
}
