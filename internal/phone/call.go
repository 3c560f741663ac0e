package phone

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Call is one call of a phone. All its methods may be used concurrently.
type Call struct {
	phone *Phone
	Media *Media
	peer  netip.AddrPort
	ended chan struct{}
	acked chan struct{} // the ACK to our final response came

	hangOnce, ackOnce sync.Once

	mu     sync.Mutex
	dialog dialog
	cseq   uint32       // of our latest request
	invite *sip.Request // the one that set it up, if received
	tag    string       // ours, if called
	final  bool         // the invite has its final response
	acks   map[uint32]sip.Message
	events []Event
}

// dialog is what goes into a request (RFC 3261 section 12.2.1.1).
type dialog struct {
	id, local, remote string
	target            sip.Uri
}

// Event is something that happened to a call, as its user saw it.
type Event struct {
	At   time.Time
	What string
}

// Refused is the error of a request that was answered with a failure.
type Refused struct {
	Status int
	Reason string
}

func (r *Refused) Error() string { return fmt.Sprintf("%d %s", r.Status, r.Reason) }

func (p *Phone) newCall(id string, peer netip.AddrPort) (*Call, error) {
	m, err := p.media()
	if err != nil {
		return nil, err
	}
	c := &Call{phone: p, Media: m, peer: peer, ended: make(chan struct{}), acked: make(chan struct{}),
		dialog: dialog{id: id}, acks: map[uint32]sip.Message{}}
	p.mu.Lock()
	p.calls[id] = c
	p.mu.Unlock()
	return c, nil
}

// ID is the call's Call-ID.
func (c *Call) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialog.id
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

// Ended is closed when the call is over.
func (c *Call) Ended() <-chan struct{} { return c.ended }

// over ends the call here.
func (c *Call) over(why string) {
	c.hangOnce.Do(func() {
		c.Note("the call is over: " + why)
		c.Media.Close()
		close(c.ended)
	})
}

// newRequest makes a request of a dialog.
func (p *Phone) newRequest(d *dialog, method sip.RequestMethod, cseq uint32, contentType string, body []byte) *sip.Request {
	req := sip.NewRequest(method, d.target)
	for _, h := range [][2]string{
		{"Via", "SIP/2.0/UDP " + p.Addr().String() + ";branch=z9hG4bK" + token() + ";rport"},
		{"Max-Forwards", "70"},
		{"From", d.local},
		{"To", d.remote},
		{"Call-ID", d.id},
		{"CSeq", strconv.Itoa(int(cseq)) + " " + string(method)},
		{"Contact", "<sip:" + p.Name + "@" + p.Addr().String() + ">"},
		{"User-Agent", "consentgate-phone"},
	} {
		req.AppendHeader(sip.NewHeader(h[0], h[1]))
	}
	if body != nil {
		req.AppendHeader(sip.NewHeader("Content-Type", contentType))
	}
	req.SetBody(body)
	return req
}

const sdpType = "application/sdp"

// next makes this call's next request.
func (c *Call) next(method sip.RequestMethod, contentType string, body []byte) *sip.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cseq++
	return c.phone.newRequest(&c.dialog, method, c.cseq, contentType, body)
}

// derive makes what shares an INVITE's transaction: its CANCEL, or the ACK of
// its failure (RFC 3261 sections 9.1 and 17.1.1.3).
func derive(invite *sip.Request, method sip.RequestMethod, to string) *sip.Request {
	req := sip.NewRequest(method, invite.Recipient)
	for _, h := range invite.Headers() {
		switch strings.ToLower(h.Name()) {
		case "via", "from", "call-id", "max-forwards":
			req.AppendHeader(h)
		}
	}
	req.AppendHeader(sip.NewHeader("To", to))
	req.AppendHeader(sip.NewHeader("CSeq", strconv.Itoa(int(invite.CSeq().SeqNo))+" "+string(method)))
	req.SetBody(nil)
	return req
}

// concluded takes the final response to an INVITE of ours: it is acknowledged,
// and a 2xx makes or changes the dialog.
func (c *Call) concluded(invite *sip.Request, res *sip.Response) {
	seq := invite.CSeq().SeqNo
	if res.StatusCode >= 300 {
		c.acknowledge(seq, derive(invite, sip.ACK, res.To().Value()))
		return
	}
	c.mu.Lock()
	c.dialog.remote = res.To().Value()
	if h := res.Contact(); h != nil {
		c.dialog.target = h.Address
	}
	ack := c.phone.newRequest(&c.dialog, sip.ACK, seq, "", nil)
	c.mu.Unlock()
	c.Media.Apply(res.Body())
	c.acknowledge(seq, ack)
}

func (c *Call) acknowledge(seq uint32, ack sip.Message) {
	c.mu.Lock()
	c.acks[seq] = ack
	c.mu.Unlock()
	c.phone.send(ack, c.peer)
}

// repeatAck is for a final response that came again (RFC 3261 section 13.2.2.4).
func (c *Call) repeatAck(seq uint32) {
	c.mu.Lock()
	ack := c.acks[seq]
	c.mu.Unlock()
	if ack != nil {
		c.phone.send(ack, c.peer)
	}
}

// Press presses a key for 100 ms (RFC 4733) and returns when it is sent.
func (c *Call) Press(key byte) error {
	c.Note("presses " + string(rune(key)))
	return c.Media.Press(key, 100*time.Millisecond)
}

// Hold puts the other side on hold: this side goes on sending, and hears nothing.
func (c *Call) Hold() error { return c.reinvite("holds", "sendonly") }

// Resume takes the other side back.
func (c *Call) Resume() error { return c.reinvite("resumes", "sendrecv") }

func (c *Call) reinvite(what, direction string) error {
	c.Note(what)
	req := c.next(sip.INVITE, sdpType, c.Media.Describe(direction))
	res, err := c.phone.transact(req, c.peer, givingUp, nil)
	if err != nil {
		return err
	}
	c.concluded(req, res)
	if res.StatusCode >= 300 {
		return &Refused{res.StatusCode, res.Reason}
	}
	return nil
}

// Info sends an INFO (RFC 6086) and returns how it was answered.
func (c *Call) Info(contentType, body string) (status int, err error) {
	c.Note("sends an INFO")
	res, err := c.phone.transact(c.next(sip.INFO, contentType, []byte(body)), c.peer, givingUp, nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, nil
}

// Hangup ends the call and waits for the far end's word.
func (c *Call) Hangup() error {
	select {
	case <-c.ended:
		return nil
	default:
	}
	c.Note("hangs up")
	_, err := c.phone.transact(c.next(sip.BYE, "", nil), c.peer, 10*time.Second, nil)
	c.over("hung up")
	return err
}
