package proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

// hopHeaders are those that docs/sip-behaviour.md says the gate changes in every
// message.
var hopHeaders = map[string]bool{"via": true, "v": true, "max-forwards": true, "record-route": true, "route": true}

// passing is a message without what belongs to one hop: byte for byte what must
// be the same on both sides.
func passing(text string) string {
	headers, body, _ := strings.Cut(text, "\r\n\r\n")
	var kept []string
	hop := false
	for i, line := range strings.Split(headers, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		if i > 0 && line != "" && line[0] != ' ' && line[0] != '\t' {
			hop = hopHeaders[strings.ToLower(strings.TrimRight(name, " \t"))]
		}
		if !hop {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n") + "\r\n\r\n" + body
}

// crlf writes a message's line ends.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// plainRequest is one without anything odd, with that start line and those
// further lines.
func plainRequest(p *peer, n int, start string, lines ...string) string {
	method, _, _ := strings.Cut(start, " ")
	return strings.Join(append([]string{start, fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bKf%d", p.place.Addr, n), "Max-Forwards: 70",
		"From: <sip:p@example.test>;tag=p1", "To: <sip:q@example.test>", fmt.Sprintf("Call-ID: f%d", n),
		"CSeq: 1 " + method}, append(lines, "Content-Length: 0", "", "")...), "\r\n")
}

// crosses sends a request to the gate and expects it on the other side.
func crosses(t *testing.T, g *rawGate, from, to *peer, text string) got {
	t.Helper()
	from.sendTo(g.carrier(), text)
	method, _, _ := strings.Cut(text, " ")
	in := to.next(method + " ")
	if want, is := passing(text), passing(in.text); want != is {
		t.Errorf("sent\n%q\ncame\n%q", want, is)
	}
	return in
}

func TestARequestURIPassesByteForByte(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	for i, uri := range []string{
		`sip:a@b;x="q;r"`, `sip:a@b;x="q`, "sip:a@b;d=1;d=2", "sip:a@b;x", "sip:a@b;x=;y", "sip:a@b;;x", "sip:a@b?Subject=x&Route=%3Csip:c%3E",
		"sip:%61%00@b", "sip:a%40c@b;p%61=v", "sip:a:@b", "sip:a:pw@b", "sip:@b", "sip:a@B.Example;X=Y", "SIP:a@b", "sips:a@b", "Sips:a@b:5061",
		"tel:+49-30-(123);phone-context=+49", "TEL:112", "urn:service:sos.fire", "URN:uuid:f81d4fae", "http://h/p?q#f", "nobodyKnows:opaque", "im:a@b",
		"sip:a@[2001:db8::1]:5062;transport=udp", "sip:a@[2001:DB8:0:0::1%25eth0]", "sip:a@b:05060", "sip:a@b:0", "sip:a@b:", "sip:a@b:65536",
		"sip:+1;npdi;rn=+2;cic=+3@b;user=phone", "sip:a/b?c;d&e=f+g$h,i@b", "sip:caf\xc3\xa9@b", "sip:\xe9@b", "sip://a@b", "sip:a@@b", "sip:*", "sip:a@b;lr=on;=v",
	} {
		in := crosses(t, g, carrier, pbx, plainRequest(carrier, i, "MESSAGE "+uri+" SIP/2.0"))
		in.reply(answer(in.text, "200 OK", "x"))
		carrier.next("200")
	}
	g.unmutated(t)
}

func TestAMethodPassesByteForByte(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	for i, method := range []string{"invite", "Invite", "bye", "message", "register", "RE%47ISTER", "!x.%*_+`'~-9", "FOO"} {
		in := crosses(t, g, carrier, pbx, plainRequest(carrier, i, method+" sip:a@b SIP/2.0"))
		in.reply(answer(in.text, "501 Not Implemented", "x"))
		carrier.next("501")
	}
	g.unmutated(t)
}

func TestHeadersPassByteForByte(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	for i, lines := range [][]string{
		{"X: folded", "  here", "\tand  there  ", " ", " end"},
		{"X:\tb", "X :c", "X\t :  d", "X:e  ", "X:f\t", "X:", "X: ", "X :"},
		{"x-Odd-CASE: v", "X-ODD-case: w", "x-odd-case: v"},
		{"k: timer", "s: Subject", "c: text/plain", "u: presence", "x: 1800", "b: <sip:r@x>", "r: <sip:s@x>;method=INVITE", "o: refer", "y: sig", "e: gzip", "a: *", "d: no-fork", "j: *"},
		{`P-Asserted-Identity:  "Zo` + "\xc3\xab" + `, \"the\" <caller>"  <sip:+4930@x;u=1>;p , <tel:+4930>`},
		{"X-Latin: caf\xe9 \xff\xfe \x00\x01\x7f"},
		{"Identity: " + strings.Repeat("eyJhbGciOiJFUzI1NiJ9.", 200) + ";info=<https://c.example/x.pem>;alg=ES256;ppt=shaken"},
		{"Supported: a,b", "Supported:c ,  d", "Allow: INVITE", "Supported: a,b", "allow: BYE"},
		{"Date: Fri, 99 Foo 20110 25:61:61 EST", "Expires: 99999999999999999999", "Warning: 1812 x \"unclosed", "X: ;;,,;;,;"},
		{`Diversion: A, B <sip:a@b>;reason="x;y"`, "History-Info: <sip:a@b?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@d>;index=1.1"},
	} {
		in := crosses(t, g, carrier, pbx, plainRequest(carrier, i, "MESSAGE sip:a@b SIP/2.0", lines...))
		in.reply(answer(in.text, "200 OK", "x"))
		carrier.next("200")
	}
	g.unmutated(t)
}

// TestOwnHeadersKeepTheirSpelling: what the gate must change in a header is its
// value; name, colon, quotes and parameters stay, and so does its place.
func TestOwnHeadersKeepTheirSpelling(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	carrier.sendTo(g.carrier(), strings.NewReplacer("\n", "\r\n", "HERE", carrier.place.Addr.String()).Replace(`MESSAGE sip:a@b SIP/2.0
l  :5
mAX-fORWARDS :  0068
m :  "Q \"u\"" <sip:u;x=1@HERE;transport=udp;ob>;+sip.instance="<urn:x>" ; q = 0.3
f:<sip:a@b> ; TAG = x
t :
 "Q"  <sip:c@d>
i:1
cseq: 0009
	MESSAGE
v:SIP/2.0/UDP HERE;branch=z9hG4bK1

hello`))
	in := pbx.next("MESSAGE")
	_, rest, _ := strings.Cut(in.text, "\r\nVia: ")
	_, rest, _ = strings.Cut(rest, "\r\n")
	if want := strings.NewReplacer("\n", "\r\n", "HERE", g.pbx().String()).Replace(`l  :5
mAX-fORWARDS :  67
m :  "Q \"u\"" <sip:u;x=1@HERE;ob>;+sip.instance="<urn:x>" ; q = 0.3
f:<sip:a@b> ; TAG = x
t :
 "Q"  <sip:c@d>
i:1
cseq: 0009
	MESSAGE

hello`); rest != want {
		t.Errorf("came\n%q\nwant\n%q", rest, want)
	}
	in.reply(strings.NewReplacer("\n", "\r\n", "VIA", "Via: "+head(in.text, "Via")).Replace(`SIP/2.0 200 OK
VIA
f:<sip:a@b> ; TAG = x
t : "Q"  <sip:c@d>;tag=1
i:1
cseq: 0009
	MESSAGE
l:0

`))
	res := carrier.next("200")
	if !strings.HasPrefix(res.text, crlf("SIP/2.0 200 OK\nv:SIP/2.0/UDP ")) || !strings.HasSuffix(res.text, crlf("\ncseq: 0009\n\tMESSAGE\nl:0\n\n")) {
		t.Errorf("answered %q", res.text)
	}
	g.unmutated(t)
}

func TestBodiesPassByteForByte(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	binary := make([]byte, 512)
	for i := range binary {
		binary[i] = byte(i)
	}
	for i, part := range []struct{ kind, body string }{
		{"multipart/mixed;boundary=b1", crlf("--b1\nContent-Type: application/sdp\n\nv=0\nc=IN IP4 192.0.2.1\n--b1\nContent-Type: application/ISUP;version=itu-t92+;base=itu-t92+\nContent-Disposition: signal;handling=optional\n\n") +
			string(binary) + crlf("\n--b1\nContent-Type: application/pidf+xml\nContent-ID: <l@x>\n\n<presence/>\n--b1--\n")},
		{"application/isup", string(binary)},
		{"text/plain", "no line end"},
		{"text/plain", "\r\n\r\n\r\nSIP/2.0 200 OK\r\n\r\n"},
		{"application/sdp", "not v=0\n"},
	} {
		text := plainRequest(carrier, i, "MESSAGE sip:a@b SIP/2.0", "Content-Type: "+part.kind)
		text = strings.Replace(text, "Content-Length: 0", fmt.Sprintf("Content-Length: %d", len(part.body)), 1) + part.body
		in := crosses(t, g, carrier, pbx, text)
		in.reply(strings.Replace(answer(in.text, "200 OK", "x"), "Content-Length: 0", fmt.Sprintf("Content-Type: x/y\r\nContent-Length: %d", len(part.body)), 1) + part.body)
		if res := carrier.next("200"); !strings.HasSuffix(res.text, "\r\n\r\n"+part.body) {
			t.Errorf("the answer's body became %q", res.text)
		}
	}
	g.unmutated(t)
}

func TestStatusLinesPassByteForByte(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	for i, status := range []string{"486 Busy Here", "486 ", "486  two  spaces ", "486 = 2**3 * 5**2 \xd0\xbd\xd0\xbe", "486 caf\xe9", "699 \"x\": y;z", "200 Not OK", "499 SIP/2.0 200 OK"} {
		in := crosses(t, g, carrier, pbx, plainRequest(carrier, i, "MESSAGE sip:a@b SIP/2.0"))
		sent := answer(in.text, status, "x", "Retry-After:  1 (one; \"two\")", "X: a", "  b")
		in.reply(sent)
		if res := carrier.next(status[:3]); passing(res.text) != passing(sent) {
			t.Errorf("sent\n%q\ncame\n%q", passing(sent), passing(res.text))
		}
	}
	g.unmutated(t)
}

// TestAWholeCallKeepsItsSpelling: short names, tags behind spaces and in capitals,
// folds. The gate finds its dialog by them, in both directions.
func TestAWholeCallKeepsItsSpelling(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	say := func(from *peer, start, sender, to, cseq, branch, body string) string {
		text := strings.NewReplacer("\n", "\r\n", "START", start, "FROM", sender, "TO", to, "CSEQ", cseq, "HERE", from.place.Addr.String(), "BRANCH", branch,
			"LENGTH", fmt.Sprint(len(body))).Replace("START SIP/2.0\nv :SIP/2.0/UDP HERE ; Branch = z9hG4bKBRANCH\nf: FROM\nt:TO\ni :  spelled\ncseq:  CSEQ\n"+
			"m : <sip:x@HERE>\nX:  a\n  b\nk:timer\nc: text/plain\nl :LENGTH\n\n") + body
		return text
	}
	caller, called := `"A" <sip:a@x> ; TAG = a1`, `<sip:b@y>`
	invite := say(carrier, "INVITE sip:b@y", caller, called, "0007 \t INVITE", "1", "hello")
	carrier.sendTo(g.carrier(), invite)
	in := pbx.await(t)
	check := func(sent, came string) {
		t.Helper()
		if want, is := passing(noContact(sent)), passing(noContact(came)); want != is {
			t.Errorf("sent\n%q\ncame\n%q", want, is)
		}
	}
	check(invite, in.text)
	called += "\r\n ;\ttAg = b1"
	ok := strings.Replace(rawAnswer(in.text, "200 Ja"), "t:<sip:b@y>", "t:"+called+"\r\nm:<sip:b@"+pbx.place.Addr.String()+">\r\ns :", 1)
	in.reply(ok)
	check(ok, carrier.final(t, "SIP/2.0 200 Ja").text)
	ack := say(carrier, "ACK sip:gate", caller, called, "7  ACK", "2", "") // the INVITE had no offer, so this passes, too
	carrier.sendTo(g.carrier(), ack)
	check(strings.Replace(ack, "sip:gate", "sip:b@"+pbx.place.Addr.String(), 1), pbx.next("ACK").text)

	info := say(pbx, "INFO sip:gate", called, caller, "1 INFO", "3", "x")
	pbx.sendTo(g.pbx(), info)
	in = carrier.await(t)
	check(strings.Replace(info, "sip:gate", "sip:x@"+carrier.place.Addr.String(), 1), in.text)
	in.reply(rawAnswer(in.text, "200 OK"))
	pbx.final(t, "SIP/2.0 200 OK")

	bye := say(carrier, "BYE sip:gate", caller, called, "00008\tBYE", "4", "")
	carrier.sendTo(g.carrier(), bye)
	in = pbx.await(t)
	check(strings.Replace(bye, "sip:gate", "sip:b@"+pbx.place.Addr.String(), 1), in.text)
	in.reply(rawAnswer(in.text, "200 OK"))
	carrier.final(t, "SIP/2.0 200 OK")
	g.unmutated(t)
}

// unmutated checks the tripwire's counter.
func (g *rawGate) unmutated(t testing.TB) {
	t.Helper()
	if n := g.counted(t, "consentgate_sip_unexpected_mutations_total"); n != 0 {
		t.Errorf("the tripwire counted %g", n)
	}
}
