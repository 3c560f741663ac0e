package phone

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// ringing is how long a called party may let it ring.
const ringing = 3 * time.Minute

// Dial calls a number by way of the server there. It returns when the call is
// answered or refused (*Refused). When ctx ends first, the call is cancelled, or
// hung up if it was answered meanwhile, and the error is ctx's.
func (p *Phone) Dial(ctx context.Context, via netip.AddrPort, number string) (*Call, error) {
	var uri sip.Uri
	if err := sip.ParseUri("sip:"+number+"@"+via.String(), &uri); err != nil {
		return nil, fmt.Errorf("calling: %w", err)
	}
	c, err := p.newCall(token()+"@"+p.ip.String(), via)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.dialog.local = "<sip:" + p.Name + "@" + p.Addr().String() + ">;tag=" + token()
	c.dialog.remote = "<" + uri.String() + ">"
	c.dialog.target = uri
	c.mu.Unlock()
	c.Note("calls " + number)
	res, err := c.setUp(ctx)
	switch {
	case err != nil:
		c.over(err.Error())
		return nil, err
	case ctx.Err() != nil:
		if res.StatusCode < 300 { // the answer crossed the CANCEL
			_ = c.Hangup() // the call isn't anybody's any more
		}
		c.over("given up")
		return nil, ctx.Err()
	case res.StatusCode >= 300:
		refused := &Refused{res.StatusCode, res.Reason}
		c.over(refused.Error())
		return nil, refused
	}
	c.Note("is answered")
	return c, nil
}

// setUp sends the INVITE, and once more with credentials if it is challenged.
func (c *Call) setUp(ctx context.Context) (*sip.Response, error) {
	body := c.Media.Describe("sendrecv")
	req := c.next(sip.INVITE, sdpType, body)
	for challenged := false; ; challenged = true {
		res, err := c.inviteUntil(ctx, req)
		if err != nil {
			return nil, err
		}
		c.concluded(req, res)
		name, value := c.phone.credentials(req, res)
		if challenged || name == "" || ctx.Err() != nil {
			return res, nil
		}
		c.Note("is asked for its password")
		req = c.next(sip.INVITE, sdpType, body)
		req.AppendHeader(sip.NewHeader(name, value))
	}
}

// inviteUntil sends one INVITE and cancels it when ctx ends, as soon as anything
// has come back (RFC 3261 section 9.1).
func (c *Call) inviteUntil(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	began, done := make(chan struct{}), make(chan struct{})
	var first sync.Once
	var canceller sync.WaitGroup
	canceller.Go(func() {
		for _, ready := range []<-chan struct{}{ctx.Done(), began} {
			select {
			case <-ready:
			case <-done:
				return
			}
		}
		c.Note("gives up")
		_, _ = c.phone.transact(derive(req, sip.CANCEL, req.To().Value()), c.peer, givingUp, nil) // the INVITE's end tells
	})
	res, err := c.phone.transact(req, c.peer, ringing, func(res *sip.Response) {
		first.Do(func() { close(began) })
		if res.StatusCode == 180 {
			c.Note("hears it ring")
		}
	})
	close(done)
	canceller.Wait()
	return res, err
}
