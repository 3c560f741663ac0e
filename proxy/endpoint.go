package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// maxHeaders caps what is parsed: sipgo's parameter parser is quadratic, and
// 16 KiB keeps its worst case near ten milliseconds. A trunk's largest honest
// message (STIR/SHAKEN, ISUP bodies) stays below half of it.
const maxHeaders = 16 << 10

// endpoint is one of a side's SIP sockets. It drops whatever isn't from a peer
// before any of it is parsed, so strangers cost nothing and get no answer.
// sipgo's own transports aren't used: they log whole messages on errors (numbers
// in the clear), keep an entry for each source for ever, end their listener when
// a filter reports an error and refuse to send over 1300 bytes.
type endpoint struct {
	sock      socket
	transport string // udp, tcp or tls
	local     netip.AddrPort
	accept    func(netip.Addr) bool
	parser    *sip.Parser
	receive   func(sip.Message, netip.AddrPort)       // in order of arrival from each peer; must not block
	lost      func(to netip.AddrPort, unreached bool) // a connection is gone, or could not be made
	reject    func(reason string)
	log       *slog.Logger
}

// socket is what an endpoint reads and writes. Nothing of it blocks but close.
type socket interface {
	// serve begins to read.
	serve(e *endpoint)
	// send writes one message to a place. A stream opens a connection where
	// there is none: to back, if that is set and to was the far end of a
	// connection that is gone.
	send(data []byte, to, back Place) error
	// connected reports whether a connection with that far end stands.
	connected(netip.AddrPort) bool
	// close ends its goroutines and waits for them.
	close() error
}

// newParser keeps every header but Content-Length as it came: what isn't
// parsed is passed on as it is, byte for byte.
func newParser() *sip.Parser {
	all := sip.DefaultHeadersParser()
	return sip.NewParser(sip.WithHeadersParsers(map[string]sip.HeaderParser{
		"content-length": all["content-length"],
		"l":              all["l"],
	}))
}

func (e *endpoint) serve() { e.sock.serve(e) }

func (e *endpoint) close() error { return e.sock.close() }

// take parses one message and hands it on.
func (e *endpoint) take(data []byte, from netip.AddrPort) {
	msg, err := e.parse(data)
	if err != nil {
		e.reject("malformed")
		return
	}
	msg.SetTransport(strings.ToUpper(e.transport))
	msg.SetSource(from.String())
	e.receive(msg, from)
}

// parse guards the reader against a fault of the parser: one message must not
// stop the listener.
func (e *endpoint) parse(data []byte) (msg sip.Message, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			msg, err = nil, fmt.Errorf("the parser failed: %v", fault)
		}
	}()
	return e.parser.ParseSIP(bytes.Clone(data))
}

// to is the connection that a transaction writes to: this socket and one
// place. It satisfies sip.Connection.
func (e *endpoint) to(dest Place) *path { return &path{endpoint: e, dest: dest} }

// backTo is the way for the responses of a request: where it came from, and if
// that connection is gone, the address of its Via (RFC 3261 section 18.2.2).
func (e *endpoint) backTo(req *sip.Request, from netip.AddrPort) *path {
	p := e.to(Place{Transport: e.transport, Addr: from})
	if e.transport == "udp" {
		return p
	}
	port := uint16(5060)
	if e.transport == "tls" {
		port = 5061
	}
	if via := req.Via(); via != nil && via.Port > 0 && via.Port < 65536 {
		port = uint16(via.Port)
	}
	p.back = Place{Transport: e.transport, Addr: netip.AddrPortFrom(from.Addr(), port)}
	return p
}

// path sends to one place whatever a message's headers say, so answers go where
// the request came from (RFC 3581) and an ACK where its INVITE went.
type path struct {
	endpoint *endpoint
	dest     Place
	back     Place // where else to reach a peer whose connection is gone

	mu  sync.Mutex
	ack sip.Message // the ACK that sipgo made for a failed INVITE, to repeat it
}

func (p *path) LocalAddr() net.Addr    { return net.UDPAddrFromAddrPort(p.endpoint.local) }
func (p *path) Ref(int) int            { return 1 }
func (p *path) TryClose() (int, error) { return 1, nil } // the socket outlives transactions
func (p *path) Close() error           { return nil }

// WriteMsg sends one message. Safe for concurrent use.
func (p *path) WriteMsg(msg sip.Message) error {
	if req, ok := msg.(*sip.Request); ok && req.IsAck() {
		p.mu.Lock()
		p.ack = msg
		p.mu.Unlock()
	}
	var b bytes.Buffer
	msg.StringWrite(&b)
	if err := p.endpoint.sock.send(b.Bytes(), p.dest, p.back); err != nil {
		return fmt.Errorf("sending SIP: %w", err)
	}
	return nil
}

// repeatAck answers a repeated failure response.
func (p *path) repeatAck() {
	p.mu.Lock()
	ack := p.ack
	p.mu.Unlock()
	if ack != nil {
		if err := p.WriteMsg(ack); err != nil {
			p.endpoint.log.Warn("repeating an ACK", "error", err)
		}
	}
}
