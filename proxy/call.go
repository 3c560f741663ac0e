package proxy

import (
	"log/slog"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
	"consentgate/proxy/sdp"
)

// call is one call through the gate. Its goroutine alone reads and writes its
// fields; everybody else posts to its mailbox.
type call struct {
	gate   *Gate
	id     string // ours; the SIP Call-ID is the peers'
	callID string
	dir    consent.Direction
	policy *consent.Policy // nil: neither asked nor recorded
	log    *slog.Logger
	mail   *mailbox
	state  callState

	a, b      *leg               // who calls, who is called
	forks     map[string]*fork   // by the called side's tag: its dialogs
	expiry    *time.Timer        // of the session, RFC 4028
	interval  time.Duration      // its interval
	refresher *leg               // whose peer refreshes it
	untried   []way              // further ways to the called party, while nobody there has answered
	inv       *invite            // the INVITE that set the call up
	re        *invite            // a later one, while it is under way
	own       *indication        // one of our own, while it is under way
	said      *indication        // the latest before
	waiting   []event            // offers that came too early
	spell     *time.Timer        // until our own may be tried again
	last      *invite            // the latest that was acknowledged
	byeFrom   *leg               // who hung up first
	byeLater  func()             // passes on the BYE that waits for the caller's ACK; nil: none does
	ring      *ringFirst         // the caller is answered before the called party is rung; nil: it isn't
	former    *call              // that this one takes the place of (RFC 3891)
	asked     map[*serverTx]*leg // requests of the peers that may be unanswered
	answered  bool
	over      bool                     // nothing is left to do but to wait for answers
	outcome   string                   // a metric's label
	timers    map[*time.Timer]struct{} // running, or stopped

	media    callMedia
	standing standing // between the parties' keys, or not
	insecure bool     // an answer without keys ends it
	law      callLaw

	latest atomic.Pointer[consent.Hash] // the grant that was recorded with last; for calls that replace this one

	view LiveCall                 // as it will be published
	seen atomic.Pointer[LiveCall] // as it was, for everybody; never nil, never changed in place
	gone chan struct{}            // closed when its goroutine has ended
}

// leg is one of the two dialogs: how to reach its peer and what it last said.
type leg struct {
	call     *call
	side     *side
	socket   *transport
	party    consent.Party
	source   Place    // where its messages come from
	identity string   // its From or To value, with the tag
	target   string   // remote target, RFC 3261 section 12.2.1.1
	routes   []string // route set
	bound    []string // tags under which the gate finds it
	asserted string   // who speaks for it, as last asserted
	named    string   // who it says it is itself
	cseq     *numbers // of requests to it
	aware    bool     // it knows of recording: record-aware (RFC 7866 section 6.2)
	prefers  string   // what it wants of recording: its latest a=recordpref
	paused   bool     // by that
	deaf     bool     // it refused to be told
	refresh  bool     // its session timer must be refreshed along with the other's
	origin   versions // of the descriptions that it gets
	told     told     // the description that it last got and is in force
	offered  told     // one that it hasn't answered

	offer  *sdp.Session // made by it and not yet answered
	sdp    *sdp.Session // in force
	direct bool         // its latest offer passed as it is, so its answer must
	seal   seal
}

// other is the far end's leg.
func (l *leg) other() *leg {
	if l == l.call.a {
		return l.call.b
	}
	return l.call.a
}

// learn takes the remote target from a message of the leg's peer (RFC 3261
// section 12.2.1.2: a target refresh).
func (l *leg) learn(m message) {
	l.notice(m)
	if v := header(m, "contact"); v != "" {
		l.target = parseNameAddr(splitList(v)[0]).uri
	}
}

// notice learns from the peer's Supported whether it knows of recording (RFC
// 7866 section 6.2).
func (l *leg) notice(m message) {
	l.aware = l.aware || slices.Contains(list(m, "supported"), "record-aware")
}

// offerCall begins a call for a new INVITE, on the reader's goroutine.
func (g *Gate) offerCall(t *transport, tx *serverTx) {
	c := newCall(g, t, tx)
	bypass := c.policy != nil && c.policy.Action == consent.Bypass
	g.mu.Lock()
	refused := &refusal{"draining", 3 * callBackLater}
	if !g.closed && (bypass || !g.draining.Load()) {
		if refused = t.side.limits.take(bypass); refused == nil {
			g.calls.Add(1)
			g.live[c.id] = c
		}
	}
	g.mu.Unlock()
	if refused != nil {
		g.metrics.rejected.WithLabelValues(refused.reason).Inc()
		t.answer(tx, sip.StatusServiceUnavailable, "Service Unavailable", refused.retry())
		return
	}
	tx.call.Store(c)
	g.bind(c.a, tagOf(header(tx.req, "from")))
	g.metrics.active.WithLabelValues(t.side.trunk.Name).Inc()
	go c.run(tx)
}

func newCall(g *Gate, t *transport, tx *serverTx) *call {
	req := tx.req
	c := &call{gate: g, id: randomToken(), callID: header(req, "call-id"), mail: newMailbox(), outcome: "failed",
		forks: map[string]*fork{}, asked: map[*serverTx]*leg{}, timers: map[*time.Timer]struct{}{},
		gone: make(chan struct{})}
	c.log = g.log.With("call", c.id, "trunk", t.side.trunk.Name)
	if g.cfg.Trace != nil {
		g.cfg.Trace.Call(c.id, c.callID)
	}
	c.dir = consent.Outbound
	if t.side.party == consent.Remote {
		c.dir = consent.Inbound
	}
	c.a = &leg{call: c, side: t.side, socket: t, party: t.side.party,
		source:   Place{Transport: t.transport, Addr: tx.from},
		identity: header(req, "from"), routes: list(req, "record-route"), cseq: &numbers{}}
	c.a.learn(req)
	c.a.asserted = asserted(req)
	c.a.named = numberOf(parseNameAddr(c.a.identity).uri)
	far := t.side.other
	c.b = &leg{call: c, side: far, socket: far.endpoints[0], party: far.party, identity: header(req, "to"), cseq: &numbers{}}
	c.b.named = numberOf(parseNameAddr(c.b.identity).uri)
	c.former = g.replaced(t.side, req)
	c.policy = g.cfg.Policies.Match(c.dir, calledNumber(req))
	c.introduce(callerOf(req), calledNumber(req))
	return c
}

// calledNumber is what policies match: the Request-URI's user, or the whole of
// a URI that has none (urn:service:sos, RFC 5031).
func calledNumber(req *sip.Request) string { return numberOf(req.Recipient.String()) }

func numberOf(uri string) string {
	u := splitURI(uri)
	if plain, err := url.PathUnescape(u.user); err == nil {
		u.user = plain // RFC 3261 section 19.1.4: %31 is the same as 1
	}
	user, _, _ := strings.Cut(u.user, ";") // tel parameters in the user part, RFC 3261 section 19.1.6
	switch {
	case u.hostport != "":
		if user == "" {
			return uri
		}
		return user
	case strings.EqualFold(u.scheme, "tel"):
		return user
	}
	return uri
}

// run is the call's goroutine. It goes on after the call's end until all that
// was asked of the ledger has come back: a grant that arrives late is closed.
func (c *call) run(tx *serverTx) {
	defer c.gate.calls.Done()
	defer close(c.gone)
	defer c.survive()
	c.ask(c.a, tx)
	c.start(tx)
	released := false
	for {
		c.conclude()
		if c.state == ended && !released {
			released = true
			c.release()
		}
		if released && c.law.outstanding == 0 {
			break
		}
		c.publish()
		for _, ev := range c.mail.take() {
			c.step(ev)
		}
	}
	for _, ev := range c.mail.close() { // came while the last ones were handled
		c.step(ev)
	}
	c.law.close()
	c.log.Info("call over", "outcome", c.outcome)
	c.forget()
}

// forget lets go of what the call was made of. Its transactions outlive it by
// 32 s (RFC 3261 section 17) and know it: nobody reads these fields any more.
func (c *call) forget() {
	c.media, c.law = callMedia{}, callLaw{}
	c.inv, c.re, c.last, c.own, c.said = nil, nil, nil, nil, nil
	c.ring, c.former, c.forks, c.asked, c.untried = nil, nil, nil, nil, nil
	for _, l := range []*leg{c.a, c.b} {
		l.offer, l.sdp, l.told, l.offered = nil, nil, told{}, told{}
	}
}

// survive keeps a fault of ours in one call from ending all the others (law 2).
// That call is over: its tap is closed, its dialog unknown from here on.
func (c *call) survive() {
	fault := recover()
	if fault == nil {
		return
	}
	c.gate.metrics.faults.Inc()
	c.log.Error("a fault of ours ended a call", "stack", string(debug.Stack())) // the fault's text may hold numbers
	if c.media.relay != nil {
		c.media.relay.Close()
	}
	c.mail.close()
	c.abandon(sip.StatusInternalServerError, "Server Internal Error")
	c.gate.metrics.active.WithLabelValues(c.a.side.trunk.Name).Dec()
	c.gate.release(c)
}

// release gives back what others may use, at the call's end.
func (c *call) release() {
	for t := range c.timers {
		t.Stop()
	}
	c.abandon(sip.StatusRequestTerminated, "Request Terminated")
	if c.law.session != nil {
		c.consent(consent.Event{Kind: consent.HangUp})
		if c.ring != nil && c.ring.grant.Hash() != (consent.Hash{}) { // nobody came: the grant ends here
			c.ring.grant = consent.Grant{}
			c.consent(consent.Event{Kind: consent.OpenFailed, Reason: "the call was not answered"})
		}
	}
	if c.media.relay != nil {
		c.media.relay.Close()
	}
	m := c.gate.metrics
	m.active.WithLabelValues(c.a.side.trunk.Name).Dec()
	m.calls.WithLabelValues(c.a.side.trunk.Name, string(c.dir), c.outcome).Inc()
	c.gate.release(c)
}

// post is for what must not get lost, for the call waits for it: it is taken
// even when the mailbox is full.
func (c *call) post(ev event) { c.mail.insist(ev) }

// postReply posts what a response brings about. A final one, or that none came,
// is said once.
func (c *call) postReply(res *sip.Response, ev event) {
	if res != nil && res.IsProvisional() {
		c.mail.post(ev)
		return
	}
	c.post(ev)
}

// after runs f on the call's goroutine, which calls it, when d has passed and the
// call isn't over.
func (c *call) after(d time.Duration, f func()) *time.Timer {
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		c.post(event{kind: evTimer, run: func() {
			delete(c.timers, t)
			f()
		}})
	})
	c.timers[t] = struct{}{}
	return t
}
