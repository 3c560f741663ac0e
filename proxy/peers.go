package proxy

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// peerStates knows which peers of a side answered their last OPTIONS.
type peerStates struct {
	metrics     *metrics
	trunk, side string
	mu          sync.Mutex
	up          map[netip.AddrPort]bool
}

func newPeerStates(m *metrics, trunk, side string, peers []netip.AddrPort) *peerStates {
	p := &peerStates{metrics: m, trunk: trunk, side: side, up: map[netip.AddrPort]bool{}}
	for _, at := range peers {
		p.set(at, true) // not known to be down
	}
	return p
}

func (p *peerStates) set(at netip.AddrPort, up bool) {
	p.mu.Lock()
	p.up[at] = up
	p.mu.Unlock()
	v := 0.0
	if up {
		v = 1
	}
	p.metrics.peerUp.WithLabelValues(p.trunk, p.side, at.String()).Set(v)
}

// any reports whether a peer of the side is up.
func (p *peerStates) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, up := range p.up {
		if up {
			return true
		}
	}
	return false
}

// startPings begins to ask each peer whether it is there, until the gate stops.
func (g *Gate) startPings() {
	for _, s := range g.sides {
		if s.trunk.OptionsPing <= 0 || len(s.endpoints) == 0 {
			continue
		}
		for _, peer := range s.conf.Peers {
			g.pings.Go(func() { s.pingLoop(peer) })
		}
	}
}

func (s *side) pingLoop(peer netip.AddrPort) {
	tick := time.NewTicker(s.trunk.OptionsPing)
	defer tick.Stop()
	for cseq := uint32(1); ; cseq++ {
		s.ping(peer, cseq)
		select {
		case <-tick.C:
		case <-s.gate.stopCtx.Done():
			return
		}
	}
}

// ping sends one OPTIONS (RFC 3261 section 11). Any answer is a sign of life but
// 503, by which a peer says that it takes no calls.
func (s *side) ping(peer netip.AddrPort, cseq uint32) {
	t := s.endpoints[0]
	out := sip.NewRequest(sip.OPTIONS, sip.Uri{Scheme: "sip", Host: peer.Addr().String(), Port: int(peer.Port())})
	out.AppendHeader(sip.NewHeader("Via", "SIP/2.0/UDP "+t.contact+";branch="+newBranch()+";rport"))
	out.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	out.AppendHeader(sip.NewHeader("From", "<sip:"+t.contact+">;tag="+randomToken()))
	out.AppendHeader(sip.NewHeader("To", "<sip:"+peer.String()+">"))
	out.AppendHeader(sip.NewHeader("Call-ID", randomToken()))
	out.AppendHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(cseq), 10)+" OPTIONS"))
	out.AppendHeader(sip.NewHeader("Contact", "<sip:"+t.contact+">"))
	out.SetBody(nil)
	_, err := t.tx.send(out, peer, func(res *sip.Response) {
		if res == nil || !res.IsProvisional() {
			s.up.set(peer, res != nil && res.StatusCode != sip.StatusServiceUnavailable)
		}
	})
	if err != nil {
		s.up.set(peer, false)
	}
}
