package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func parseRequest(t testing.TB, text string) *sip.Request {
	t.Helper()
	msg, bad := parseMessage([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if bad != nil {
		t.Fatal(bad)
	}
	return msg.(*sip.Request)
}

const carrierInvite = `INVITE sip:+442079460000;npdi;rn=1@198.51.100.2:5060;user=phone SIP/2.0
v: SIP/2.0/UDP 203.0.113.5:5070;branch=z9hG4bK1;rport;x="q;r",SIP/2.0/UDP 203.0.113.6;branch=z9hG4bK0
Record-Route: <sip:203.0.113.5;lr;ftag=1>
Max-Forwards: 69
f: "Zoë, \"the\" <caller>" <sip:+4930123@example.com;x=1>;tag=abc;y="a;b"
t: <sip:+442079460000@198.51.100.2>
i: 1@203.0.113.5
CSeq: 7 INVITE
m: "Z" <sip:u@203.0.113.6:5099;transport=tcp;ob>;+sip.instance="<urn:x>"
P-Asserted-Identity: "Z" <sip:+4930123@example.com>, <tel:+4930123>
Identity: eyJhbGciOiJFUzI1NiJ9..sig;info=<https://cert.example/x.pem>;alg=ES256
X-Odd:   kept   inside
x-odd: 2
k: timer, 100rel
Content-Length: 0

`

// TestInvariant11_TransparentOtherwise at the level of one message: what isn't
// a hop's own passes byte for byte and in order.
func TestInvariant11_TransparentOtherwise(t *testing.T) {
	in := parseRequest(t, carrierInvite)
	out := relayRequest(in, in.Recipient, hop{via: "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx", contact: "192.0.2.1:5060", maxHops: 68})
	want := strings.ReplaceAll(`INVITE sip:+442079460000;npdi;rn=1@198.51.100.2:5060;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx
Max-Forwards: 68
f: "Zoë, \"the\" <caller>" <sip:+4930123@example.com;x=1>;tag=abc;y="a;b"
t: <sip:+442079460000@198.51.100.2>
i: 1@203.0.113.5
CSeq: 7 INVITE
m: "Z" <sip:u@192.0.2.1:5060;ob>;+sip.instance="<urn:x>"
P-Asserted-Identity: "Z" <sip:+4930123@example.com>, <tel:+4930123>
Identity: eyJhbGciOiJFUzI1NiJ9..sig;info=<https://cert.example/x.pem>;alg=ES256
X-Odd:   kept   inside
x-odd: 2
k: timer, 100rel
Content-Length: 0

`, "\n", "\r\n")
	if got := string(wire(out)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestResponseCarriesTheRequestsViasAndRoutes(t *testing.T) {
	req := parseRequest(t, carrierInvite)
	from := netip.MustParseAddrPort("203.0.113.5:5071")
	res := sip.NewResponse(486, "Busy Here, really")
	res.AppendHeader(sip.NewHeader("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours"))
	res.AppendHeader(sip.NewHeader("To", "<sip:x@y>;tag=1"))
	res.AppendHeader(sip.NewHeader("X-Why", "because"))
	out := string(wire(relayResponse(res, hop{contact: "192.0.2.1:5060", vias: received(req, from), recorded: headers(req, "record-route")})))
	want := strings.ReplaceAll(`SIP/2.0 486 Busy Here, really
v: SIP/2.0/UDP 203.0.113.5:5070;branch=z9hG4bK1;rport=5071;x="q;r";received=203.0.113.5,SIP/2.0/UDP 203.0.113.6;branch=z9hG4bK0
Record-Route: <sip:203.0.113.5;lr;ftag=1>
To: <sip:x@y>;tag=1
X-Why: because
Content-Length: 0

`, "\n", "\r\n")
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestContactBecomesOursAndKeepsWhoItIs(t *testing.T) {
	for in, want := range map[string]string{
		`<sip:100@10.0.0.1:5062>`:                        `<sip:100@g:1>`,
		`sip:100@10.0.0.1;expires=60`:                    `<sip:100@g:1>;expires=60`,
		`"A, B" <sip:a@10.0.0.1;transport=tls;gr=x>;q=1`: `"A, B" <sip:a@g:1;gr=x>;q=1`,
		`<sip:10.0.0.1>`:                                 `<sip:g:1>`,
		`<sip:a;p=1@h?Subject=x>`:                        `<sip:a;p=1@g:1>`,
		`*`:                                              `*`,
		`<SIPS:a@10.0.0.1>`:                              `<sip:a@g:1>`,
	} {
		if got := ourContact(in, "g:1"); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := ourContact("<sips:a@10.0.0.1>", "g:1;transport=tls"); got != "<sips:a@g:1;transport=tls>" {
		t.Errorf("towards a side with TLS: %s", got)
	}
}

func TestNumbersAreFoundInEveryURI(t *testing.T) {
	for uri, want := range map[string]string{"sip:%31%31%32@h": "112", "sip:%zz@h": "%zz",
		"sip:+44207@h:5060;user=phone": "+44207", "tel:+44-207;phone-context=x": "+44-207", "sip:112@h": "112",
		"urn:service:sos.fire": "urn:service:sos.fire", "sip:h": "sip:h", "sip:+49;npdi@h": "+49", "sips:a@[2001:db8::1]:1": "a",
	} {
		if got := numberOf(uri); got != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	good := carrierInvite
	for name, c := range map[string]struct {
		old, new string
		status   int
	}{
		"good":                  {"", "", 0},
		"two Call-IDs":          {"i: 1@203.0.113.5\n", "i: 1@203.0.113.5\nCall-ID: 2\n", 400},
		"two From":              {"CSeq:", "From: <sip:x@y>;tag=2\nCSeq:", 400},
		"no To":                 {"t: <sip:+442079460000@198.51.100.2>\n", "", 400},
		"method of CSeq":        {"7 INVITE", "7 BYE", 400},
		"CSeq too big":          {"7 INVITE", "2147483648 INVITE", 400},
		"From without tag":      {";tag=abc", "", 400},
		"no hops left":          {"Max-Forwards: 69", "Max-Forwards: 0", 483},
		"Max-Forwards negative": {"Max-Forwards: 69", "Max-Forwards: -1", 400},
	} {
		p := validate(parseRequest(t, strings.Replace(good, c.old, c.new, 1)))
		got := 0
		if p != nil {
			got = p.status
		}
		if got != c.status {
			t.Errorf("%s: %d, want %d", name, got, c.status)
		}
	}
}

func TestCSeqWithOddSpacesIsRead(t *testing.T) {
	req := parseRequest(t, strings.Replace(carrierInvite, "CSeq: 7 INVITE", "CSeq: 007   INVITE", 1))
	if p := validate(req); p != nil || cseqOf(req) != 7 {
		t.Errorf("%v %v", p, cseqOf(req))
	}
}

// FuzzHeaders: our own readers of header values never panic, and a Contact that
// we rewrote points at us.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{`"Z" <sip:u@h:1;a=b>;tag=1`, `sip:a@b;tag=x`, `<`, `"\`, `*`, `<sip:a@[::1]:x>,<sip:b>`, ";tag"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, e := range splitList(v) {
			parseNameAddr(e)
		}
		tagOf(v)
		numberOf(v)
		splitURI(v).address()
		if out := ourContact(v, "192.0.2.1:5060"); strings.TrimSpace(v) != "*" {
			if at, _, ok := splitURI(parseNameAddr(out).uri).address(); !strings.ContainsAny(v, "<>\"@;:") && (!ok || at.String() != "192.0.2.1:5060") {
				t.Fatalf("%q became %q", v, out)
			}
		}
	})
}
