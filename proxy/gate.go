package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
)

// Gate stands between PBXs and carriers. Make it with New, then Start it once.
type Gate struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	sides    []*side
	draining atomic.Bool

	mu      sync.Mutex // guards the next four: never held during I/O or a post
	dialogs map[dialogKey]*leg
	live    map[string]*call // by the id of ours
	closed  bool             // no call is taken any more
	changed chan struct{}    // closed and remade when a call ends

	calls   sync.WaitGroup  // goroutines of calls and their scribes
	pings   sync.WaitGroup  // goroutines that ping peers, and that follow DNS
	stopCtx context.Context // ends them
	stop    context.CancelFunc

	registrar     *registrar
	subscriptions *subscriptions
}

// side is one listening side of a trunk.
type side struct {
	gate      *Gate
	trunk     *Trunk
	conf      *Side
	party     consent.Party // who is behind it
	other     *side
	limits    *limits // the trunk's, the same on both sides
	endpoints []*transport
	certs     *certificates // nil: no TLS
	up        *peerStates
	where     whereabouts
	media     netip.Addr // where RTP of this side is bound; invalid: where its signalling is
}

// transport is one socket with its transactions; it is their user.
type transport struct {
	side *side
	*endpoint
	tx       *transactions
	hostport string // for Via
	contact  string // for Contact: hostport, with the transport if it isn't UDP
}

// dialogKey finds a dialog's leg by what its peer puts into requests: with
// Call-ID and tags the same on both sides, side and sender's tag tell apart
// even the two passes of a call that spirals through the gate.
type dialogKey struct {
	side   *side
	callID string
	tag    string // the sender's From tag
}

func init() {
	// sipgo refuses to send datagrams of over 1300 bytes and has no setting but
	// this. A trunk between two known peers sends them (RFC 3261 section
	// 18.1.1 lets it where the path's MTU allows; IP fragments otherwise).
	sip.UDPMTUSize = 65535 + 200
	// It would send a 100 of its own, made of typed headers. Ours go out at once.
	sip.Timer_1xx = time.Hour
}

// New binds every listening socket; nothing is read before Start.
func New(cfg Config) (*Gate, error) {
	g := &Gate{cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Registerer),
		dialogs: map[dialogKey]*leg{}, live: map[string]*call{}, changed: make(chan struct{})}
	g.stopCtx, g.stop = context.WithCancel(context.Background())
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		g.metrics.trunk(t.Name)
		carrier, err := g.newSide(t, &t.Carrier, consent.Remote)
		if err != nil {
			return nil, errors.Join(err, g.closeSockets())
		}
		pbx, err := g.newSide(t, &t.PBX, consent.Local)
		if err != nil {
			return nil, errors.Join(err, g.closeSockets())
		}
		carrier.other, pbx.other = pbx, carrier
		carrier.limits = newLimits(t)
		pbx.limits = carrier.limits
	}
	g.registrar, g.subscriptions = newRegistrar(&g.cfg), newSubscriptions()
	g.metrics.watch(cfg.Registerer, g)
	return g, nil
}

func (g *Gate) newSide(t *Trunk, conf *Side, party consent.Party) (*side, error) {
	s := &side{gate: g, trunk: t, conf: conf, party: party}
	if bindable(conf.Media) {
		s.media = conf.Media
	}
	s.up = newPeerStates(g.metrics, t.Name, s.name())
	s.settleFixed()
	g.sides = append(g.sides, s)
	if conf.TLS != nil {
		var err error
		if s.certs, err = loadCertificates(*conf.TLS, g.log); err != nil {
			return nil, fmt.Errorf("trunk %s, %s side: %w", t.Name, s.name(), err)
		}
	}
	for _, at := range conf.Listen {
		if err := s.open(at); err != nil {
			return nil, fmt.Errorf("trunk %s, %s side: %w", t.Name, s.name(), err)
		}
	}
	return s, nil
}

// open binds one of the side's sockets.
func (s *side) open(at Listen) error {
	tr := &transport{side: s}
	tr.endpoint = &endpoint{transport: at.Transport, accept: s.accepts, log: s.gate.log, mutated: s.gate.metrics.mutated,
		reject: func(reason string) { s.gate.metrics.rejected.WithLabelValues(reason).Inc() }}
	var err error
	if tr.sock, tr.local, err = bindSocket(at, s.certs); err != nil {
		return err
	}
	tr.hostport = s.conf.Advertise
	if tr.hostport == "" {
		tr.hostport = tr.local.String()
	} else if !hasPort(tr.hostport) {
		tr.hostport = fmt.Sprintf("%s:%d", tr.hostport, tr.local.Port())
	}
	tr.contact = tr.hostport
	if at.Transport != "udp" {
		tr.contact += ";transport=" + at.Transport
	}
	// sipgo mustn't log: its messages hold whole SIP lines, so numbers.
	tr.tx = newTransactions(tr.endpoint, slog.New(slog.DiscardHandler))
	tr.tx.handler = tr
	tr.receive, tr.lost = tr.tx.receive, tr.tx.lost
	if s.gate.cfg.Trace != nil {
		tr.trace = &tap{to: s.gate.cfg.Trace, trunk: s.trunk.Name, side: s.name()}
	}
	s.endpoints = append(s.endpoints, tr)
	return nil
}

func bindSocket(at Listen, certs *certificates) (socket, netip.AddrPort, error) {
	if at.Transport == "udp" {
		d, err := listenUDP(at.Addr)
		if err != nil {
			return nil, netip.AddrPort{}, err
		}
		return d, d.local(), nil
	}
	if at.Transport != "tls" {
		certs = nil
	} else if certs == nil {
		return nil, netip.AddrPort{}, errors.New("listening with TLS needs a certificate")
	}
	st, err := listenStream(at.Addr, certs)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return st, st.local(), nil
}

// hasPort reports whether HOST[:PORT] has one.
func hasPort(hostport string) bool {
	return strings.LastIndexByte(hostport, ':') > strings.LastIndexByte(hostport, ']')
}

// bindable reports whether an address is one of this machine's. A media address
// that isn't stands for a NAT in front of it: it goes into SDP only.
func bindable(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (s *side) name() string {
	if s.party == consent.Remote {
		return "carrier"
	}
	return "pbx"
}

// Start begins to take calls. It waits up to two seconds for the first answers of
// DNS, if it needs any.
func (g *Gate) Start() {
	g.startLocating()
	for _, s := range g.sides {
		for _, t := range s.endpoints {
			t.endpoint.serve()
		}
	}
	g.startPings()
	g.registrar.start(g.subscriptions.expire)
}

// Addr is where a side of a trunk is listened to first; the zero AddrPort if
// there is no such trunk. With port 0 configured the system has chosen one.
func (g *Gate) Addr(trunk string, party consent.Party) netip.AddrPort {
	for _, s := range g.sides {
		if s.trunk.Name == trunk && s.party == party {
			return s.endpoints[0].local
		}
	}
	return netip.AddrPort{}
}

// Ready reports whether new calls are taken.
func (g *Gate) Ready() bool { return !g.draining.Load() }

// Drain refuses new calls from now on (503 and Retry-After), but for those that
// a bypass policy rules: an emergency is never put off. Calls there are go on.
func (g *Gate) Drain() { g.draining.Store(true) }

// Shutdown drains, waits for the calls to end until ctx does, then ends the
// rest with BYE, and returns when every call's evidence has been handed over
// and the sockets are closed.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.Drain()
	g.idle(ctx)
	g.endAll()
	g.calls.Wait()
	g.stop()
	g.pings.Wait()
	err := g.closeSockets()
	g.registrar.close()
	return err
}

// idle waits until no call is left, or ctx ends.
func (g *Gate) idle(ctx context.Context) {
	for {
		g.mu.Lock()
		n, changed := len(g.live), g.changed
		g.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (g *Gate) endAll() {
	g.mu.Lock()
	g.closed = true
	var calls []*call
	for _, c := range g.live {
		calls = append(calls, c)
	}
	g.mu.Unlock()
	for _, c := range calls {
		c.post(event{kind: evEnd})
	}
}

func (g *Gate) closeSockets() error {
	var errs []error
	for _, s := range g.sides {
		for _, t := range s.endpoints {
			t.tx.close()
			errs = append(errs, t.endpoint.close())
		}
	}
	return errors.Join(errs...)
}

// bind makes a dialog's leg findable by its peer's tag.
func (g *Gate) bind(l *leg, tag string) {
	g.mu.Lock()
	g.dialogs[dialogKey{l.side, l.call.callID, tag}] = l
	g.mu.Unlock()
	l.bound = append(l.bound, tag)
}

// release forgets a call that is over.
func (g *Gate) release(c *call) {
	g.mu.Lock()
	for _, l := range []*leg{c.a, c.b} {
		for _, tag := range l.bound {
			if k := (dialogKey{l.side, c.callID, tag}); g.dialogs[k] == l {
				delete(g.dialogs, k)
			}
		}
	}
	delete(g.live, c.id)
	c.a.side.limits.live--
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
}

// find returns the leg whose peer sent m, or nil.
func (s *side) find(m message, senderTag string) *leg {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	return s.gate.dialogs[dialogKey{s, header(m, "call-id"), senderTag}]
}

// request takes a new request, on the reader's goroutine.
func (t *transport) request(tx *serverTx) {
	req := tx.req
	tx.by = t
	if tagOf(header(req, "to")) != "" {
		t.inDialog(tx)
		return
	}
	tx.to = t.resolve(req)
	if req.Method == sip.INVITE {
		t.side.gate.offerCall(t, tx)
		return
	}
	t.outOfDialog(tx)
}

func (t *transport) inDialog(tx *serverTx) {
	l := t.side.find(tx.req, tagOf(header(tx.req, "from")))
	if l != nil && tx.req.IsInvite() {
		tx.call.Store(l.call)
		t.answer(tx, sip.StatusTrying, "Trying") // the call may have it wait
	}
	if l == nil && t.inSubscription(tx) {
		return
	}
	if l == nil || !l.call.mail.post(event{kind: kindOf(tx.req), leg: l, tx: tx}) {
		t.answer(tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
	}
}

// cancel tells the INVITE's call (RFC 3261 section 9.2).
func (t *transport) cancel(req *sip.Request, invite *serverTx) {
	if c := invite.call.Load(); c != nil {
		c.post(event{kind: evCancel, tx: invite, req: req})
	}
}

func (t *transport) ack(req *sip.Request) {
	if l := t.side.find(req, tagOf(header(req, "from"))); l != nil {
		l.call.mail.post(event{kind: evAck, leg: l, req: req})
	}
}

// stray takes a response whose transaction is gone: a late 2xx must be ACKed
// again (RFC 3261 section 13.2.2.4); anything else is nobody's.
func (t *transport) stray(res *sip.Response, _ netip.AddrPort) {
	if l := t.side.find(res, tagOf(header(res, "to"))); l != nil && res.IsSuccess() {
		l.call.mail.post(event{kind: evStray2xx, leg: l, res: res})
		return
	}
	t.reject("no_transaction")
}

// answer sends a response of our own.
func (t *transport) answer(tx *serverTx, status int, reason string, extra ...sip.Header) {
	res := newResponse(tx.req, tx.from, status, reason, "")
	for _, h := range extra {
		res.AppendHeader(h)
	}
	if err := tx.respond(res); err != nil {
		t.side.gate.log.Warn("answering a request", "method", tx.req.Method, "status", status, "error", err)
	}
}
