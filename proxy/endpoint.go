package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// maxDatagram caps what is parsed: sipgo's parameter parser is quadratic, and
// 16 KiB keeps its worst case near ten milliseconds. A trunk's largest honest
// message (STIR/SHAKEN, ISUP bodies) stays below half of it.
const maxDatagram = 16 << 10

// endpoint is one side's SIP socket. It drops whatever isn't from a peer before
// any of it is parsed, so strangers cost nothing and get no answer. sipgo's own
// UDP transport isn't used: it logs whole messages on errors (numbers in the
// clear), keeps an entry for each source for ever, ends its listener when a
// filter reports an error and refuses to send over 1300 bytes.
type endpoint struct {
	conn    *net.UDPConn
	accept  []netip.Prefix
	parser  *sip.Parser
	receive func(sip.Message, netip.AddrPort) // in order of arrival; must not block
	reject  func(reason string)
	log     *slog.Logger
	done    sync.WaitGroup
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

// listen binds the socket; serve starts reading it.
func listen(at netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("listening for SIP on udp %s: %w", at, err)
	}
	// A burst of calls must fit; the kernel caps this at net.core.rmem_max.
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		return nil, errors.Join(fmt.Errorf("sizing the SIP socket's buffer: %w", err), conn.Close())
	}
	return conn, nil
}

func (e *endpoint) serve() {
	e.done.Add(1)
	go e.read()
}

// close ends the reader and waits for it.
func (e *endpoint) close() error {
	err := e.conn.Close()
	e.done.Wait()
	return err
}

func (e *endpoint) read() {
	defer e.done.Done()
	buf := make([]byte, 65536)
	for {
		n, from, err := e.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of an earlier send; the socket is fine
			e.reject("socket_error")
			continue
		}
		e.datagram(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
}

func (e *endpoint) datagram(data []byte, from netip.AddrPort) {
	switch {
	case !e.accepts(from.Addr()):
		e.reject("not_a_peer")
		return
	case len(bytes.Trim(data, "\r\n\x00")) == 0:
		return // keep-alive, RFC 5626 section 3.5.1
	case len(data) > maxDatagram:
		e.reject("oversize")
		return
	}
	msg, err := e.parse(data)
	if err != nil {
		e.reject("malformed")
		return
	}
	msg.SetTransport("UDP")
	msg.SetSource(from.String())
	e.receive(msg, from)
}

// parse guards the reader against a fault of the parser: one datagram must not
// stop the listener.
func (e *endpoint) parse(data []byte) (msg sip.Message, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			msg, err = nil, fmt.Errorf("the parser failed: %v", fault)
		}
	}()
	return e.parser.ParseSIP(bytes.Clone(data))
}

func (e *endpoint) accepts(a netip.Addr) bool {
	for _, p := range e.accept {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// to is the connection that a transaction writes to: this socket and one
// destination. It satisfies sip.Connection.
func (e *endpoint) to(dest netip.AddrPort) *path { return &path{endpoint: e, dest: dest} }

// path sends to one destination whatever a message's headers say, so answers
// go where the request came from (RFC 3581) and an ACK where its INVITE went.
type path struct {
	endpoint *endpoint
	dest     netip.AddrPort

	mu  sync.Mutex
	ack sip.Message // the ACK that sipgo made for a failed INVITE, to repeat it
}

func (p *path) LocalAddr() net.Addr    { return p.endpoint.conn.LocalAddr() }
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
	if _, err := p.endpoint.conn.WriteToUDPAddrPort(b.Bytes(), p.dest); err != nil {
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
