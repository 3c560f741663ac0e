package phone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Call is one call of a phone.
type Call struct {
	phone  *Phone
	id     string
	Media  *Media
	peer   netip.AddrPort
	invite *sip.Request // the one that set it up, sent or received

	mu       sync.Mutex
	local    string // our From or To value, with tag
	remote   string // theirs
	target   sip.Uri
	cseq     uint32
	version  int
	ack      *sip.Request
	events   []Event
	ended    chan struct{}
	acked    chan struct{}
	why      string
	hangOnce sync.Once
	ackOnce  sync.Once
}

// Event is something that happened to a call, as its user saw it.
type Event struct {
	At   time.Time
	What string
}

func (p *Phone) newCall(id string, peer netip.AddrPort) (*Call, error) {
	m, err := NewMedia(p.ip)
	if err != nil {
		return nil, err
	}
	c := &Call{phone: p, id: id, Media: m, peer: peer, ended: make(chan struct{}), acked: make(chan struct{}), cseq: 1}
	p.mu.Lock()
	p.calls[id] = c
	p.mu.Unlock()
	return c, nil
}

// Note adds to the call's timeline.
func (c *Call) Note(what string) {
	c.mu.Lock()
	c.events = append(c.events, Event{time.Now(), what})
	c.mu.Unlock()
}

// Events is the timeline so far.
func (c *Call) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events...)
}

// Refused is the error of a call that was answered with a failure.
type Refused struct {
	Status int
	Reason string
}

func (r *Refused) Error() string { return fmt.Sprintf("%d %s", r.Status, r.Reason) }

// Dial calls a number by way of the server there. It returns when the call is
// answered, refused, or ctx ends; then it is cancelled.
func (p *Phone) Dial(ctx context.Context, via netip.AddrPort, number string) (*Call, error) {
	c, err := p.newCall(token()+"@"+p.ip.String(), via)
	if err != nil {
		return nil, err
	}
	var uri sip.Uri
	if err := sip.ParseUri("sip:"+number+"@"+via.String(), &uri); err != nil {
		return nil, err
	}
	c.local = "<sip:" + p.Name + "@" + p.Addr().String() + ">;tag=" + token()
	c.remote = "<sip:" + number + "@" + via.String() + ">"
	c.target = uri
	req := c.newRequest(sip.INVITE, c.Media.Describe("sendrecv", &c.version))
	c.invite = req
	c.Note("calls " + number)
	stop := context.AfterFunc(ctx, func() { c.cancel(req) })
	defer stop()
	res, err := p.transact(req, via, 40*time.Second, func(res *sip.Response) {
		if res.StatusCode == 180 {
			c.Note("hears it ring")
		}
	})
	if err != nil {
		c.over(err.Error())
		return nil, err
	}
	if res.StatusCode >= 300 {
		p.send(c.failAck(req, res), via)
		c.over(fmt.Sprintf("%d %s", res.StatusCode, res.Reason))
		return nil, &Refused{res.StatusCode, res.Reason}
	}
	c.answered(res)
	c.Note("is answered")
	return c, nil
}

// request0 makes a request of this call.
func (c *Call) newRequest(method sip.RequestMethod, body []byte) *sip.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.phone
	req := sip.NewRequest(method, c.target)
	req.AppendHeader(sip.NewHeader("Via", "SIP/2.0/UDP "+p.Addr().String()+";branch=z9hG4bK"+token()+";rport"))
	req.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	req.AppendHeader(sip.NewHeader("From", c.local))
	req.AppendHeader(sip.NewHeader("To", c.remote))
	req.AppendHeader(sip.NewHeader("Call-ID", c.id))
	req.AppendHeader(sip.NewHeader("CSeq", strconv.Itoa(int(c.cseq))+" "+string(method)))
	req.AppendHeader(sip.NewHeader("Contact", "<sip:"+p.Name+"@"+p.Addr().String()+">"))
	req.AppendHeader(sip.NewHeader("User-Agent", "consentgate-phone"))
	if body != nil {
		req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	req.SetBody(body)
	c.cseq++
	return req
}

// answered takes a 2xx: the dialog stands, the ACK goes out, media begins.
func (c *Call) answered(res *sip.Response) {
	c.mu.Lock()
	c.remote = res.To().Value()
	if h := res.Contact(); h != nil {
		c.target = h.Address
	}
	c.mu.Unlock()
	c.Media.Apply(res.Body())
	ack := c.newRequest(sip.ACK, nil)
	c.mu.Lock()
	c.cseq-- // an ACK has its INVITE's number
	ack.ReplaceHeader(sip.NewHeader("CSeq", strconv.Itoa(int(res.CSeq().SeqNo))+" ACK"))
	c.ack = ack
	c.mu.Unlock()
	c.repeatAck()
}

func (c *Call) repeatAck() {
	c.mu.Lock()
	ack := c.ack
	c.mu.Unlock()
	if ack != nil {
		c.phone.send(ack, c.peer)
	}
}

// failAck acknowledges a failure: the INVITE's Via, the response's To.
func (c *Call) failAck(invite *sip.Request, res *sip.Response) *sip.Request {
	ack := sip.NewRequest(sip.ACK, invite.Recipient)
	for _, h := range invite.Headers() {
		switch strings.ToLower(h.Name()) {
		case "via", "from", "call-id", "max-forwards":
			ack.AppendHeader(h)
		case "cseq":
			ack.AppendHeader(sip.NewHeader("CSeq", strconv.Itoa(int(invite.CSeq().SeqNo))+" ACK"))
		}
	}
	ack.AppendHeader(sip.NewHeader("To", res.To().Value()))
	ack.SetBody(nil)
	return ack
}

func (c *Call) cancel(invite *sip.Request) {
	cancel := sip.NewRequest(sip.CANCEL, invite.Recipient)
	for _, h := range invite.Headers() {
		switch strings.ToLower(h.Name()) {
		case "via", "from", "to", "call-id", "max-forwards":
			cancel.AppendHeader(h)
		case "cseq":
			cancel.AppendHeader(sip.NewHeader("CSeq", strconv.Itoa(int(invite.CSeq().SeqNo))+" CANCEL"))
		}
	}
	cancel.SetBody(nil)
	c.Note("gives up")
	c.phone.send(cancel, c.peer)
}

// incoming notes the INVITE that came.
func (c *Call) incoming(req *sip.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invite = req
	c.remote = req.From().Value()
	c.local = req.To().Value() + ";tag=" + token()
	if h := req.Contact(); h != nil {
		c.target = h.Address
	}
	c.events = append(c.events, Event{time.Now(), "is called"})
}

func (c *Call) tag() string {
	_, tag, _ := strings.Cut(c.local, ";tag=")
	return tag
}

// Ring answers 180.
func (c *Call) Ring() {
	c.Note("rings")
	c.phone.answer(c.invite, c.peer, 180, "Ringing", c.tag(), nil)
}

// Reject refuses the call.
func (c *Call) Reject(status int, reason string) {
	c.phone.answer(c.invite, c.peer, status, reason, c.tag(), nil)
	c.over(reason)
}

// Answer takes the call and waits for its ACK, repeating the 200 meanwhile.
func (c *Call) Answer(ctx context.Context) error {
	c.Media.Apply(c.invite.Body())
	c.Note("answers")
	again := 500 * time.Millisecond
	for {
		c.phone.answer(c.invite, c.peer, 200, "OK", c.tag(), c.Media.Describe("sendrecv", &c.version))
		select {
		case <-c.acked:
			return nil
		case <-c.ended:
			return errors.New("the call ended before its ACK")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
			again = min(2*again, 4*time.Second)
		}
	}
}

func (c *Call) gotAck() { c.ackOnce.Do(func() { close(c.acked) }) }

// request takes one within the call.
func (c *Call) request(req *sip.Request, from netip.AddrPort) {
	switch req.Method {
	case sip.BYE:
		c.phone.answer(req, from, 200, "OK", "", nil)
		c.over("the other side hung up")
	case sip.CANCEL:
		c.phone.answer(req, from, 200, "OK", c.tag(), nil)
		c.phone.answer(c.invite, c.peer, 487, "Request Terminated", c.tag(), nil)
		c.over("the caller gave up")
	case sip.INVITE, sip.UPDATE:
		direction := answerTo(string(req.Body()))
		c.Media.Apply(req.Body())
		c.phone.answer(req, from, 200, "OK", "", c.Media.Describe(direction, &c.version))
	default:
		c.phone.answer(req, from, 200, "OK", "", nil)
	}
}

// answerTo is the direction that answers an offer's (RFC 3264 section 6.1).
func answerTo(offer string) string {
	switch {
	case strings.Contains(offer, "a=sendonly"):
		return "recvonly"
	case strings.Contains(offer, "a=inactive"):
		return "inactive"
	}
	return "sendrecv"
}

// Hold sends a re-INVITE with a direction: sendonly holds, sendrecv resumes.
func (c *Call) Hold(direction string) error {
	c.Note("re-INVITE " + direction)
	res, err := c.phone.transact(c.newRequest(sip.INVITE, c.Media.Describe(direction, &c.version)), c.peer, 35*time.Second, nil)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return &Refused{res.StatusCode, res.Reason}
	}
	c.answered(res)
	return nil
}

// Press presses a key for 100 ms.
func (c *Call) Press(key byte) {
	c.Note("presses " + string(rune(key)))
	c.Media.Press(key, 100*time.Millisecond)
}

// Hangup ends the call.
func (c *Call) Hangup() error {
	select {
	case <-c.ended:
		return nil
	default:
	}
	c.Note("hangs up")
	_, err := c.phone.transact(c.newRequest(sip.BYE, nil), c.peer, 10*time.Second, nil)
	c.over("hung up")
	return err
}

// over ends the call here.
func (c *Call) over(why string) {
	c.hangOnce.Do(func() {
		c.mu.Lock()
		c.why = why
		c.mu.Unlock()
		c.Note("the call is over: " + why)
		c.Media.Close()
		close(c.ended)
	})
}

// Ended is closed when the call is over.
func (c *Call) Ended() <-chan struct{} { return c.ended }

// ID is the call's Call-ID.
func (c *Call) ID() string { return c.id }
