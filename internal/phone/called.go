package phone

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// incoming notes the INVITE that came.
func (c *Call) incoming(req *sip.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invite, c.tag = req, token()
	c.dialog.remote = req.From().Value()
	c.dialog.local = req.To().Value() + ";tag=" + c.tag
	if h := req.Contact(); h != nil {
		c.dialog.target = h.Address
	}
	c.events = append(c.events, Event{time.Now(), "is called"})
}

// Ring answers 180.
func (c *Call) Ring() {
	c.Note("rings")
	c.phone.answer(c.invite, c.peer, 180, "Ringing", c.tag, nil)
}

// conclude gives the INVITE its one final response; false if it has one.
func (c *Call) conclude() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final {
		return false
	}
	c.final = true
	return true
}

// Reject refuses the call, and waits for the ACK.
func (c *Call) Reject(ctx context.Context, status int, reason string) error {
	if !c.conclude() {
		return errAnswered
	}
	defer c.over(reason)
	return c.untilAck(ctx, c.phone.answer(c.invite, c.peer, status, reason, c.tag, nil))
}

var errAnswered = errors.New("the call was answered or cancelled already")

// Answer takes the call and waits for its ACK.
func (c *Call) Answer(ctx context.Context) error {
	if !c.conclude() {
		return errAnswered
	}
	c.Media.Apply(c.invite.Body())
	c.Note("answers")
	return c.untilAck(ctx, c.phone.answer(c.invite, c.peer, 200, "OK", c.tag, c.Media.Describe("sendrecv")))
}

// untilAck repeats a final response until its ACK comes (RFC 3261 section
// 13.3.1.4).
func (c *Call) untilAck(ctx context.Context, final []byte) error {
	for again := t1; ; again = min(2*again, t2) {
		select {
		case <-c.acked:
			return nil
		case <-c.ended:
			return errors.New("the call ended before its ACK")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
			c.phone.write(final, c.peer)
		}
	}
}

// gotAck takes an ACK; that of the first INVITE ends its repetitions. The answer
// may come in it.
func (c *Call) gotAck(ack *sip.Request) {
	c.Media.Apply(ack.Body())
	if c.invite != nil && ack.CSeq().SeqNo == c.invite.CSeq().SeqNo {
		c.ackOnce.Do(func() { close(c.acked) })
	}
}

// request takes one within the call, on the reader's goroutine.
func (c *Call) request(req *sip.Request, from netip.AddrPort) {
	switch req.Method {
	case sip.BYE:
		c.phone.answer(req, from, 200, "OK", c.tag, nil)
		c.over("the other side hung up")
	case sip.CANCEL:
		c.phone.answer(req, from, 200, "OK", c.tag, nil)
		if c.invite != nil && c.conclude() {
			c.Note("the caller gives up")
			final := c.phone.answer(c.invite, c.peer, 487, "Request Terminated", c.tag, nil)
			c.phone.workers.Go(func() { c.cancelled(final) })
		}
	case sip.INVITE, sip.UPDATE:
		c.Note("gets a new offer")
		c.Media.Apply(req.Body())
		c.phone.answer(req, from, 200, "OK", "", c.Media.Describe(answerTo(string(req.Body()))))
	default:
		c.Note("gets " + string(req.Method))
		c.phone.answer(req, from, 200, "OK", "", nil)
	}
}

func (c *Call) cancelled(final []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), givingUp)
	defer cancel()
	_ = c.untilAck(ctx, final) // the caller is gone: nobody is left to tell
	c.over("the caller gave up")
}

// answerTo is the direction that answers an offer's (RFC 3264 section 6.1).
func answerTo(offer string) string {
	switch describe([]byte(offer)).direction {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	case "inactive":
		return "inactive"
	}
	return "sendrecv"
}
