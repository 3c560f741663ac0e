package chaos

import (
	"fmt"
	"time"
)

const (
	t1 = 500 * time.Millisecond // RFC 3261 section 17.1.1.1
	t2 = 4 * time.Second
)

// request is one that a party has sent: a client transaction.
type request struct {
	end         *end
	method      string
	branch      string
	cseq        uint32
	text        string
	begun       time.Time
	provisional bool
	final       *message
	cancel      bool // it shall be cancelled once that is allowed
	cancelled   bool
	on          func(*message) // its final response, once
	settled
}

// settled is whether something that went on does so no more.
type settled struct {
	crowd *Crowd
	is    bool
}

func (c *Crowd) unsettled() settled {
	c.open++
	return settled{crowd: c}
}

func (s *settled) settle() {
	if s.crowd != nil && !s.is {
		s.is = true
		s.crowd.open--
	}
}

// send sends a new request; on gets its final response.
func (e *end) send(method, body, kind string, on func(*message)) *request {
	e.cseq++
	e.call.branches++
	r := &request{end: e, method: method, cseq: e.cseq, begun: time.Now(), on: on,
		branch: fmt.Sprintf("z9hG4bK%s-%d", e.call.id, e.call.branches)}
	r.text = e.compose(method, r.branch, r.cseq, body, kind)
	e.requests = append(e.requests, r)
	e.call.crowd.report.Requests++
	r.transmit()
	return r
}

// compose makes a request of this party.
func (e *end) compose(method, branch string, cseq uint32, body, kind string) string {
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=%s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <%s>\r\n%s%s",
		method, e.target(), e.place.addr, branch, e.local, e.remote, e.call.id, cseq, method, e.contact(), e.supported(), tail(body, kind))
}

// transmit sends it until it is answered.
func (r *request) transmit() {
	crowd := r.end.call.crowd
	r.settled = crowd.unsettled()
	wait := t1
	var again func()
	again = func() {
		switch {
		case r.final != nil:
			return
		case time.Since(r.begun) > crowd.patience:
			r.settle()
			if !r.end.gone {
				crowd.report.Unanswered = append(crowd.report.Unanswered, r.end.call.told(fmt.Sprintf("%d %s", r.cseq, r.method), r.end))
			}
			return
		case r.method != "INVITE" || !r.provisional:
			r.end.call.transmit(r.end.place, r.text)
		}
		crowd.after(wait, again)
		wait = min(2*wait, t2) // of an INVITE longer by RFC 3261; the end of patience must be seen
	}
	again()
}

// answered takes a response to it.
func (r *request) answered(m *message) {
	if m.status < 200 {
		r.provisional = true
		if r.cancel {
			r.sendCancel()
		}
		return
	}
	if r.method == "INVITE" && m.status >= 300 { // RFC 3261 section 17.1.1.3
		ack := *r.end
		ack.remote = m.to
		r.end.call.transmit(r.end.place, ack.compose("ACK", r.branch, r.cseq, "", ""))
	}
	first := r.final == nil
	r.final = m
	r.settle()
	if r.method == "INVITE" && m.status < 300 {
		r.end.acknowledge(r, m)
	}
	if first && r.on != nil {
		r.on(m)
	}
}

// giveUp cancels it, as soon as that is allowed (RFC 3261 section 9.1).
func (r *request) giveUp() {
	r.cancel = true
	if r.provisional && r.final == nil {
		r.sendCancel()
	}
}

func (r *request) sendCancel() {
	if r.cancelled {
		return
	}
	r.cancelled = true
	e := r.end
	c := &request{end: e, method: "CANCEL", branch: r.branch, cseq: r.cseq, begun: time.Now()}
	was := e.remote
	e.remote = r.to()
	c.text = e.compose("CANCEL", r.branch, r.cseq, "", "")
	e.remote = was
	e.requests = append(e.requests, c)
	e.call.crowd.report.Requests++
	c.transmit()
}

// served is a request that came to a party: a server transaction.
type served struct {
	end   *end
	req   *message
	last  string // the latest response
	final int
	acked bool
	settled
}

// reply answers; a final response to an INVITE is repeated until its ACK.
func (s *served) reply(status int, body string) {
	if s.final != 0 || s.end.gone {
		return
	}
	to := s.req.to
	if !tagged(to) {
		to += ";tag=" + s.end.tag
	}
	s.last = s.req.reply(status, to, fmt.Sprintf("Contact: <%s>\r\n%s", s.end.contact(), s.end.supported()), body)
	if status < 200 || s.req.method != "INVITE" {
		if status >= 200 {
			s.final = status
		}
		s.end.call.transmit(s.end.place, s.last)
		return
	}
	s.final = status
	crowd, begun, wait := s.end.call.crowd, time.Now(), t1
	s.settled = crowd.unsettled()
	var again func()
	again = func() {
		switch {
		case s.acked:
			return
		case s.end.gone:
			s.settle()
			return
		case time.Since(begun) > crowd.patience:
			s.settle()
			crowd.report.Unacknowledged = append(crowd.report.Unacknowledged, s.end.call.told(fmt.Sprintf("%d to %d INVITE", status, s.req.cseq), s.end))
			return
		}
		s.end.call.transmit(s.end.place, s.last)
		crowd.after(wait, again)
		wait = min(2*wait, t2)
	}
	again()
}
