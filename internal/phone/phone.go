package phone

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// Phone is one telephone. It has one SIP socket, and one RTP socket a call.
type Phone struct {
	Name     string
	password string
	ip       netip.Addr
	conn     *net.UDPConn
	on       func(*Call)
	media    func() (*Media, error)
	log      func(string)
	quit     chan struct{}
	closing  sync.Once

	mu      sync.Mutex
	calls   map[string]*Call              // by Call-ID
	waiting map[string]chan *sip.Response // by branch and method: a CANCEL has its INVITE's branch
	answers map[string][]byte             // by branch and method: what was answered, to repeat it
	workers sync.WaitGroup
}

// Config makes a Phone.
type Config struct {
	Name     string         // user part of its address, and its user name where it is challenged
	Password string         // answers 401 and 407 (RFC 3261 section 22); "": a challenge is a refusal
	Listen   netip.AddrPort // port 0: any
	Incoming func(*Call)    // a call came in; on its own goroutine. nil: calls are refused with 480
	Media    func() *Media  // of the next call, such as one elsewhere; nil: a socket of the phone's own
	Trace    func(string)   // gets the first line of every message; may be nil
}

// New starts a phone. Close ends it.
func New(c Config) (*Phone, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(c.Listen))
	if err != nil {
		return nil, fmt.Errorf("phone %s: %w", c.Name, err)
	}
	p := &Phone{Name: c.Name, password: c.Password, ip: c.Listen.Addr(), conn: conn, on: c.Incoming, log: c.Trace,
		quit: make(chan struct{}), calls: map[string]*Call{}, waiting: map[string]chan *sip.Response{}, answers: map[string][]byte{}}
	p.media = func() (*Media, error) { return NewMedia(p.ip) }
	if c.Media != nil {
		p.media = func() (*Media, error) { return c.Media(), nil }
	}
	if p.log == nil {
		p.log = func(string) {}
	}
	p.workers.Go(p.read)
	return p, nil
}

// Addr is where the phone listens for SIP.
func (p *Phone) Addr() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends the phone and its calls' media, without a word to the far ends. It
// waits for the Incoming functions.
func (p *Phone) Close() (err error) {
	p.closing.Do(func() {
		close(p.quit)
		p.mu.Lock()
		var calls []*Call
		for _, c := range p.calls {
			calls = append(calls, c)
		}
		p.mu.Unlock()
		for _, c := range calls {
			c.over("the phone was closed")
		}
		err = p.conn.Close()
		p.workers.Wait()
	})
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
		if err != nil || !whole(msg) {
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

// whole reports whether a message has what every message has.
func whole(m sip.Message) bool {
	return m.Via() != nil && m.From() != nil && m.To() != nil && m.CallID() != nil && m.CSeq() != nil
}

func firstLine(m sip.Message) string {
	line, _, _ := strings.Cut(m.String(), "\r\n")
	return line
}

func (p *Phone) send(m sip.Message, to netip.AddrPort) {
	p.log(p.Name + " > " + firstLine(m))
	p.write([]byte(m.String()), to)
}

func (p *Phone) write(raw []byte, to netip.AddrPort) {
	_, _ = p.conn.WriteToUDPAddrPort(raw, to) // lost like any datagram: it is sent again
}

func token() string { return strings.ToLower(rand.Text()[:12]) }

func (p *Phone) request(req *sip.Request, from netip.AddrPort) {
	p.mu.Lock()
	old := p.answers[transaction(req)]
	c := p.calls[req.CallID().Value()]
	p.mu.Unlock()
	switch {
	case req.IsAck():
		if c != nil {
			c.gotAck(req)
		}
	case old != nil:
		p.write(old, from)
	case req.Method == sip.INVITE && c == nil:
		p.invited(req, from)
	case req.Method == sip.OPTIONS && c == nil:
		p.answer(req, from, 200, "OK", token(), nil)
	case c == nil:
		p.answer(req, from, 481, "Call/Transaction Does Not Exist", token(), nil)
	default:
		c.request(req, from)
	}
}

func (p *Phone) invited(req *sip.Request, from netip.AddrPort) {
	if p.on == nil {
		p.answer(req, from, 480, "Temporarily Unavailable", token(), nil)
		return
	}
	c, err := p.newCall(req.CallID().Value(), from)
	if err != nil {
		p.answer(req, from, 500, "No Media", token(), nil)
		return
	}
	c.incoming(req)
	p.answer(req, from, 100, "Trying", "", nil)
	p.workers.Go(func() { p.on(c) })
}

// answer responds to a request, remembers the answer for its repetitions and
// returns it.
func (p *Phone) answer(req *sip.Request, to netip.AddrPort, status int, reason, tag string, body []byte) []byte {
	res := sip.NewResponseFromRequest(req, status, reason, body)
	if status == 100 {
		res.To().Params.Remove("tag")
	} else if _, ok := req.To().Params.Get("tag"); !ok {
		res.To().Params.Remove("tag")
		res.To().Params.Add("tag", tag)
	}
	if status > 100 && status < 300 {
		res.AppendHeader(sip.NewHeader("Contact", "<sip:"+p.Name+"@"+p.Addr().String()+">"))
	}
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	raw := []byte(res.String())
	p.mu.Lock()
	p.answers[transaction(req)] = raw
	p.mu.Unlock()
	p.log(p.Name + " > " + firstLine(res))
	p.write(raw, to)
	return raw
}
