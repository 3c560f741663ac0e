package proxy

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
)

// maxHeaders caps what is read. A trunk's largest honest message (STIR/SHAKEN,
// ISUP bodies) stays below half of it.
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
	receive   func(message, *problem, netip.AddrPort) // in order of arrival from each peer; must not block
	lost      func(to netip.AddrPort, unreached bool) // a connection is gone, or could not be made
	reject    func(reason string)
	mutated   prometheus.Counter // what the tripwire found; nil: there is none
	trace     *tap               // nil: nobody looks at messages
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

func (e *endpoint) serve() { e.sock.serve(e) }

func (e *endpoint) close() error { return e.sock.close() }

// take parses one message and hands it on.
func (e *endpoint) take(data []byte, from netip.AddrPort) {
	defer e.survive()
	msg, bad := parseMessage(data)
	if msg == nil {
		e.reject(bad.reason)
		return
	}
	msg.SetTransport(strings.ToUpper(e.transport))
	msg.SetSource(from.String())
	if e.trace != nil {
		e.traceIn(msg, data, from)
	}
	e.receive(msg, bad, from)
}

// survive keeps a fault of ours with one message from stopping the listener, or
// the message (law 2).
func (e *endpoint) survive() {
	if recover() != nil {
		e.reject("fault")
		e.log.Error("a fault of ours with a message", "stack", string(debug.Stack())) // the fault's text may hold numbers
	}
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
	if via, ok := topVia(req); ok && via.port != 0 {
		port = via.port
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

	// What a client transaction sends. sipgo's state machine has but a token of
	// it: it would make the ACK of typed headers, which aren't as they came.
	request *sip.Request

	mu  sync.Mutex
	res *sip.Response // the latest that refused it
	ack *sip.Request  // for that
}

func (p *path) LocalAddr() net.Addr    { return net.UDPAddrFromAddrPort(p.endpoint.local) }
func (p *path) Ref(int) int            { return 1 }
func (p *path) TryClose() (int, error) { return 1, nil } // the socket outlives transactions
func (p *path) Close() error           { return nil }

// WriteMsg sends one message: for a client transaction, what its state machine's
// stands for. Safe for concurrent use.
func (p *path) WriteMsg(msg sip.Message) error {
	if req, ok := msg.(*sip.Request); ok && p.request != nil {
		msg = p.request
		if req.IsAck() {
			p.mu.Lock()
			p.ack = ackOf(p.request, p.res)
			msg = p.ack
			p.mu.Unlock()
		}
	}
	return p.write(msg)
}

func (p *path) write(msg sip.Message) error {
	data := wire(msg)
	p.endpoint.watch(msg, data)
	if p.endpoint.trace != nil {
		p.endpoint.traceOut(msg, data, p.dest.Addr)
	}
	if err := p.endpoint.sock.send(data, p.dest, p.back); err != nil {
		return fmt.Errorf("sending SIP: %w", err)
	}
	return nil
}

// refusedBy notes the response that an ACK will be for.
func (p *path) refusedBy(res *sip.Response) {
	p.mu.Lock()
	p.res = res
	p.mu.Unlock()
}

// ackOf is the ACK of an INVITE's failure (RFC 3261 section 17.1.1.3).
func ackOf(invite *sip.Request, res *sip.Response) *sip.Request {
	ack := sip.NewRequest(sip.ACK, invite.Recipient)
	vias := 0
	for _, h := range invite.Headers() {
		switch fullName(h) {
		case "via":
			if vias++; vias == 1 {
				ack.AppendHeader(h)
			}
		case "route", "from", "call-id", "max-forwards":
			ack.AppendHeader(h)
		}
	}
	ack.AppendHeader(sip.NewHeader("To", header(res, "to")))
	ack.AppendHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(cseqOf(invite)), 10)+" ACK"))
	ack.SetBody(nil)
	return ack
}

// repeatAck answers a repeated failure response.
func (p *path) repeatAck() {
	p.mu.Lock()
	ack := p.ack
	p.mu.Unlock()
	if ack != nil {
		if err := p.write(ack); err != nil {
			p.endpoint.log.Warn("repeating an ACK", "error", err)
		}
	}
}
