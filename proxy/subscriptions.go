package proxy

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

const (
	// maxSubscriptions bounds the dialogs without a call. Those beyond it pass,
	// and what comes within them gets 481.
	maxSubscriptions = 10000
	// maxNotifiers bounds the forks of one SUBSCRIBE that are known.
	maxNotifiers = 16
	// referExpires is how long a REFER's subscription is kept where no NOTIFY
	// says (RFC 3515 section 2.4.4 leaves it to the notifier).
	referExpires = 3 * time.Minute
)

// subscriptions are the dialogs that SUBSCRIBE and REFER make outside of calls,
// or that outlive them
// (RFC 6665), found by the subscriber's side, Call-ID and tag: a NOTIFY may come
// before the 2xx that names the notifier's.
type subscriptions struct {
	mu    sync.Mutex // guards all below, and the subscriptions
	byKey map[dialogKey]*subscription
}

// subscription is one subscriber's, with a dialog to each notifier that a fork
// reached. A leg of it belongs to no call.
type subscription struct {
	key        dialogKey
	subscriber *leg
	notifiers  map[string]*leg // by tag
	until      time.Time
}

func newSubscriptions() *subscriptions {
	return &subscriptions{byKey: map[dialogKey]*subscription{}}
}

// expire forgets what ended before now.
func (s *subscriptions) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, sub := range s.byKey {
		if sub.until.Before(now) {
			delete(s.byKey, k)
		}
	}
}

func (s *subscriptions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey)
}

// extend keeps a subscription for so long from now on, and the time that
// messages take.
func (sub *subscription) extend(d time.Duration) { sub.until = time.Now().Add(d + lifetime) }

// subscribe notes a SUBSCRIBE or REFER outside a dialog that is passed on; the
// function it returns takes its responses. nil: there are too many.
func (t *transport) subscribe(tx *serverTx, o onward) func(res, back *sip.Response) {
	all, req := t.side.gate.subscriptions, tx.req
	sub := &subscription{key: dialogKey{t.side, header(req, "call-id"), tagOf(header(req, "from"))},
		subscriber: &leg{side: t.side, socket: t, source: Place{Transport: t.transport, Addr: tx.from}, routes: list(req, "record-route"), cseq: &numbers{}},
		notifiers:  map[string]*leg{}}
	sub.subscriber.learn(req)
	sub.extend(lifetime)
	if !t.side.gate.keep(sub) {
		return nil
	}
	asked := askedOf(req)
	return func(res, _ *sip.Response) {
		all.mu.Lock()
		defer all.mu.Unlock()
		switch {
		case res != nil && res.IsProvisional():
		case res == nil || !res.IsSuccess():
			if all.byKey[sub.key] == sub { // and not the retry with credentials
				delete(all.byKey, sub.key)
			}
		default:
			n := sub.notifier(tagOf(header(res, "to")), o.way)
			if n == nil {
				return
			}
			n.learn(res)
			n.routes = reversed(list(res, "record-route"))
			sub.extend(seconds(header(res, "expires"), asked))
		}
	}
}

// askedOf is for how long a request wants a subscription.
func askedOf(req *sip.Request) time.Duration {
	if req.Method == sip.REFER {
		return referExpires
	}
	return seconds(header(req, "expires"), defaultExpires)
}

// keep enters a subscription; false if there are too many.
func (g *Gate) keep(sub *subscription) bool {
	all := g.subscriptions
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byKey[sub.key] == nil && len(all.byKey) >= maxSubscriptions {
		g.metrics.rejected.WithLabelValues("subscriptions").Inc()
		return false
	}
	all.byKey[sub.key] = sub
	return true
}

// subscribed notes a subscription that was made within a call: it may outlive
// the call, and is found here when that is gone (RFC 5057 section 4).
func (c *call) subscribed(from *leg, req *sip.Request, res *sip.Response) {
	if res == nil || !res.IsSuccess() || req.Method != sip.SUBSCRIBE && req.Method != sip.REFER {
		return
	}
	end := func(l *leg) *leg {
		return &leg{side: l.side, socket: l.socket, source: l.source, target: l.target, routes: l.routes, cseq: l.cseq}
	}
	sub := &subscription{key: dialogKey{from.side, c.callID, tagOf(header(req, "from"))}, subscriber: end(from),
		notifiers: map[string]*leg{tagOf(header(req, "to")): end(from.other())}}
	sub.extend(seconds(header(res, "expires"), askedOf(req)))
	c.gate.keep(sub)
}

// notifier returns the notifier of that tag, a new one if need be; nil if there
// are too many.
func (sub *subscription) notifier(tag string, w way) *leg {
	n := sub.notifiers[tag]
	if n == nil && len(sub.notifiers) < maxNotifiers {
		n = &leg{side: w.by.side, socket: w.by, source: w.to, cseq: &numbers{}}
		sub.notifiers[tag] = n
	}
	return n
}

// inSubscription passes on a request within a subscription's dialog; false if
// it is in none that is known.
func (t *transport) inSubscription(tx *serverTx) bool {
	all := t.side.gate.subscriptions
	if tx.req.IsInvite() {
		return false
	}
	all.mu.Lock()
	sub, from, to := all.find(t, tx)
	if sub == nil {
		all.mu.Unlock()
		return false
	}
	if tx.req.Method == sip.NOTIFY || tx.req.Method == sip.SUBSCRIBE { // target refreshes, RFC 6665 section 4.4.1
		from.learn(tx.req)
	}
	if tx.req.Method == sip.NOTIFY {
		sub.notified(tx.req, from)
	}
	o := onward{way: to.way(), routes: to.routes, cseq: to.cseq.pass(tx.req)}
	uri, err := uriOf(to.target)
	all.mu.Unlock()
	if err != nil {
		return false
	}
	o.uri = uri
	asked := askedOf(tx.req)
	o.heard = func(res, _ *sip.Response) {
		all.mu.Lock()
		defer all.mu.Unlock()
		switch {
		case res == nil || res.IsProvisional():
		case res.IsSuccess() && tx.req.Method == sip.SUBSCRIBE:
			to.learn(res)
			sub.extend(seconds(header(res, "expires"), asked))
		case res.StatusCode == sip.StatusCallTransactionDoesNotExists: // RFC 6665 sections 4.1.2.2, 4.2.2
			sub.over(from, to)
		}
	}
	t.passOn(tx, o)
	return true
}

// find returns the subscription that a request is in, its sender and who gets
// it. A NOTIFY makes known a notifier that wasn't (RFC 6665 section 4.4.1). The
// lock is held.
func (s *subscriptions) find(t *transport, tx *serverTx) (sub *subscription, from, to *leg) {
	callID, fromTag, toTag := header(tx.req, "call-id"), tagOf(header(tx.req, "from")), tagOf(header(tx.req, "to"))
	if sub = s.byKey[dialogKey{t.side, callID, fromTag}]; sub != nil && sub.notifiers[toTag] != nil {
		return sub, sub.subscriber, sub.notifiers[toTag]
	}
	if sub = s.byKey[dialogKey{t.side.other, callID, toTag}]; sub == nil {
		return nil, nil, nil
	}
	from = sub.notifiers[fromTag]
	if from == nil && tx.req.Method == sip.NOTIFY {
		if from = sub.notifier(fromTag, way{t, Place{Transport: t.transport, Addr: tx.from}}); from != nil {
			from.routes = list(tx.req, "record-route")
		}
	}
	if from == nil {
		return nil, nil, nil
	}
	return sub, from, sub.subscriber
}

// notified takes the state that a NOTIFY tells (RFC 6665 section 4.1.3).
func (sub *subscription) notified(req *sip.Request, notifier *leg) {
	state, params, _ := strings.Cut(header(req, "subscription-state"), ";")
	if strings.EqualFold(strings.TrimSpace(state), "terminated") {
		sub.over(notifier)
	} else if v := param(params, "expires"); v != "" {
		sub.extend(seconds(v, defaultExpires))
	}
}

// over forgets one of several notifiers, and a subscription that has no other
// when messages under way have come.
func (sub *subscription) over(ends ...*leg) {
	if len(sub.notifiers) <= 1 {
		sub.until = time.Now().Add(lifetime)
		return
	}
	for tag, n := range sub.notifiers {
		if slices.Contains(ends, n) {
			delete(sub.notifiers, tag)
		}
	}
}
