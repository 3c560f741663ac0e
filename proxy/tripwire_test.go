package proxy

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
)

// relayedInvite is what the gate makes of carrierInvite with a description.
func relayedInvite(t testing.TB) (*sip.Request, *sip.Request) {
	t.Helper()
	body := "v=0\no=- 1 1 IN IP4 203.0.113.5\ns=-\nc=IN IP4 203.0.113.5\nt=0 0\nm=audio 4000 RTP/AVP 0 8\na=ptime:20\na=sendrecv\n"
	text := strings.Replace(carrierInvite, "Content-Length: 0\n\n", "Content-Type: application/sdp\n\n"+body, 1)
	in := parseRequest(t, text)
	out := relayRequest(in, in.Recipient, hop{via: "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx", contact: "192.0.2.1:5060", maxHops: 68,
		routes: []string{"<sip:192.0.2.9;lr>"},
		body:   []byte(strings.NewReplacer("c=IN IP4 203.0.113.5", "c=IN IP4 192.0.2.1", "m=audio 4000", "m=audio 20000").Replace(string(in.Body())))})
	return in, out
}

func TestTheTripwireLetsPassWhatTheContractNames(t *testing.T) {
	_, out := relayedInvite(t)
	if differ := ancestorOf(out).differences(string(wire(out))); len(differ) > 0 {
		t.Errorf("%q", differ)
	}
}

// TestTheTripwireFiresAtEachChange beyond the contract, and names its place
// once.
func TestTheTripwireFiresAtEachChange(t *testing.T) {
	_, out := relayedInvite(t)
	good := string(wire(out))
	for name, c := range map[string]struct{ old, new, want string }{
		"a changed value":             {"X-Odd:   kept   inside", "X-Odd:   kept inside", "x-odd"},
		"a changed spelling":          {"x-odd: 2", "X-odd: 2", "x-odd"},
		"a header that is gone":       {"k: timer, 100rel\r\n", "", "supported"},
		"a header that was added":     {"k: timer", "X-New: 1\r\nk: timer", "x-new"},
		"one added at the end":        {"\r\n\r\nv=0", "\r\nX-New: 1\r\n\r\nv=0", "x-new"},
		"a long name for a short one": {"\r\nt: ", "\r\nTo: ", "to"},
		"another Request-URI":         {"INVITE sip:+44", "INVITE sip:44", "start line"},
		"another method":              {"INVITE sip", "invite sip", "start line"},
		"another tag":                 {"tag=abc", "tag=abd", "from"},
		"another CSeq":                {"CSeq: 7", "CSeq: 8", "cseq"},
		"another Contact's user":      {"<sip:u@", "<sip:v@", "contact"},
		"a Contact's feature lost":    {`;+sip.instance="<urn:x>"`, "", "contact"},
		"another Call-ID":             {"i: 1@", "i: 2@", "call-id"},
		"a line of the description":   {"a=ptime:20", "a=ptime:30", "body"},
		"a line that is gone":         {"a=sendrecv\r\n", "", "body"},
		"another version":             {"o=- 1 1", "o=- 1 2", "body"},
		"a word on recording":         {"a=sendrecv", "a=record:on\r\na=sendrecv", "body"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("%q has no %q", good, c.old)
			}
			if differ := ancestorOf(out).differences(strings.Replace(good, c.old, c.new, 1)); !slices.Equal(differ, []string{c.want}) {
				t.Errorf("%q", differ)
			}
		})
	}
}

// TestLibertiesAreForThatMessageAlone: what one message may is not what others
// made of the same may.
func TestLibertiesAreForThatMessageAlone(t *testing.T) {
	in, out := relayedInvite(t)
	takes(out, ownDialog|ownNumbers)
	sent := strings.NewReplacer("tag=abc", "tag=ours", "CSeq: 7", "CSeq: 9", "o=- 1 1", "o=- 7 7").Replace(string(wire(out)))
	if differ := ancestorOf(out).differences(sent); len(differ) > 0 {
		t.Errorf("%q", differ)
	}
	if differ := ancestorOf(in).differences(sent); !slices.Equal(differ, []string{"from", "cseq", "body"}) {
		t.Errorf("%q", differ)
	}
	_, told := relayedInvite(t)
	takes(told, toldOfRecording)
	if differ := ancestorOf(told).differences(strings.NewReplacer("o=- 1 1", "o=- 1 2", "a=sendrecv", "a=record:on\r\na=sendrecv").Replace(string(wire(told)))); len(differ) > 0 {
		t.Errorf("told of recording: %q", differ)
	}
	_, keyed := relayedInvite(t)
	takes(keyed, ownKeys)
	withKey := strings.Replace(string(wire(keyed)), "a=sendrecv", "a=crypto:1 X inline:y\r\na=sendrecv", 1)
	if differ := ancestorOf(keyed).differences(withKey); len(differ) > 0 {
		t.Errorf("with a key: %q", differ)
	}
	if differ := ancestorOf(in).differences(withKey); !slices.Contains(differ, "body") {
		t.Errorf("a key that nobody gave: %q", differ)
	}
	if differ := ancestorOf(out).differences(strings.Replace(sent, "Zoë", "Zoe", 1)); !slices.Equal(differ, []string{"from"}) {
		t.Errorf("another name: %q", differ)
	}
}

// nowhere is a socket that keeps the latest that was sent.
type nowhere struct {
	socket
	sent []byte
}

func (n *nowhere) send(data []byte, _, _ Place) error { n.sent = data; return nil }

// TestTheTripwireCountsAndSendsAllTheSame: the hook is where messages go out.
func TestTheTripwireCountsAndSendsAllTheSame(t *testing.T) {
	_, out := relayedInvite(t)
	n := &nowhere{}
	e := newWatched(n)
	if err := e.to(Place{}).WriteMsg(out); err != nil || counted(t, e) != 0 {
		t.Fatalf("%v, counted %g", err, counted(t, e))
	}
	out.ReplaceHeader(sip.NewHeader("x-odd", "3"))
	if err := e.to(Place{}).WriteMsg(out); err != nil || counted(t, e) != 1 || string(n.sent) != string(wire(out)) {
		t.Errorf("%v, counted %g, sent %q", err, counted(t, e), n.sent)
	}
	if err := e.to(Place{}).WriteMsg(newResponse(out, netip.MustParseAddrPort("192.0.2.1:1"), 486, "Busy Here", "")); err != nil || counted(t, e) != 1 {
		t.Errorf("an answer of our own: %v, counted %g", err, counted(t, e))
	}
}

// explosive is a counter that can't count.
type explosive struct{ prometheus.Counter }

func (explosive) Add(float64) { panic("+4930123") }

// TestAFaultOfTheTripwireStopsNoMessage.
func TestAFaultOfTheTripwireStopsNoMessage(t *testing.T) {
	_, out := relayedInvite(t)
	out.ReplaceHeader(sip.NewHeader("x-odd", "3"))
	n, faults := &nowhere{}, 0
	e := newWatched(n)
	e.mutated, e.reject = explosive{}, func(string) { faults++ }
	if err := e.to(Place{}).WriteMsg(out); err != nil || len(n.sent) == 0 || faults != 1 {
		t.Errorf("%v, sent %q, %d faults", err, n.sent, faults)
	}
}

func newWatched(s socket) *endpoint {
	return &endpoint{sock: s, transport: "udp", mutated: prometheus.NewCounter(prometheus.CounterOpts{Name: "mutations"}), log: slog.New(slog.DiscardHandler)}
}

func counted(t testing.TB, e *endpoint) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(e.mutated)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func BenchmarkTripwire(b *testing.B) {
	_, out := relayedInvite(b)
	sent := wire(out)
	e := newWatched(nil)
	b.ReportAllocs()
	for b.Loop() {
		e.watch(out, sent)
	}
	if counted(b, e) != 0 {
		b.Error("it fired")
	}
}

// TestTheTripwireLooksIntoMultipartBodies: the description in one may differ as
// any, and its part's length with it; what stands round it may not.
func TestTheTripwireLooksIntoMultipartBodies(t *testing.T) {
	const sdp = "v=0\r\nc=IN IP4 203.0.113.5\r\nm=audio 4000 RTP/AVP 0\r\na=ptime:20\r\n"
	body := filled("--b\nContent-Length: 63\nContent-Type: application/sdp\n\nSDP\n--b\nContent-Type: application/ISUP\n\nv=0\n--b--\n", sdp)
	o := &ancestor{head: "INVITE sip:a@b SIP/2.0\r\nContent-Type: multipart/mixed;boundary=b\r\n", body: body}
	good := strings.NewReplacer("4000", "20000", "203.0.113.5", "192.0.2.1", "Length: 63", "Length: 62").Replace(body)
	if !o.sameBody(good) {
		t.Errorf("a description of ours differs too much:\n%s", good)
	}
	for _, c := range [][2]string{{"ptime:20", "ptime:30"}, {"ISUP", "isup"}, {"Length: 62", "Length: 63"}, {"\r\nv=0\r\n--b--", "\r\nv=1\r\n--b--"}, {"--b--\r\n", "--b--"}} {
		if bad := strings.Replace(good, c[0], c[1], 1); bad == good || o.sameBody(bad) {
			t.Errorf("%q for %q isn't noticed", c[1], c[0])
		}
	}
}
