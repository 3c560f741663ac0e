package phone

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Phone is one telephone. It has one SIP socket and one RTP socket a call.
type Phone struct {
	Name string
	ip   netip.Addr
	conn *net.UDPConn
	on   func(*Call) // a call came in; runs on its own goroutine
	log  func(string)

	mu      sync.Mutex
	calls   map[string]*Call              // by Call-ID
	waiting map[string]chan *sip.Response // by branch and method: a CANCEL has its INVITE's branch
	answers map[string][]byte             // by branch and method: what was answered, to repeat it
	closed  bool
	workers sync.WaitGroup
}

// Config makes a Phone. Incoming may be nil: calls are refused with 480.
type Config struct {
	Name     string
	Listen   netip.AddrPort // port 0: any
	Incoming func(*Call)
	Trace    func(string) // gets every message, for who debugs; may be nil
}

// New starts a phone.
func New(c Config) (*Phone, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(c.Listen))
	if err != nil {
		return nil, fmt.Errorf("phone %s: %w", c.Name, err)
	}
	p := &Phone{Name: c.Name, ip: c.Listen.Addr(), conn: conn, on: c.Incoming, log: c.Trace, calls: map[string]*Call{},
		waiting: map[string]chan *sip.Response{}, answers: map[string][]byte{}}
	if p.log == nil {
		p.log = func(string) {}
	}
	p.workers.Go(p.read)
	return p, nil
}

// Addr is where the phone listens for SIP.
func (p *Phone) Addr() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends the phone and its calls' media, without a word to the far ends.
func (p *Phone) Close() error {
	p.mu.Lock()
	p.closed = true
	var calls []*Call
	for _, c := range p.calls {
		calls = append(calls, c)
	}
	p.mu.Unlock()
	for _, c := range calls {
		c.over("the phone was closed")
	}
	err := p.conn.Close()
	p.workers.Wait()
	return err
}

func (p *Phone) read() {
	buf := make([]byte, 65536)
	parser := sip.NewParser()
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		msg, err := parser.ParseSIP(append([]byte(nil), buf[:n]...))
		if err != nil {
			continue
		}
		p.log(p.Name + " < " + firstLine(msg))
		switch m := msg.(type) {
		case *sip.Response:
			p.response(m)
		case *sip.Request:
			p.request(m, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

func firstLine(m sip.Message) string {
	line, _, _ := strings.Cut(m.String(), "\r\n")
	return line
}

func (p *Phone) send(m sip.Message, to netip.AddrPort) {
	p.log(p.Name + " > " + firstLine(m))
	_, _ = p.conn.WriteToUDPAddrPort([]byte(m.String()), to) // lost like any datagram: it is sent again
}

func branchOf(m sip.Message) string {
	if v := m.Via(); v != nil {
		b, _ := v.Params.Get("branch")
		return b
	}
	return ""
}

func token() string { return strings.ToLower(rand.Text()[:12]) }

func (p *Phone) response(res *sip.Response) {
	p.mu.Lock()
	ch := p.waiting[branchOf(res)+string(res.CSeq().MethodName)]
	c := p.calls[res.CallID().Value()]
	p.mu.Unlock()
	if ch != nil {
		select {
		case ch <- res:
		default: // a copy more than anybody waits for
		}
		return
	}
	if c != nil && res.IsSuccess() && res.CSeq().MethodName == sip.INVITE { // one that came again
		c.repeatAck()
	}
}

// transact sends a request until a final response comes; each gets every
// response. It gives up after limit.
func (p *Phone) transact(req *sip.Request, to netip.AddrPort, limit time.Duration, each func(*sip.Response)) (*sip.Response, error) {
	branch := branchOf(req) + string(req.Method)
	ch := make(chan *sip.Response, 32)
	p.mu.Lock()
	p.waiting[branch] = ch
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, branch)
		p.mu.Unlock()
	}()
	end := time.NewTimer(limit)
	defer end.Stop()
	again := 500 * time.Millisecond
	resend := time.NewTimer(again)
	defer resend.Stop()
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
			resend.Stop()
		case <-resend.C:
			p.send(req, to)
			again *= 2
			resend.Reset(again)
		case <-end.C:
			return nil, fmt.Errorf("no answer to %s", req.Method)
		}
	}
}

func (p *Phone) request(req *sip.Request, from netip.AddrPort) {
	key := branchOf(req) + string(req.Method)
	p.mu.Lock()
	old := p.answers[key]
	c := p.calls[req.CallID().Value()]
	p.mu.Unlock()
	if old != nil {
		_, _ = p.conn.WriteToUDPAddrPort(old, from)
		return
	}
	switch {
	case req.IsAck():
		if c != nil {
			c.gotAck()
		}
	case req.Method == sip.INVITE && c == nil:
		p.invited(req, from)
	case req.Method == sip.OPTIONS:
		p.answer(req, from, 200, "OK", "", nil)
	case c == nil:
		p.answer(req, from, 481, "Call/Transaction Does Not Exist", "", nil)
	default:
		c.request(req, from)
	}
}

func (p *Phone) invited(req *sip.Request, from netip.AddrPort) {
	c, err := p.newCall(req.CallID().Value(), from)
	if err != nil || p.on == nil {
		p.answer(req, from, 480, "Temporarily Unavailable", token(), nil)
		return
	}
	c.incoming(req)
	p.answer(req, from, 100, "Trying", "", nil)
	p.workers.Go(func() { p.on(c) })
}

// answer responds to a request and remembers the answer for its repetitions.
func (p *Phone) answer(req *sip.Request, to netip.AddrPort, status int, reason, tag string, body []byte) {
	res := sip.NewResponseFromRequest(req, status, reason, body)
	if tag != "" && status > 100 {
		if _, ok := req.To().Params.Get("tag"); !ok {
			res.To().Params.Add("tag", tag)
		}
	}
	if status >= 180 && status < 300 {
		res.AppendHeader(sip.NewHeader("Contact", "<sip:"+p.Name+"@"+p.Addr().String()+">"))
	}
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	if status >= 200 || status == 100 {
		p.mu.Lock()
		p.answers[branchOf(req)+string(req.Method)] = []byte(res.String())
		p.mu.Unlock()
	}
	p.send(res, to)
}
