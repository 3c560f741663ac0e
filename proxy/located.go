package proxy

import (
	"context"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"consentgate/proxy/locate"
)

const (
	// startPatience is how long the start waits for the first answers of DNS.
	startPatience = 2 * time.Second
	// lingering is how long an address may still send to us after DNS stopped
	// naming it: longer than nearly every call that is under way with it.
	lingering = 4 * time.Hour
	// maxLingering bounds how many such addresses a side has.
	maxLingering = 1024
)

// whereabouts is where a side's peers are. Calls read it without waiting; it
// changes when DNS does.
type whereabouts struct {
	now atomic.Pointer[located]

	mu      sync.Mutex // for those who change it
	answers []locate.Answer
}

// located is what is known at one time. It isn't changed.
type located struct {
	answers []locate.Answer // of each peer, in order
	places  []Place         // all, each once
	// accepted are the peers' addresses: with the zero time while they are, else
	// until then.
	accepted map[netip.Addr]time.Time
}

// place is where a hop of a peer's leads. TLS has to show the domain of the URI,
// whatever DNS made of it (RFC 5922 section 4).
func place(peer locate.Peer, h locate.Hop) Place {
	p := Place{Transport: h.Transport, Addr: h.Addr}
	if p.Transport == "tls" {
		p.Name = peer.Host
	}
	return p
}

// places are those of the side's peers, in order.
func (s *side) places() []Place { return s.where.now.Load().places }

// orderSeed makes the order of a call's places ours to know.
var orderSeed = maphash.MakeSeed()

// inOrder are the places for one call, by preference and by lot. Requests with one
// Call-ID have one order: an INVITE that was challenged comes back to who knows
// the nonce, a REGISTER to who has the binding.
func (s *side) inOrder(callID string) (out []Place) {
	r := rand.New(rand.NewPCG(maphash.String(orderSeed, callID), 0))
	for i, a := range s.where.now.Load().answers {
		for _, h := range a.Order(r) {
			if p := place(s.conf.Peers[i], h); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// accepts reports whether an address may send to this side. It is asked for each
// datagram.
func (s *side) accepts(a netip.Addr) bool {
	for _, p := range s.conf.AcceptFrom {
		if p.Contains(a) {
			return true
		}
	}
	if len(s.conf.AcceptFrom) > 0 {
		return false
	}
	until, ok := s.where.now.Load().accepted[a]
	return ok && (until.IsZero() || time.Now().Before(until))
}

// settle takes that a peer is where the answer says. It reports whether that is
// news.
func (s *side) settle(peer int, a locate.Answer) bool {
	s.where.mu.Lock()
	defer s.where.mu.Unlock()
	old := s.where.now.Load()
	news := old == nil || !slices.Equal(old.answers[peer].Hops(), a.Hops())
	s.where.answers[peer] = a
	l := &located{answers: slices.Clone(s.where.answers), accepted: map[netip.Addr]time.Time{}}
	for i, a := range l.answers {
		for _, h := range a.Hops() {
			if p := place(s.conf.Peers[i], h); !slices.Contains(l.places, p) {
				l.places = append(l.places, p)
			}
		}
	}
	if old != nil {
		l.linger(old, time.Now())
	}
	for _, p := range l.places {
		l.accepted[p.Addr.Addr()] = time.Time{}
	}
	s.where.now.Store(l)
	s.up.know(l.places)
	return news
}

// linger takes over the addresses that were accepted before, those that ended
// last if there are too many.
func (l *located) linger(old *located, now time.Time) {
	for a, until := range old.accepted {
		if until.IsZero() {
			until = now.Add(lingering)
		}
		if now.Before(until) {
			l.accepted[a] = until
		}
	}
	if len(l.accepted) <= maxLingering {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(l.accepted), func(a, b netip.Addr) int { return l.accepted[a].Compare(l.accepted[b]) })
	for _, a := range oldest[:len(oldest)-maxLingering] {
		delete(l.accepted, a)
	}
}

// settleFixed puts the peers that are named by their address where they are, and
// the others nowhere yet.
func (s *side) settleFixed() {
	s.where.answers = make([]locate.Answer, len(s.conf.Peers))
	for i, p := range s.conf.Peers {
		if _, fixed := p.Fixed(); fixed {
			s.where.answers[i], _ = p.Locate(context.Background(), nil, nil) // asks nothing, so nothing fails
		}
	}
	s.where.now.Store(&located{answers: make([]locate.Answer, len(s.conf.Peers))})
	for i, a := range slices.Clone(s.where.answers) {
		s.settle(i, a)
	}
}

// sockets are the kinds of those we listen on: what a peer must have to be
// reached.
func (s *side) sockets() (out []locate.Socket) {
	for _, t := range s.endpoints {
		out = append(out, locate.Socket{Transport: t.transport, IPv6: t.local.Addr().Is6()})
	}
	return out
}

// startLocating begins to follow DNS for all peers that are domains, until the
// gate stops. It waits for the first answers, or a moment: who starts while DNS is
// down starts all the same.
func (g *Gate) startLocating() {
	var first sync.WaitGroup
	for _, s := range g.sides {
		for i, p := range s.conf.Peers {
			if _, fixed := p.Fixed(); fixed {
				continue
			}
			first.Add(1)
			g.pings.Go(func() { s.follow(i, sync.OnceFunc(first.Done)) })
		}
	}
	answered := make(chan struct{})
	g.pings.Go(func() {
		first.Wait() // each peer's goroutine says so once, at its end at the latest
		close(answered)
	})
	select {
	case <-answered:
	case <-time.After(startPatience):
	}
}

// follow keeps one peer where DNS says it is. A failure is told once, until it is
// over; calls go to where the peer was last.
func (s *side) follow(i int, answered func()) {
	defer answered()
	peer, failing := s.conf.Peers[i], false
	log := s.gate.log.With("trunk", s.trunk.Name, "side", s.name(), "peer", peer.Host)
	peer.Watch(s.gate.stopCtx, s.gate.cfg.DNS, s.sockets(), func(a locate.Answer, err error) {
		n := len(a.Hops())
		switch {
		case err != nil:
			s.gate.metrics.dnsFailures.WithLabelValues(s.trunk.Name, s.name()).Inc()
			if !failing {
				log.Warn("DNS doesn't say where a peer is: calls go to where it was last", "places", n, "error", err)
			}
		case failing:
			log.Info("DNS says again where a peer is", "places", n)
		}
		failing = err != nil
		if s.settle(i, a) {
			log.Info("located a peer", "places", n)
		}
		answered()
	})
}
