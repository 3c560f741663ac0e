package phone

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// The timers of RFC 3261 section 17.
const (
	t1       = 500 * time.Millisecond
	t2       = 4 * time.Second
	givingUp = 64 * t1
)

// transaction names the transaction of a message (RFC 3261 section 17.1.3).
func transaction(m sip.Message) string {
	branch, _ := m.Via().Params.Get("branch")
	method := sip.INVITE
	switch m := m.(type) {
	case *sip.Request:
		method = m.Method
	case *sip.Response:
		method = m.CSeq().MethodName
	}
	return branch + " " + string(method)
}

func (p *Phone) response(res *sip.Response) {
	p.mu.Lock()
	ch := p.waiting[transaction(res)]
	c := p.calls[res.CallID().Value()]
	p.mu.Unlock()
	if ch != nil {
		select {
		case ch <- res:
		default: // a copy more than anybody waits for
		}
		return
	}
	if c != nil && res.CSeq().MethodName == sip.INVITE && res.StatusCode >= 200 { // one that came again
		c.repeatAck(res.CSeq().SeqNo)
	}
}

// transact sends a request until a final response comes; each gets every
// response. Who rings may do so for as long as limit.
func (p *Phone) transact(req *sip.Request, to netip.AddrPort, limit time.Duration, each func(*sip.Response)) (*sip.Response, error) {
	id := transaction(req)
	ch := make(chan *sip.Response, 32)
	p.mu.Lock()
	p.waiting[id] = ch
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
	}()
	end := time.NewTimer(limit)
	defer end.Stop()
	wait := t1
	again := time.NewTimer(wait)
	defer again.Stop()
	p.send(req, to)
	for {
		select {
		case res := <-ch:
			if each != nil {
				each(res)
			}
			if res.StatusCode >= 200 {
				return res, nil
			}
			if req.Method == sip.INVITE {
				again.Stop() // section 17.1.1.2: proceeding
			}
		case <-again.C:
			p.send(req, to)
			if wait *= 2; req.Method != sip.INVITE {
				wait = min(wait, t2)
			}
			again.Reset(wait)
		case <-end.C:
			return nil, fmt.Errorf("no answer to %s", req.Method)
		case <-p.quit:
			return nil, fmt.Errorf("the phone was closed before an answer to %s", req.Method)
		}
	}
}

// Options asks who is at an address whether they are there; user may be empty.
func (p *Phone) Options(to netip.AddrPort, user string) (status int, err error) {
	target := "sip:" + to.String()
	if user != "" {
		target = "sip:" + user + "@" + to.String()
	}
	var uri sip.Uri
	if err := sip.ParseUri(target, &uri); err != nil {
		return 0, fmt.Errorf("asking %s: %w", target, err)
	}
	d := dialog{id: token(), local: "<sip:" + p.Name + "@" + p.Addr().String() + ">;tag=" + token(), remote: "<" + target + ">", target: uri}
	res, err := p.transact(p.newRequest(&d, sip.OPTIONS, 1, "", nil), to, givingUp, nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, nil
}
