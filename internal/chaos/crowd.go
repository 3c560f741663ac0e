package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Crowd is the parties of many calls, on two sides of a gate. Make it with New,
// Run it once, Close it.
type Crowd struct {
	carrier, pbx *place
	events       chan func()
	quit         chan struct{}
	running      sync.WaitGroup

	// The rest is the loop's.
	calls    map[string]*call
	open     int // what still goes on: calls to be made, requests to be answered, answers to be acknowledged
	report   Report
	patience time.Duration
}

// Load is what a crowd does.
type Load struct {
	Seed  uint64
	Calls int
	Rate  int // calls a second
	Loss  int // of messages, both ways, percent; as many are repeated, and as many held up
	// Patience is how long a request may go without its answer; 0: 42 s, which is
	// 64*T1, in which the gate gives every request one, and time to lose it.
	Patience time.Duration
}

// Report is how the calls went.
type Report struct {
	Answered, Refused, Cancelled int
	Requests                     int      // sent, their repetitions not counted
	Unanswered                   []string // requests that got no final response in time, with their calls' stories
	Unacknowledged               []string // final responses to INVITE that got no ACK in time, likewise
}

// place is where the parties of one side are: one socket for SIP, one for RTP.
type place struct {
	crowd     *Crowd
	sip, rtp  *net.UDPConn
	gate      netip.AddrPort
	addr      string // of sip
	mediaPort int
}

// New binds the sockets on loopback.
func New() (*Crowd, error) {
	c := &Crowd{events: make(chan func(), 1024), quit: make(chan struct{}), calls: map[string]*call{}}
	var err1, err2 error
	c.carrier, err1 = c.newPlace()
	c.pbx, err2 = c.newPlace()
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Crowd) newPlace() (*place, error) {
	p := &place{crowd: c}
	var err error
	for _, conn := range []**net.UDPConn{&p.sip, &p.rtp} {
		if *conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			return p, fmt.Errorf("binding a party's socket: %w", err)
		}
	}
	p.addr = p.sip.LocalAddr().String()
	p.mediaPort = p.rtp.LocalAddr().(*net.UDPAddr).Port
	return p, p.sip.SetReadBuffer(4 << 20)
}

// CarrierAddr and PBXAddr are where the parties are, for the gate's peers.
func (c *Crowd) CarrierAddr() string { return c.carrier.addr }

// PBXAddr is that of the other side.
func (c *Crowd) PBXAddr() string { return c.pbx.addr }

// Run makes the calls through a gate, and returns when all is answered, or with
// ctx's error.
func (c *Crowd) Run(ctx context.Context, carrier, pbx netip.AddrPort, l Load) (Report, error) {
	c.carrier.gate, c.pbx.gate = carrier, pbx
	for _, p := range []*place{c.carrier, c.pbx} {
		c.running.Go(p.read)
		c.running.Go(p.drain)
	}
	c.open, c.patience = l.Calls, l.Patience
	if c.patience == 0 {
		c.patience = 64*t1 + 10*time.Second
	}
	tick := time.NewTicker(time.Second / time.Duration(l.Rate))
	defer tick.Stop()
	for begun := 0; c.open > 0; {
		select {
		case f := <-c.events:
			f()
		case <-tick.C:
			if begun < l.Calls {
				newCall(c, l, begun).begin()
				begun++
			}
		case <-ctx.Done():
			return c.report, fmt.Errorf("%d things still go on: %w", c.open, ctx.Err())
		}
	}
	return c.report, nil
}

// Close closes the sockets and waits for their readers.
func (c *Crowd) Close() error {
	close(c.quit)
	var errs []error
	for _, p := range []*place{c.carrier, c.pbx} {
		for _, conn := range []*net.UDPConn{p.sip, p.rtp} {
			if conn != nil {
				errs = append(errs, conn.Close())
			}
		}
	}
	c.running.Wait()
	return errors.Join(errs...)
}

// after runs f on the loop when d has passed.
func (c *Crowd) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() { c.post(f) })
}

func (c *Crowd) post(f func()) {
	select {
	case c.events <- f:
	case <-c.quit:
	}
}

func (p *place) read() {
	buf := make([]byte, 65536)
	for {
		n, err := p.sip.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if m, ok := parse(string(buf[:n])); err == nil && ok {
			p.crowd.post(func() { p.take(m) })
		}
	}
}

// drain reads what the parties hear, and nobody listens to.
func (p *place) drain() {
	buf := make([]byte, 2048)
	for {
		if _, err := p.rtp.Read(buf); errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// take gives a message to the party that it is for.
func (p *place) take(m *message) {
	call := p.crowd.calls[m.callID]
	if call == nil {
		return
	}
	if call.lost() {
		call.note(p, "didn't get", m.text)
		return
	}
	call.note(p, "gets", m.text)
	for _, e := range []*end{call.caller, call.callee} {
		if e.place == p {
			e.take(m)
		}
	}
}

// call is one call, and its chance.
type call struct {
	crowd          *Crowd
	id             string
	plan           plan
	chance         *rand.Rand
	loss           int
	caller, callee *end
	branches       int
	begun          time.Time
	story          []string // first lines of what was sent and taken, with what became of it
}

// note adds to the story.
func (k *call) note(p *place, what, text string) {
	name := "callee"
	if p == k.caller.place {
		name = "caller"
	}
	first, rest, _ := strings.Cut(text, " SIP/2.0\r\n")
	_, rest, _ = strings.Cut(rest, "CSeq: ")
	if strings.HasPrefix(first, "SIP/2.0") {
		first, _, _ = strings.Cut(first, "\r\n")
		_, rest, _ = strings.Cut(text, "CSeq: ")
	}
	cseq, _, _ := strings.Cut(rest, "\r\n")
	k.story = append(k.story, fmt.Sprintf("%6d ms %s %s %s (%s)", time.Since(k.begun).Milliseconds(), name, what, first, cseq))
}

func newCall(c *Crowd, l Load, n int) *call {
	r := rand.New(rand.NewPCG(l.Seed, uint64(n)))
	k := &call{crowd: c, id: fmt.Sprintf("chaos-%d-%d", l.Seed, n), plan: draw(r), chance: r, loss: l.Loss, begun: time.Now()}
	from, to := c.pbx, c.carrier
	if k.plan.fromCarrier {
		from, to = to, from
	}
	k.caller = &end{call: k, place: from, served: map[string]*served{}, local: fmt.Sprintf("<sip:+44207946%04d@%s>;tag=a%d", n%10000, from.addr, n),
		remote: fmt.Sprintf("<sip:%s@%s>", k.plan.number, from.gate)}
	k.callee = &end{call: k, place: to, served: map[string]*served{}, tag: fmt.Sprintf("b%d", n)}
	c.calls[k.id] = k
	return k
}

// told is a fault with the story that led to it.
func (k *call) told(what string, of *end) string {
	return fmt.Sprintf("%s: %s of the %s\n\t%s", k.id, what, of.name(), strings.Join(k.story, "\n\t"))
}

func (k *call) percent(n int) bool { return k.chance.IntN(100) < n }

// lost is a message's bad luck.
func (k *call) lost() bool { return k.percent(k.loss) }

// transmit sends a message, or loses it, or sends it twice, or late.
func (k *call) transmit(p *place, text string) {
	send := func() {
		k.note(p, "sends", text)
		_, _ = p.sip.WriteToUDPAddrPort([]byte(text), p.gate) // lost, then
	}
	late := time.Duration(k.chance.IntN(30)) * time.Millisecond
	switch {
	case k.lost():
		k.note(p, "fails to send", text)
	case k.percent(k.loss):
		k.crowd.after(late, send)
	case k.percent(k.loss):
		send()
		k.crowd.after(late, send)
	default:
		send()
	}
}
