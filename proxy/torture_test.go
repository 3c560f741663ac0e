package proxy_test

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tortures are the messages of RFC 4475, by name.
func tortures(t testing.TB) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("testdata/torture.txt")
	if err != nil {
		t.Fatal(err)
	}
	octet := regexp.MustCompile(`\\x[0-9a-f]{2}`)
	out := map[string]string{}
	for _, part := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n== ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		_, name, _ := strings.Cut(title, " ")
		out[name] = octet.ReplaceAllStringFunc(crlf(text), func(x string) string {
			n, err := strconv.ParseUint(x[2:], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			return string([]byte{byte(n)})
		})
	}
	return out
}

// What becomes of each message. What only its receiver can judge passes: a bad
// date, an unknown scheme, an unknown extension. What could be read in two ways
// is refused.
const (
	passes  = "passes"
	dropped = "dropped" // and counted
	waits   = "waits"   // for the rest of it
)

var verdicts = []struct{ name, udp, tcp string }{
	// 3.1.1 Valid messages
	{"wsinv", "481", "481"}, // it is within a dialog that isn't; see TestTheTortuousInvitePasses
	{"intmeth", passes, passes}, {"esc01", passes, passes}, {"escnull", passes, passes},
	{"esc02", passes, passes}, {"lwsdisp", passes, passes}, {"longreq", passes, passes}, {"dblreq", passes, passes},
	{"semiuri", passes, passes}, {"transports", passes, passes}, {"mpart01", passes, passes},
	{"unreason", dropped, dropped}, {"noreason", dropped, dropped}, // responses to nothing here; see TestStatusLinesPassByteForByte
	// 3.1.2 Invalid messages
	{"badinv01", "400", "400"}, {"clerr", "400", waits}, {"ncl", "400", "400"}, {"scalar02", "400", "400"},
	{"scalarlg", dropped, dropped}, {"quotbal", "400", "400"}, {"ltgtruri", "400", "400"}, {"lwsruri", "400", "400"},
	{"lwsstart", "400", "400"}, {"trws", "400", "400"}, {"escruri", passes, passes}, {"baddate", passes, passes},
	{"regbadct", "400", "400"}, {"badaspec", passes, passes}, {"baddn", passes, passes}, {"badvers", "505", "505"},
	{"mismatch01", "400", "400"}, {"mismatch02", "400", "400"}, {"bigcode", dropped, dropped},
	// 3.2 Transaction layer
	{"badbranch", passes, passes},
	// 3.3 Application layer
	{"insuf", "400", "400"}, {"unkscm", passes, passes}, {"novelsc", passes, passes}, {"unksm2", passes, passes},
	{"bext01", passes, passes}, {"invut", passes, passes}, {"regaut01", passes, passes}, {"multi01", "400", "400"},
	{"mcl01", "400", "400"}, {"bcast", dropped, dropped}, {"zeromf", "483", "483"}, {"cparam01", passes, passes},
	{"cparam02", passes, passes}, {"regescrt", passes, passes}, {"sdp01", passes, passes},
	// 3.4 Backward compatibility
	{"inv2543", "400", "400"}, // no From tag: the peers of a trunk speak RFC 3261
}

// TestTortureMessages sends each message of RFC 4475 to a gate.
func TestTortureMessages(t *testing.T) {
	texts := tortures(t)
	if len(texts) != 49 || len(verdicts) != len(texts) {
		t.Fatalf("%d messages, %d verdicts", len(texts), len(verdicts))
	}
	for _, v := range verdicts {
		for transport, verdict := range map[string]string{"udp": v.udp, "tcp": v.tcp} {
			t.Run(v.name+" by "+transport, func(t *testing.T) {
				t.Parallel()
				tortured(t, transport, v.name, texts[v.name], verdict)
			})
		}
	}
}

func tortured(t *testing.T, transport, name, text, verdict string) {
	carrier, pbx := newPeer(t, transport, "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	say := func(s string) { carrier.sendTo(g.carrier(), s) }
	var conn net.Conn
	if transport == "tcp" {
		conn = carrier.connect(g.carrier())
		say = func(s string) { _, _ = conn.Write([]byte(s)) } // what isn't sent isn't answered
	}
	say(text)
	switch verdict {
	case passes:
		in := pbx.await(t)
		if want, is := passing(noContact(text)), passing(noContact(in.text)); name != "dblreq" && want != is {
			t.Errorf("sent\n%q\ncame\n%q", want, is)
		}
		in.reply(rawAnswer(in.text, "486 No"))
		carrier.final(t, "SIP/2.0 486 No")
		if name == "dblreq" && transport == "tcp" {
			second := pbx.await(t)
			if !strings.HasPrefix(second.text, "INVITE sip:joe@example.com") {
				t.Errorf("then came %q", second.text)
			}
			second.reply(rawAnswer(second.text, "486 No"))
			carrier.final(t, "SIP/2.0 486 No")
		}
	case dropped:
		eventually(t, "it was counted", func() bool {
			return g.counted(t, "consentgate_sip_rejected_total")-g.counted(t, "consentgate_sip_rejected_total", "not_a_peer") == 1
		})
	case waits:
	default:
		res := carrier.final(t, "SIP/2.0 "+verdict)
		for _, line := range []string{"Via", "Call-ID", "CSeq"} {
			if sent := head(text, line); name != "multi01" && !strings.Contains(res.text, sent[:min(len(sent), 24)]) {
				t.Errorf("%s isn't in %q", line, res.text)
			}
		}
		reason := map[string]string{"400": "malformed", "505": "version", "483": "max_forwards"}[verdict]
		if n := g.counted(t, "consentgate_sip_rejected_total", reason); reason != "" && n != 1 {
			t.Errorf("%g were counted as %s", n, reason)
		}
	}
	g.alive(t, carrier)
	if left := pbx.left(); len(left) > 0 {
		t.Errorf("the other side got %q", left)
	}
	g.unmutated(t)
}

// TestTheTortuousInvitePasses: RFC 4475 section 3.1.1.1, as the INVITE of a new
// call.
func TestTheTortuousInvitePasses(t *testing.T) {
	const tag = " ;   tag    = 1918181833n"
	text := tortures(t)["wsinv"]
	if !strings.Contains(text, tag) {
		t.Fatal("it has no To tag")
	}
	for _, transport := range []string{"udp", "tcp"} {
		tortured(t, transport, "wsinv", strings.Replace(text, tag, "", 1), passes)
	}
}

// alive has an OPTIONS answered: by the same UDP socket, or by a new connection
// beside those that there are.
func (g *rawGate) alive(t testing.TB, p *peer) {
	t.Helper()
	ping := p.request("OPTIONS", "sip:"+g.carrier().String(), "<sip:h>", fmt.Sprintf("alive%d", time.Now().UnixNano()), 1)
	if p.place.Transport == "udp" {
		p.sendTo(g.carrier(), ping)
	} else if _, err := p.connect(g.carrier()).Write([]byte(ping)); err != nil {
		t.Fatal(err)
	}
	p.final(t, "SIP/2.0 200")
}

// await is the next request that isn't an ACK.
func (p *peer) await(t testing.TB) got {
	t.Helper()
	for {
		select {
		case m := <-p.in:
			if method, _, _ := strings.Cut(m.text, " "); method != "ACK" && !strings.HasPrefix(m.text, "SIP/2.0") && m.text != "closed" {
				return m
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
	}
}

// final is the next final response, which must begin so. One that was had before
// may be repeated.
func (p *peer) final(t testing.TB, start string) got {
	t.Helper()
	if p.taken == nil {
		p.taken = map[string]bool{}
	}
	for {
		select {
		case m := <-p.in:
			switch {
			case m.text == "closed" || m.text == "\r\n" || strings.HasPrefix(m.text, "SIP/2.0 1") || p.taken[m.text]:
			case strings.HasPrefix(m.text, start):
				p.taken[m.text] = true
				return m
			default:
				t.Fatalf("not %s, but %.300q came", start, m.text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s came", start)
		}
	}
}

// left are the first lines of what came and nobody took, but for ACKs.
func (p *peer) left() (out []string) {
	for {
		select {
		case m := <-p.in:
			if first, _, _ := strings.Cut(m.text, "\r\n"); !strings.HasPrefix(first, "ACK ") && first != "closed" {
				out = append(out, first)
			}
		default:
			return out
		}
	}
}

// rawFields are a message's headers of those names as they came, folds included.
func rawFields(text string, names ...string) (out []string) {
	headers, _, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(headers, "\r\n")
	for i := 1; i < len(lines); i++ {
		name, _, _ := strings.Cut(lines[i], ":")
		field := lines[i]
		for i+1 < len(lines) && lines[i+1] != "" && (lines[i+1][0] == ' ' || lines[i+1][0] == '\t') {
			i++
			field += "\r\n" + lines[i]
		}
		if slices.Contains(names, strings.ToLower(strings.TrimRight(name, " \t"))) {
			out = append(out, field)
		}
	}
	return out
}

// rawAnswer answers a request with its own headers, as they were written.
func rawAnswer(req, status string) string {
	lines := append([]string{"SIP/2.0 " + status}, rawFields(req, "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq")...)
	return strings.Join(append(lines, "Content-Length: 0", "", ""), "\r\n")
}

// noContact takes the Contacts out, whose address the gate changes.
func noContact(text string) string {
	for _, f := range rawFields(text, "contact", "m") {
		text = strings.Replace(text, "\r\n"+f+"\r\n", "\r\n", 1)
	}
	return text
}
