package proxy

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// restTime is how long a peer that failed is tried last, unless it answers an
// OPTIONS before, or said itself for how long.
const restTime = 30 * time.Second

// peerStates knows which peers of a side answered last. What is heard of other
// places (registrants, peers that moved) is nothing to it.
type peerStates struct {
	metrics     *metrics
	trunk, side string
	mu          sync.Mutex
	down        map[Place]time.Time // of each peer: until when it is believed to be down
}

func newPeerStates(m *metrics, trunk, side string) *peerStates {
	return &peerStates{metrics: m, trunk: trunk, side: side, down: map[Place]time.Time{}}
}

// know takes where the peers are now. New ones aren't known to be down; the series
// of those that left end.
func (p *peerStates) know(places []Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := range p.down {
		if !slices.Contains(places, at) {
			delete(p.down, at)
			p.metrics.peerUp.DeleteLabelValues(p.trunk, p.side, at.String())
		}
	}
	for _, at := range places {
		if _, known := p.down[at]; !known {
			p.mark(at, time.Time{})
		}
	}
}

// mark notes until when a peer is believed to be down. The lock is held, so that
// no series outlives its peer.
func (p *peerStates) mark(at Place, until time.Time) {
	p.down[at] = until
	v := 0.0
	if until.IsZero() {
		v = 1
	}
	p.metrics.peerUp.WithLabelValues(p.trunk, p.side, at.String()).Set(v)
}

// set takes the answer to an OPTIONS, or that there was none.
func (p *peerStates) set(at Place, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.down[at]; !known {
		return
	}
	if up {
		p.mark(at, time.Time{})
	} else {
		p.mark(at, time.Now().Add(24*time.Hour)) // until it answers
	}
}

// failed takes that a peer refused a call or didn't answer it; rest is how long
// it wants to be left alone, 0 if it didn't say.
func (p *peerStates) failed(at Place, rest time.Duration) {
	if rest <= 0 {
		rest = restTime
	}
	until := time.Now().Add(rest)
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, known := p.down[at]; known && until.After(before) {
		p.mark(at, until)
	}
}

// is reports whether a peer is believed to be up.
func (p *peerStates) is(at Place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !time.Now().Before(p.down[at])
}

// anyUp reports whether a peer of the side is up.
func (s *side) anyUp() bool {
	for _, p := range s.places() {
		if s.up.is(p) {
			return true
		}
	}
	return false
}

// startPings begins to ask each side's peers whether they are there, until the
// gate stops.
func (g *Gate) startPings() {
	for _, s := range g.sides {
		if s.trunk.OptionsPing > 0 {
			g.pings.Go(s.pingLoop)
		}
	}
}

func (s *side) pingLoop() {
	tick := time.NewTicker(s.trunk.OptionsPing)
	defer tick.Stop()
	for cseq := uint32(1); ; cseq++ {
		for _, at := range s.places() {
			if by := s.endpoint(at); by != nil {
				s.ping(way{by, at}, cseq)
			}
		}
		select {
		case <-tick.C:
		case <-s.gate.stopCtx.Done():
			return
		}
	}
}

// ping sends one OPTIONS (RFC 3261 section 11). Any answer is a sign of life but
// 503, by which a peer says that it takes no calls.
func (s *side) ping(w way, cseq uint32) {
	out := sip.NewRequest(sip.OPTIONS, sip.Uri{Scheme: "sip", Host: hostOf(w.to.Addr.Addr()), Port: int(w.to.Addr.Port())})
	out.AppendHeader(sip.NewHeader("Via", w.via()))
	out.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	out.AppendHeader(sip.NewHeader("From", "<sip:"+w.by.hostport+">;tag="+randomToken()))
	out.AppendHeader(sip.NewHeader("To", "<sip:"+w.to.Addr.String()+">"))
	out.AppendHeader(sip.NewHeader("Call-ID", randomToken()))
	out.AppendHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(cseq), 10)+" OPTIONS"))
	out.AppendHeader(sip.NewHeader("Contact", "<sip:"+w.by.contact+">"))
	out.SetBody(nil)
	_, err := w.by.tx.send(out, w.to, func(res *sip.Response) {
		if res == nil || !res.IsProvisional() {
			s.up.set(w.to, res != nil && res.StatusCode != sip.StatusServiceUnavailable)
		}
	})
	if err != nil {
		s.up.set(w.to, false)
	}
}

// hostOf is an address as a URI has it.
func hostOf(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
