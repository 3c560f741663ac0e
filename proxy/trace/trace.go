// Package trace keeps the latest calls' SIP messages, redacted, for an operator
// who looks for a fault, and sends redacted messages to a capture server. It
// never sees media.
package trace

import (
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"consentgate/proxy/trace/redact"
)

// waiting bounds the messages that wait to be redacted.
const waiting = 1024

// Message is one message as it is on the wire.
type Message struct {
	At            time.Time
	Sent          bool   // by the gate
	Trunk, Side   string // where; Side is carrier or pbx
	Transport     string // udp, tcp or tls
	Local, Remote netip.AddrPort
	CallID        string // SIP's
	Data          []byte
}

// Config is what a Tracer needs.
type Config struct {
	Calls      int            // so many are kept; 0: none
	HEP        netip.AddrPort // of the capture server; invalid: none
	HEPID      uint32         // who captured, for the server
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Tracer takes messages, redacts them in a goroutine of its own, and keeps and
// sends them. Make it with New.
type Tracer struct {
	redactor *redact.Redactor
	calls    *calls
	hep      *hep // nil: no server
	dropped  prometheus.Counter
	log      *slog.Logger
	in       chan item
	quit     chan struct{}
	stop     sync.Once
	done     sync.WaitGroup
}

// item is a message, or the id of a call.
type item struct {
	Message
	id string
}

// New starts the goroutine. Close ends it.
func New(c Config) (*Tracer, error) {
	t := &Tracer{redactor: redact.New(), calls: newCalls(c.Calls), log: c.Log, in: make(chan item, waiting), quit: make(chan struct{})}
	if c.HEP.IsValid() {
		var err error
		if t.hep, err = dialHEP(c.HEP, c.HEPID); err != nil {
			return nil, err
		}
	}
	t.dropped = promauto.With(c.Registerer).NewCounter(prometheus.CounterOpts{Name: "consentgate_trace_dropped_total",
		Help: "Messages that a trace lacks, or that weren't sent to the capture server."})
	t.done.Go(t.run)
	return t, nil
}

// Message takes a message. It never blocks: what can't wait is dropped and
// counted.
func (t *Tracer) Message(m Message) { t.put(item{Message: m}) }

// Call notes the id that the log has for the call of that SIP Call-ID. It never
// blocks.
func (t *Tracer) Call(id, callID string) { t.put(item{id: id, Message: Message{CallID: callID}}) }

func (t *Tracer) put(i item) {
	select {
	case t.in <- i:
	default:
		t.dropped.Inc()
	}
}

// Close ends the goroutine and waits for it. What comes later is dropped.
func (t *Tracer) Close() error {
	t.stop.Do(func() { close(t.quit) })
	t.done.Wait()
	if t.hep == nil {
		return nil
	}
	return t.hep.close()
}

func (t *Tracer) run() {
	old := time.NewTicker(time.Minute)
	defer old.Stop()
	for {
		select {
		case <-t.quit:
			return
		case now := <-old.C:
			t.calls.forget(now.Add(-maxAge))
		case i := <-t.in:
			t.take(i)
		}
	}
}

// take redacts one message. Of its original nothing is kept. A fault of ours
// costs that message alone.
func (t *Tracer) take(i item) {
	defer func() {
		if recover() != nil {
			t.dropped.Inc()
			t.log.Error("a fault of ours in a trace", "stack", string(debug.Stack())) // the fault's text may hold numbers
		}
	}()
	call := t.redactor.CallID(i.CallID)
	if i.id != "" {
		t.calls.name(i.id, call)
		return
	}
	m := Kept{At: i.At, Sent: i.Sent, Trunk: i.Trunk, Side: i.Side, Transport: i.Transport, Local: i.Local, Remote: i.Remote,
		Text: t.redactor.Message(i.Data)}
	t.calls.add(call, m)
	if t.hep != nil && t.hep.send(call, m) != nil { // a server that isn't there
		t.dropped.Inc()
	}
}

// Find gives a call's messages in order of time: by the call's id, its SIP
// Call-ID, or as "latest". lost are those that there was no room for.
func (t *Tracer) Find(which string) (messages []Kept, lost int, ok bool) {
	return t.calls.find(which, t.redactor.CallID(which))
}
