package proxy

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"os"
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
	raw, err := os.ReadFile("testdata/torture.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, part := range strings.Split(string(raw), "\n== ")[1:] {
		_, text, _ := strings.Cut(part, "\n")
		f.Add([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	}
	for _, text := range worst() {
		f.Add([]byte(text))
	}
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

// FuzzStream: a stream is cut the same way as it is read, whatever comes and
// however it is cut, and no message is taken that has no end.
func FuzzStream(f *testing.F) {
	whole := strings.ReplaceAll(carrierInvite, "\n", "\r\n")
	f.Add([]byte(whole+"\r\n\r\n"+whole), 7)
	f.Add([]byte("OPTIONS sip:h SIP/2.0\r\nl:\r\n 4\r\n\r\n\r\n\r\nX"), 1)
	f.Add([]byte("OPTIONS sip:h SIP/2.0\nl: 4\n\nabcd\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		r := bufio.NewReaderSize(&steps{data, max(1, step)}, maxHeaders)
		for {
			err := awaitMessage(r)
			if errors.Is(err, errPing) {
				continue
			}
			if err != nil {
				return
			}
			msg, err := readMessage(r)
			if err != nil {
				return
			}
			if m, bad := parseMessage(msg); m != nil && bad == nil && len(headers(m, "content-length")) == 1 && len(ancestorOf(m).head)+len(m.Body()) != len(msg) {
				t.Fatalf("%q has a body of %q", msg, m.Body())
			}
		}
	})
}

// steps reads a few bytes at a time.
type steps struct {
	data []byte
	step int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.data)
	s.data = s.data[n:]
	return n, nil
}

// worst are the messages that take longest, each just below maxHeaders.
func worst() map[string]string {
	fill := func(old, new string, times int) string {
		return strings.ReplaceAll(strings.Replace(carrierInvite, old, strings.Repeat(new, times)+old, 1), "\n", "\r\n")
	}
	return map[string]string{
		"headers":     fill("X-Odd", "a:\n", 3900),
		"vias":        fill("Record-Route", "v: SIP/2.0/UDP h\n", 860),
		"via list":    fill("Record-Route", "v: SIP/2.0/UDP h"+strings.Repeat(",SIP/2.0/UDP h", 1000)+"\n", 1),
		"parameters":  fill(";tag=abc", ";x", 7500),
		"via params":  fill(";branch", ";x", 7500),
		"uri params":  fill(";user=phone", ";x", 7500),
		"quotes":      fill(";tag=abc", `;x="\""`, 2000),
		"folds":       fill("x-odd", "y:"+strings.Repeat("\n ", 4900)+"\n", 1),
		"routes":      fill("Record-Route", "Route: <sip:h;lr>\n", 800),
		"identities":  fill("P-Asserted", "P-Asserted-Identity: <sip:a@b>"+strings.Repeat(",<sip:a@b>", 1400)+"\n", 1),
		"long header": fill("x-odd", "y: "+strings.Repeat("x", 15000)+"\n", 1),
		"description": strings.ReplaceAll(strings.Replace(carrierInvite, "Content-Length: 0\n\n", "Content-Type: application/sdp\n\nv=0\n"+strings.Repeat("m=audio 1 RTP/AVP 0\n", 700), 1), "\n", "\r\n"),
	}
}

// BenchmarkHostile is what the longest-taking messages of 16 KiB cost from their
// bytes to the other side's, on the reader's goroutine and the call's.
func BenchmarkHostile(b *testing.B) {
	from := netip.MustParseAddrPort("192.0.2.7:5060")
	e := newWatched(&nowhere{})
	for name, text := range worst() {
		if len(text) > maxHeaders || len(text) < maxHeaders*3/4 {
			b.Fatalf("%s: %d bytes", name, len(text))
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m, bad := parseMessage([]byte(text))
				if bad != nil {
					b.Fatal(bad)
				}
				req := m.(*sip.Request)
				if bad := validate(req); bad != nil {
					b.Fatal(bad)
				}
				serverKey(req)
				calledNumber(req)
				asserted(req)
				newResponse(req, from, 100, "Trying", "")
				out := relayRequest(req, req.Recipient, hop{via: "SIP/2.0/UDP g:1;branch=z9hG4bK1", contact: "g:1", maxHops: maxHops(req), routes: list(req, "route"), body: req.Body()})
				if err := e.to(Place{}).write(out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRelay is what an ordinary INVITE costs from its bytes to the other
// side's.
func BenchmarkRelay(b *testing.B) {
	text := []byte(strings.ReplaceAll(carrierInvite, "\n", "\r\n"))
	e := newWatched(&nowhere{})
	b.ReportAllocs()
	for b.Loop() {
		m, _ := parseMessage(text)
		req := m.(*sip.Request)
		if bad := validate(req); bad != nil {
			b.Fatal(bad)
		}
		serverKey(req)
		if err := e.to(Place{}).write(relayRequest(req, req.Recipient, hop{via: "SIP/2.0/UDP g:1;branch=z9hG4bK1", contact: "g:1", maxHops: 69})); err != nil {
			b.Fatal(err)
		}
	}
}
