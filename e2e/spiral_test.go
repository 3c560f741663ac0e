package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// spiral is a PBX that sends a call back out as a proxy would: the same Call-ID
// and tags go through the gate twice.
type spiral struct {
	t            *testing.T
	carrier, pbx *actor
}

func (s *spiral) next(a *actor, want string) sip.Message {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	m, err := a.next(ctx)
	if err != nil || what(m) != want {
		got := "nothing"
		if err == nil {
			got = what(m)
		}
		s.t.Fatalf("%s got %s, want %s", a.name, got, want)
	}
	return m
}

// pass sends a request on with another target and a Via of the sender's.
func (s *spiral) pass(a *actor, in *sip.Request, uri string) {
	s.t.Helper()
	m := &message{start: string(in.Method) + " " + uri + " SIP/2.0", body: in.Body()}
	m.add("Via: SIP/2.0/UDP %s;branch=z9hG4bK%s", a.addr(), token())
	m.add("Max-Forwards: 60")
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		m.add("%s: %s", name, in.GetHeader(name).Value())
	}
	m.add("Contact: <sip:%s@%s>", a.name, a.addr())
	if len(m.body) > 0 {
		m.add("Content-Type: application/sdp")
	}
	s.write(a, m)
}

// answer answers a request; to is the To value to use, "" the request's.
func (s *spiral) answer(a *actor, req *sip.Request, to string, sdp bool) {
	s.t.Helper()
	m := &message{start: "SIP/2.0 200 OK"}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		v := req.GetHeader(name).Value()
		if name == "To" && to != "" {
			v = to
		}
		m.add("%s: %s", name, v)
	}
	m.add("Contact: <sip:%s@%s>", a.name, a.addr())
	if sdp {
		a.body(m, "sdp")
	}
	s.write(a, m)
}

func (s *spiral) write(a *actor, m *message) {
	s.t.Helper()
	if err := a.write(m.String()); err != nil {
		s.t.Fatal(err)
	}
}

// TestASpiralIsTwoCalls: the same Call-ID through the gate twice. Each message
// goes the way of its own pass, and both calls end.
func TestASpiralIsTwoCalls(t *testing.T) {
	t.Parallel()
	s := &spiral{t: t}
	for name, to := range map[string]**actor{"carrier": &s.carrier, "pbx": &s.pbx} {
		a, err := newActor(name, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		*to = a
	}
	g := startGate(t, setup{carrierPeer: s.carrier.addr(), pbxPeer: s.pbx.addr(), policies: "  - {name: all, action: bypass}\n"})
	s.carrier.gate, s.pbx.gate = netip.MustParseAddrPort(g.Carrier), netip.MustParseAddrPort(g.PBX)
	if err := s.carrier.request("INVITE", "100", "sdp", nil); err != nil {
		t.Fatal(err)
	}
	caller := s.carrier.local // the actor is called, too, and would forget it
	first := s.next(s.pbx, "INVITE").(*sip.Request)
	s.pass(s.pbx, first, "sip:spiral@"+g.PBX)
	second := s.next(s.carrier, "INVITE").(*sip.Request)
	if second.CallID().Value() != first.CallID().Value() || second.From().Value() != first.From().Value() ||
		!strings.HasPrefix(second.Recipient.String(), "sip:spiral@") {
		t.Errorf("it isn't the same dialog that came back: %s", second)
	}
	to := second.To().Value() + ";tag=callee"
	s.answer(s.carrier, second, to, true)
	s.next(s.carrier, "ACK")
	out := s.next(s.pbx, "200 INVITE")
	ack := sip.NewRequest(sip.ACK, first.Recipient)
	for _, h := range []sip.Header{first.From(), sip.NewHeader("To", to), first.CallID()} {
		ack.AppendHeader(h)
	}
	ack.AppendHeader(sip.NewHeader("CSeq", fmt.Sprintf("%d ACK", first.CSeq().SeqNo)))
	s.pass(s.pbx, ack, out.(*sip.Response).Contact().Address.String())
	s.answer(s.pbx, first, to, true)
	s.next(s.pbx, "ACK")
	back := s.next(s.carrier, "200 INVITE").(*sip.Response)
	s.carrier.local = caller
	s.carrier.remote, s.carrier.target = back.To().Value(), back.Contact().Address.String()
	for _, method := range []string{"ACK", "BYE"} {
		if err := s.carrier.request(method, "", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	bye := s.next(s.pbx, "BYE").(*sip.Request)
	s.pass(s.pbx, bye, out.(*sip.Response).Contact().Address.String())
	s.answer(s.carrier, s.next(s.carrier, "BYE").(*sip.Request), "", false)
	s.next(s.pbx, "200 BYE")
	s.answer(s.pbx, bye, "", false)
	s.next(s.carrier, "200 BYE")
	g.until("both calls are over", func() bool {
		return g.metric("calls_active") == 0 && g.metric(`calls_total{direction="inbound"`) == 1 && g.metric(`calls_total{direction="outbound"`) == 1
	})
	if v := g.metric("sip_unexpected_total"); v != 0 {
		t.Errorf("%v unexpected events", v)
	}
}
