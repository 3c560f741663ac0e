package scenario

import (
	"fmt"
	"time"
)

// Spiral plays what a file can't say: a PBX that sends a call back out as a proxy
// would, so that the same Call-ID and tags go through the gate twice. Each
// message must go the way of its own pass, and both calls must end.
func Spiral(start Start) error {
	p := &player{actors: map[string]*actor{}, settings: Settings{Prompt: 5 * time.Second}, start: time.Now()}
	defer p.close()
	// Both passes have the same Call-ID and CSeq, so that messages can't be
	// matched with their origins as in a scenario.
	unmatched := func(*actor, *message) error { return nil }
	for _, name := range []string{"carrier", "pbx"} {
		a, err := newActor(name, "127.0.0.1", p.note, unmatched)
		if err != nil {
			return err
		}
		p.actors[name] = a
	}
	if err := p.begin(start); err != nil {
		return err
	}
	s := &spiral{player: p, carrier: p.actors["carrier"], pbx: p.actors["pbx"]}
	s.play()
	if s.err == nil {
		for series, want := range map[string]string{"calls_active": "0", `calls_total{direction="inbound"`: "1", `calls_total{direction="outbound"`: "1"} {
			if err := p.metric([]string{series, want}); err != nil {
				return fmt.Errorf("%s: %w\n%s", series, err, p.text())
			}
		}
		return p.finish()
	}
	return fmt.Errorf("%w\n%s", s.err, p.text())
}

// spiral keeps the first error; after it nothing is done.
type spiral struct {
	*player
	carrier, pbx *actor
	err          error
}

func (s *spiral) play() {
	s.try(s.carrier.request("INVITE", "100", options{sdp: "sendrecv"}))
	caller := s.carrier.local // the carrier is called, too, and would forget it
	first := s.next(s.pbx, "INVITE")
	s.pass(first, "sip:spiral@"+s.pbx.gate.String())
	second := s.next(s.carrier, "INVITE")
	if s.err == nil && (second.get("Call-ID") != first.get("Call-ID") || second.get("From") != first.get("From") ||
		second.uri() != "sip:spiral@"+s.pbx.gate.String()) {
		s.try(fmt.Errorf("it isn't the same dialog that came back: %s", second))
	}
	to := second.get("To") + ";tag=callee"
	s.answer(s.carrier, second, to, true)
	s.next(s.carrier, "ACK")
	out := s.next(s.pbx, "200 INVITE")
	ack := &message{start: "ACK - SIP/2.0"}
	for _, h := range [][2]string{{"From", first.get("From")}, {"To", to}, {"Call-ID", first.get("Call-ID")}, {"CSeq", "1 ACK"}} {
		ack.add(h[0], h[1])
	}
	s.pass(ack, address(out.get("Contact")))
	s.answer(s.pbx, first, to, true)
	s.next(s.pbx, "ACK")
	back := s.next(s.carrier, "200 INVITE")
	s.carrier.local, s.carrier.cseq = caller, 1
	s.carrier.remote, s.carrier.target = back.get("To"), address(back.get("Contact"))
	s.try(s.carrier.request("ACK", "", options{}))
	s.try(s.carrier.request("BYE", "", options{}))
	bye := s.next(s.pbx, "BYE")
	s.pass(bye, address(out.get("Contact")))
	s.answer(s.carrier, s.next(s.carrier, "BYE"), "", false)
	s.next(s.pbx, "200 BYE")
	s.answer(s.pbx, bye, "", false)
	s.next(s.carrier, "200 BYE")
}

func (s *spiral) try(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *spiral) next(a *actor, want string) *message {
	nothing := &message{start: "- - -"}
	if s.err != nil {
		return nothing
	}
	ctx, cancel := within(stepTime)
	defer cancel()
	m, err := a.next(ctx)
	if err == nil && m.kind() != want {
		err = fmt.Errorf("%s got %s, not %s", a.name, m.kind(), want)
	}
	if err != nil {
		s.try(err)
		return nothing
	}
	return m
}

// pass sends the PBX's copy of a request on, as a proxy does.
func (s *spiral) pass(in *message, uri string) {
	if s.err != nil {
		return
	}
	m := &message{start: in.method() + " " + uri + " SIP/2.0", body: in.body}
	m.add("Via", "SIP/2.0/UDP "+s.pbx.addr().String()+";branch=z9hG4bK"+token())
	m.add("Max-Forwards", "60")
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		m.add(name, in.get(name))
	}
	m.add("Contact", "<"+s.pbx.contact()+">")
	if m.body != "" {
		m.add("Content-Type", "application/sdp")
	}
	s.try(s.pbx.send(m))
}

// answer answers 200; to is the To to use, "" the request's.
func (s *spiral) answer(a *actor, req *message, to string, sdp bool) {
	if s.err != nil {
		return
	}
	m := &message{start: "SIP/2.0 200 OK"}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		m.add(name, req.get(name))
	}
	if to != "" {
		m.set("To", to)
	}
	m.add("Contact", "<"+a.contact()+">")
	if sdp {
		m.body = string(a.media.Describe("sendrecv"))
		m.add("Content-Type", "application/sdp")
	}
	s.try(a.send(m))
}
