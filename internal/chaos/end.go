package chaos

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// end is one party of a call.
type end struct {
	call          *call
	place         *place
	local, remote string // From and To of its requests
	tag           string // of a callee
	far           string // the gate's Contact
	cseq          uint32
	requests      []*request
	served        map[string]*served // by branch and method
	invite        *served            // that it was called by
	connected     bool
	over          bool // it hung up, or was hung up on
	gone          bool // it hears and says nothing any more
	port          int  // where its RTP goes
}

func (e *end) name() string {
	if e == e.call.caller {
		return "caller"
	}
	return "callee"
}

func (e *end) contact() string { return "sip:party@" + e.place.addr }

// supported is a header, or nothing.
func (e *end) supported() string {
	i := 0
	if e == e.call.callee {
		i = 1
	}
	if !e.call.plan.aware[i] {
		return ""
	}
	return "Supported: record-aware\r\n"
}

func (e *end) target() string {
	if e.far != "" {
		return e.far
	}
	return fmt.Sprintf("sip:%s@%s", e.call.plan.number, e.place.gate)
}

// to is the To value of an INVITE as it was sent.
func (r *request) to() string {
	_, rest, _ := strings.Cut(r.text, "\r\nTo: ")
	to, _, _ := strings.Cut(rest, "\r\n")
	return to
}

func (e *end) sdp() string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0 101\r\n"+
		"a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n", e.place.mediaPort)
}

// begin makes the call.
func (k *call) begin() {
	k.crowd.after(k.plan.giveUp+8*time.Second, func() { // whatever became of it, it ends here
		k.caller.hangUp()
		k.callee.hangUp()
		k.crowd.open--
	})
	body := k.caller.sdp()
	if k.plan.late {
		body = ""
	}
	e := k.caller
	invite := e.send("INVITE", body, "application/sdp", func(m *message) {
		switch {
		case m.status < 300:
			k.crowd.report.Answered++
		case m.status == 487:
			k.crowd.report.Cancelled++
			e.over = true
		default:
			k.crowd.report.Refused++
			e.over = true
		}
	})
	k.crowd.after(k.plan.giveUp, func() {
		if invite.final != nil {
			return
		}
		if k.plan.giveUpBye && tagged(e.remote) {
			e.hangUp()
			return
		}
		invite.giveUp()
	})
}

// acknowledge takes a 2xx to an INVITE of ours.
func (e *end) acknowledge(r *request, m *message) {
	if m.contact != "" {
		e.far = m.contact
	}
	e.remote = m.to
	if e.call.plan.neverAcks && r.cseq == 1 {
		e.connect(m)
		return
	}
	if e.call.plan.acksLost > 0 && r.cseq == 1 {
		e.call.plan.acksLost--
		return
	}
	body := ""
	if strings.Contains(r.text, "Content-Length: 0") { // the offer was in the 2xx
		body = e.sdp()
	}
	e.call.branches++
	e.call.transmit(e.place, e.compose("ACK", fmt.Sprintf("z9hG4bK%s-%d", e.call.id, e.call.branches), r.cseq, body, "application/sdp"))
	e.connect(m)
	if r.cancel && r.cseq == 1 { // it crossed the CANCEL
		e.hangUp()
	}
}

// connect begins what a party does in mid-call.
func (e *end) connect(m *message) {
	if port := mediaPort(m.body); port != 0 {
		e.port = port
	}
	if e.connected {
		return
	}
	e.connected = true
	plan := e.call.plan
	caller := e == e.call.caller
	for _, a := range plan.acts {
		if a.caller == caller {
			e.call.crowd.after(a.after, func() { e.act(a) })
		}
	}
	if caller && plan.byeCaller || !caller && plan.byeCallee {
		e.call.crowd.after(plan.talk, e.hangUp)
	}
	if plan.media {
		e.speak(0)
	}
}

// act does one thing in mid-call, as if the other side did nothing.
func (e *end) act(a act) {
	if e.over || e.gone {
		return
	}
	switch a.method {
	case "INFO":
		e.send("INFO", "Signal="+a.key+"\r\nDuration=160\r\n", "application/dtmf-relay", nil)
	case "INVITE", "INVITE late", "INVITE cancelled":
		for _, r := range e.requests {
			if r.method == "INVITE" && r.final == nil {
				return // RFC 3261 section 14.1
			}
		}
		body := e.sdp()
		if a.method == "INVITE late" {
			body = ""
		}
		r := e.send("INVITE", body, "application/sdp", nil)
		if a.method == "INVITE cancelled" {
			r.giveUp()
		}
	case "UPDATE":
		e.send("UPDATE", e.sdp(), "application/sdp", nil)
	default:
		e.send(a.method, "", "", nil)
	}
}

// hangUp ends what there is of the call for this party.
func (e *end) hangUp() {
	if e.over || e.gone || !e.connected && !tagged(e.remote) {
		return
	}
	e.over = true
	e.send("BYE", "", "", nil)
}

// speak sends a packet of speech, and another 20 ms later.
func (e *end) speak(n uint16) {
	if e.over || e.gone || n > 50 {
		return
	}
	packet := make([]byte, 172)
	packet[0], packet[2], packet[3], packet[11] = 0x80, byte(n>>8), byte(n), 42
	ts := uint32(n) * 160
	packet[4], packet[5], packet[6], packet[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
	if e.port != 0 {
		_, _ = e.place.rtp.WriteToUDP(packet, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: e.port}) // lost, then
	}
	e.call.crowd.after(20*time.Millisecond, func() { e.speak(n + 1) })
}

// take takes a message.
func (e *end) take(m *message) {
	if e.gone {
		return
	}
	if m.status != 0 {
		e.takeResponse(m)
		return
	}
	key := m.branch() + m.method
	switch s := e.served[key]; {
	case m.method == "ACK":
		e.takeAck(m)
	case s != nil:
		if s.last != "" {
			e.call.transmit(e.place, s.last)
		}
	default:
		s = &served{end: e, req: m}
		e.served[key] = s
		e.serve(s)
	}
}

func (e *end) takeResponse(m *message) {
	if e == e.call.caller && tagged(m.to) && !e.connected {
		e.remote = m.to
		if m.contact != "" {
			e.far = m.contact
		}
	}
	for _, r := range e.requests {
		if r.branch == m.branch() && r.method == m.of {
			r.answered(m)
		}
	}
}

func (e *end) takeAck(m *message) {
	for _, s := range e.served {
		if s.req.method == "INVITE" && s.req.cseq == m.cseq && s.final != 0 {
			s.acked = true
			s.settle()
			if s == e.invite && s.final < 300 {
				e.connect(s.req)
			}
		}
	}
}

// serve answers a new request.
func (e *end) serve(s *served) {
	switch m := s.req; {
	case m.method == "CANCEL":
		e.cancelled(s)
	case m.method == "INVITE" && !tagged(m.to):
		e.ring(s)
	case m.method == "BYE":
		e.over = true
		s.reply(200, "")
		for _, other := range e.served { // RFC 3261 section 15.1.2
			if other.req.method == "INVITE" {
				other.reply(487, "")
			}
		}
	case e.over:
		s.reply(481, "")
	case m.method == "INVITE":
		e.reoffered(s)
	case m.method == "UPDATE":
		s.reply(200, e.sdp())
	default:
		s.reply(200, "")
	}
}

func (e *end) cancelled(s *served) {
	invite := e.served[s.req.branch()+"INVITE"]
	if invite == nil {
		s.reply(481, "")
		return
	}
	s.reply(200, "")
	if invite.final == 0 && invite == e.invite {
		e.over = true
	}
	invite.reply(487, "")
}

// reoffered answers a re-INVITE after a while, unless one of ours is under way.
func (e *end) reoffered(s *served) {
	for _, r := range e.requests {
		if r.method == "INVITE" && r.final == nil {
			s.reply(491, "")
			return
		}
	}
	if e.call.percent(50) {
		s.reply(100, "")
	}
	e.call.crowd.after(time.Duration(e.call.chance.IntN(120))*time.Millisecond, func() {
		body := ""
		if e.call.plan.reinviteOf == 200 {
			body = e.sdp()
		}
		s.reply(e.call.plan.reinviteOf, body)
	})
}

// ring is what a called party does.
func (e *end) ring(s *served) {
	plan, crowd := e.call.plan, e.call.crowd
	e.invite = s
	e.local, e.remote, e.far = s.req.to+";tag="+e.tag, s.req.from, s.req.contact
	e.cseq = 100
	if plan.vanish > 0 {
		crowd.after(plan.vanish, func() { e.gone = true })
		if plan.vanish == 1 {
			e.gone = true
			return
		}
	}
	if plan.rings {
		crowd.after(plan.ringAfter, func() {
			if plan.early {
				s.reply(183, e.sdp())
			} else {
				s.reply(180, "")
			}
		})
	}
	if plan.answer == 0 {
		return
	}
	crowd.after(plan.ringAfter+plan.answerAfter, func() {
		if plan.answer >= 300 {
			e.over = true
			s.reply(plan.answer, "")
			return
		}
		s.reply(200, e.sdp())
		if port := mediaPort(s.req.body); port != 0 {
			e.port = port
		}
	})
}
