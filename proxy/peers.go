package proxy

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// restTime is how long a peer that failed is tried last, unless it answers an
// OPTIONS before, or said itself for how long.
const restTime = 30 * time.Second

// peerStates knows which peers of a side answered last.
type peerStates struct {
	metrics     *metrics
	trunk, side string
	mu          sync.Mutex
	down        map[Place]time.Time // until when it is believed to be down
}

func newPeerStates(m *metrics, trunk, side string, peers []Place) *peerStates {
	p := &peerStates{metrics: m, trunk: trunk, side: side, down: map[Place]time.Time{}}
	for _, at := range peers {
		p.set(at, true) // not known to be down
	}
	return p
}

// set takes the answer to an OPTIONS, or that there was none.
func (p *peerStates) set(at Place, up bool) {
	p.mu.Lock()
	if up {
		delete(p.down, at)
	} else {
		p.down[at] = time.Now().Add(24 * time.Hour) // until it answers
	}
	p.mu.Unlock()
	p.show(at, up)
}

// failed takes that a peer refused a call or didn't answer it; rest is how long
// it wants to be left alone, 0 if it didn't say.
func (p *peerStates) failed(at Place, rest time.Duration) {
	if rest <= 0 {
		rest = restTime
	}
	p.mu.Lock()
	if until := time.Now().Add(rest); until.After(p.down[at]) {
		p.down[at] = until
	}
	p.mu.Unlock()
	p.show(at, false)
}

func (p *peerStates) show(at Place, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	p.metrics.peerUp.WithLabelValues(p.trunk, p.side, at.String()).Set(v)
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
