package proxy

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Trace is shown each message of peers that could be read, and each that is sent,
// as it is on the wire: with numbers, names and keys. Its methods are called by
// who reads sockets and by calls, several at once, and must not block. Media is
// never shown.
type Trace interface {
	// Message is called before the message is acted on, or sent.
	Message(Traced)
	// Call says that our call of that id, as in the log, has that SIP Call-ID.
	Call(id, callID string)
}

// Traced is one message. Data is the receiver's to keep, not to change.
type Traced struct {
	At            time.Time
	Sent          bool   // by the gate
	Trunk, Side   string // where; Side is carrier or pbx
	Transport     string // udp, tcp or tls
	Local, Remote netip.AddrPort
	CallID        string // SIP's
	Data          []byte
}

// tap is how an endpoint shows its messages.
type tap struct {
	to          Trace
	trunk, side string
}

func (e *endpoint) traceIn(msg message, data []byte, from netip.AddrPort) {
	e.show(Traced{Remote: from, CallID: header(msg, "call-id"), Data: bytes.Clone(data)}) // the reader uses its buffer again
}

func (e *endpoint) traceOut(msg sip.Message, data []byte, to netip.AddrPort) {
	id := ""
	if m, ok := msg.(message); ok {
		id = header(m, "call-id")
	}
	e.show(Traced{Sent: true, Remote: to, CallID: id, Data: data})
}

func (e *endpoint) show(m Traced) {
	defer e.survive() // the message goes on all the same (law 2)
	m.At, m.Trunk, m.Side, m.Transport, m.Local = time.Now(), e.trace.trunk, e.trace.side, e.transport, e.local
	e.trace.to.Message(m)
}
