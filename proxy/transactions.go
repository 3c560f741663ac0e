package proxy

import (
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
)

// transactions drives sipgo's transaction state machines (RFC 3261 section 17,
// RFC 6026) for one endpoint, in order of arrival. sipgo's own layer starts a
// goroutine for each message, so a 200 can overtake a 183, and a CANCEL its
// INVITE. Here the reader of the socket does the work: the state machines don't
// block it, because every client transaction has a pump that takes its
// responses off at once.
type transactions struct {
	endpoint *endpoint
	handler  transactionUser
	log      *slog.Logger

	mu     sync.Mutex // guards the maps alone: never held during a call into sipgo
	server map[string]*serverTx
	client map[string]*clientTx
	pumps  sync.WaitGroup
}

// transactionUser gets what the transactions deliver. No method may block.
type transactionUser interface {
	request(tx *serverTx)                         // a new request, neither ACK nor CANCEL
	cancel(req *sip.Request, invite *serverTx)    // the first CANCEL of a known INVITE
	ack(req *sip.Request)                         // ACK of a 2xx
	stray(res *sip.Response, from netip.AddrPort) // response without a transaction
}

func newTransactions(e *endpoint, log *slog.Logger) *transactions {
	return &transactions{endpoint: e, log: log,
		server: map[string]*serverTx{}, client: map[string]*clientTx{}}
}

// serverTx is a request and the way to answer it.
type serverTx struct {
	by   *transport // that it came by
	req  *sip.Request
	from netip.AddrPort
	tx   *sip.ServerTx
	// final is the status of the final response, 0 before. sipgo would let a
	// late response replace a final one and retransmit it: a 200 to a
	// cancelled INVITE.
	final     atomic.Int32
	call      atomic.Pointer[call]         // whose INVITE this is
	cancelled atomic.Pointer[sip.Response] // our answer to its CANCEL, once that has come
	to        way                          // to the registrant that it is for; the zero way: to the other side's peers
}

// respond sends a response, unless a final one has been sent; a 2xx to an
// INVITE may be repeated.
func (s *serverTx) respond(res *sip.Response) error {
	if f := s.final.Load(); f != 0 && !(f < 300 && res.IsSuccess() && s.req.IsInvite()) {
		return nil
	}
	if res.StatusCode >= 200 {
		s.final.Store(int32(res.StatusCode))
	}
	return s.tx.Respond(res)
}

// receive takes a parsed message from the endpoint's reader.
func (t *transactions) receive(msg message, bad *problem, from netip.AddrPort) {
	switch m := msg.(type) {
	case *sip.Request:
		if bad == nil {
			bad = validate(m)
		}
		if bad != nil {
			t.refuse(m, bad, from)
			return
		}
		t.receiveRequest(m, from)
	case *sip.Response:
		if bad != nil || !readable(m) {
			t.endpoint.reject("malformed")
			return
		}
		t.receiveResponse(m, from)
	}
}

// refuse answers a request that is none of ours to pass on, if it can be
// answered.
func (t *transactions) refuse(req *sip.Request, bad *problem, from netip.AddrPort) {
	t.endpoint.reject(bad.reason)
	if bad.status != 0 && !req.IsAck() && len(headers(req, "via")) > 0 {
		t.answerStateless(req, from, bad.status, bad.text)
	}
}

func (t *transactions) receiveRequest(req *sip.Request, from netip.AddrPort) {
	key := serverKey(req)
	tx := t.lookupServer(key)
	switch {
	case req.IsAck():
		if tx == nil || tx.final.Load() < 300 { // some ACK a 2xx with the INVITE's branch
			t.handler.ack(req)
			return
		}
		t.spin(tx, req)
	case tx != nil:
		t.spin(tx, req)
	case req.IsCancel():
		t.receiveCancel(key, req, from)
	default:
		t.handler.request(t.newServer(key, req, from))
	}
}

func (t *transactions) receiveCancel(key string, req *sip.Request, from netip.AddrPort) {
	// RFC 3261 section 9.2: the CANCEL's transaction is the INVITE's but for the method.
	invite := t.lookupServer(key[:len(key)-len("CANCEL")] + "INVITE")
	if invite == nil {
		t.answerStateless(req, from, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	// No transaction: sipgo answers a CANCEL past its state machine, which then
	// neither repeats the answer nor ever ends.
	first := invite.cancelled.CompareAndSwap(nil, newResponse(req, from, sip.StatusOK, "OK", ""))
	if err := t.endpoint.backTo(req, from).WriteMsg(invite.cancelled.Load()); err != nil {
		t.log.Warn("answering a CANCEL", "error", err)
	}
	if first {
		t.handler.cancel(req, invite)
	}
}

// spin feeds a request to its transaction.
func (t *transactions) spin(tx *serverTx, req *sip.Request) {
	if err := tx.tx.Receive(req); err != nil {
		t.endpoint.reject("malformed")
	}
}

func (t *transactions) lookupServer(key string) *serverTx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.server[key]
}

func (t *transactions) newServer(key string, req *sip.Request, from netip.AddrPort) *serverTx {
	stx := sip.NewServerTx(key, req, t.endpoint.backTo(req, from), t.log)
	if err := stx.Init(); err != nil { // returns nil in this version of sipgo
		t.log.Warn("starting a server transaction", "error", err)
	}
	s := &serverTx{req: req, from: from, tx: stx}
	t.mu.Lock()
	t.server[key] = s
	t.mu.Unlock()
	stx.OnTerminate(func(key string, _ error) {
		t.mu.Lock()
		delete(t.server, key)
		t.mu.Unlock()
	})
	return s
}

// answerStateless answers where no transaction is worth having.
func (t *transactions) answerStateless(req *sip.Request, from netip.AddrPort, status int, reason string) {
	if err := t.endpoint.backTo(req, from).WriteMsg(newResponse(req, from, status, reason, "")); err != nil {
		t.log.Warn("answering a request", "error", err)
	}
}

// clientTx is a request that we sent.
type clientTx struct {
	req     *sip.Request
	path    *path
	tx      *sip.ClientTx
	invite  bool
	refused atomic.Bool // a final response of 300 or more was seen
	heard   atomic.Bool // any response was
	final   atomic.Bool // a final response was
	ack     atomic.Pointer[ack2xx]
	resent  atomic.Bool // on a second connection
	broken  atomic.Bool // its peer could not be reached
	deliver func(*sip.Response)
	settled chan struct{} // taken by the pump when it has delivered what it took before
	over    chan struct{} // closed when there is no pump any more
}

// send starts a client transaction. deliver gets its responses in order, and
// nil at its end if no final response came; it is called from goroutines of the
// transaction and must not block.
func (t *transactions) send(req *sip.Request, dest Place, deliver func(*sip.Response)) (*clientTx, error) {
	req.SetTransport(strings.ToUpper(dest.Transport)) // the state machine doesn't repeat what goes by a stream
	key := clientKey(req, string(req.Method))
	c := &clientTx{req: req, path: t.endpoint.to(dest), invite: req.IsInvite(), deliver: deliver,
		settled: make(chan struct{}), over: make(chan struct{})}
	c.path.request = req
	c.tx = sip.NewClientTx(key, token(req), c.path, t.log)
	c.tx.OnRetransmission(c.repeated)
	c.tx.OnTerminate(func(key string, _ error) {
		t.mu.Lock()
		delete(t.client, key)
		t.mu.Unlock()
	})
	t.mu.Lock()
	t.client[key] = c
	t.mu.Unlock()
	if err := c.tx.Init(); err != nil {
		close(c.over)
		c.tx.Terminate()
		return nil, err
	}
	t.pumps.Add(1)
	go t.pump(c)
	return c, nil
}

// token is what sipgo's state machine needs of a request: its method, by what it
// is sent, and a CSeq to make an ACK of.
func token(req *sip.Request) *sip.Request {
	t := sip.NewRequest(req.Method, sip.Uri{}) // its errors would show the URI, and with it a number
	t.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: req.Method})
	t.SetTransport(req.Transport())
	return t
}

// ack2xx is the ACK of a 2xx, and where it goes.
type ack2xx struct {
	tag string // of the 2xx
	req *sip.Request
	to  *path
}

// repeated takes a repetition of a 2xx: its ACK got lost (RFC 3261 section
// 13.2.2.4). That is the transaction's to repeat: it outlives the call.
func (c *clientTx) repeated(res *sip.Response) {
	a := c.ack.Load()
	if a == nil || a.tag != tagOf(header(res, "to")) {
		c.deliver(res)
		return
	}
	if err := a.to.WriteMsg(a.req); err != nil {
		c.path.endpoint.log.Warn("repeating an ACK", "error", err)
	}
}

// pump takes responses off a transaction, which holds its lock meanwhile. After
// the final one nothing more comes this way: repetitions of a 2xx go to deliver
// directly, those of a failure get their ACK in receiveResponse.
func (t *transactions) pump(c *clientTx) {
	defer t.pumps.Done()
	defer close(c.over)
	// What rings has no end by itself (RFC 3261 section 16.6 item 11).
	silence := time.NewTimer(maxRinging + lifetime)
	defer silence.Stop()
	for {
		select {
		case <-c.settled:
		case <-silence.C:
			c.tx.Terminate()
		case res := <-c.tx.Responses():
			silence.Reset(maxRinging + lifetime)
			if res.StatusCode >= 200 {
				c.final.Store(true)
			}
			c.deliver(res)
			if res.StatusCode >= 200 {
				if !c.invite { // timer K; sipgo keeps it for timer D, six times as long
					time.AfterFunc(sip.Timer_K, c.tx.Terminate)
				}
				return
			}
		case <-c.tx.Done():
			c.deliver(nil)
			return
		}
	}
}

func (t *transactions) receiveResponse(res *sip.Response, from netip.AddrPort) {
	_, method, _ := splitCSeq(res)
	t.mu.Lock()
	c := t.client[clientKey(res, method)]
	t.mu.Unlock()
	if c != nil {
		c.heard.Store(true)
	}
	switch {
	case c == nil:
		t.handler.stray(res, from)
	case c.invite && res.StatusCode >= 300 && c.refused.Swap(true):
		// sipgo would sleep here before it repeats the ACK, and with it the reader.
		c.path.repeatAck()
	default:
		if res.StatusCode >= 300 {
			c.path.refusedBy(res)
		}
		c.receive(res)
	}
}

// receive returns when the response has been delivered: a request that the peer
// sends right behind it must not overtake it.
func (c *clientTx) receive(res *sip.Response) {
	c.tx.Receive(res)
	select {
	case c.settled <- struct{}{}:
	case <-c.over:
	}
}

// lost takes the end of a connection, or that none could be made. A request to
// which nothing was heard goes out once more on a new connection: the peer may
// have closed the old one while it was under way. What had an answer keeps
// waiting: the next may come by another connection (RFC 3261 section 18.2.2).
func (t *transactions) lost(to netip.AddrPort, unreached bool) {
	t.mu.Lock()
	var mute []*clientTx
	for _, c := range t.client {
		if c.path.dest.Addr == to && !c.heard.Load() {
			mute = append(mute, c)
		}
	}
	t.mu.Unlock()
	for _, c := range mute {
		if !unreached && !c.resent.Swap(true) && c.path.WriteMsg(c.req) == nil {
			continue
		}
		c.broken.Store(true)
		c.tx.Terminate()
	}
}

// size is the number of transactions there are.
func (t *transactions) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.server) + len(t.client)
}

// close ends what transactions are left and waits for their pumps.
func (t *transactions) close() {
	t.mu.Lock()
	var clients []*clientTx
	for _, c := range t.client {
		clients = append(clients, c)
	}
	var servers []*serverTx
	for _, s := range t.server {
		servers = append(servers, s)
	}
	t.mu.Unlock()
	for _, c := range clients {
		c.tx.Terminate()
	}
	for _, s := range servers {
		s.tx.Terminate()
	}
	t.pumps.Wait()
}
