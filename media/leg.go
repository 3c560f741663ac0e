package media

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/media/sockets"
)

// Leg is one side's RTP and RTCP sockets, and what its peer hears.
type Leg struct {
	relay *Relay
	party consent.Party
	ip    netip.Addr
	pair  pair
	taken prometheus.Counter

	place atomic.Pointer[place] // nil until SetPeer: every packet is a stranger's
	out   stream                // towards this leg's peer
	keys  keys                  // of the sockets' thread

	watch    watch
	measures measures

	mu      sync.Mutex
	closed  bool
	player  *player        // the latest
	players sync.WaitGroup // their goroutines
}

// Addr is our RTP address on this side; RTCP is the next port.
func (l *Leg) Addr() netip.AddrPort { return netip.AddrPortFrom(l.ip, l.pair.number) }

// SetPeer puts a description into force, at each offer and answer, and starts the
// window in which one other port of the peer's address may be learnt. Where it
// names the same address as before, what was learnt stays in force until then.
func (l *Leg) SetPeer(p Peer) {
	l.watch.expect()
	old := l.place.Load()
	now := newPlace(p, old, l.pair.former, time.Now().Add(l.relay.engine.cfg.Learning))
	l.follow(old, now)
	l.place.Store(now)
}

// close ends the leg's player and its sockets.
func (l *Leg) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.Stop()
	if err := l.pair.close(); err != nil {
		l.relay.log.Warn("closing media sockets", "error", err)
	}
}

// free gives the ports back, once nobody uses the leg any more.
func (l *Leg) free() {
	l.relay.engine.cfg.Pool.put(l.pair.left(l.place.Load()))
}

// giveUp gives ports back that nobody has been told of.
func (l *Leg) giveUp() error {
	err := l.pair.close()
	l.relay.engine.cfg.Pool.untake(l.pair.port)
	return err
}

// takeRTP and takeRTCP are called on the sockets' thread.
func (l *Leg) takeRTP(data []byte, from netip.AddrPort, at time.Time, err error) {
	if err != nil {
		l.unreadable(err)
		return
	}
	l.packet(data, from, at)
}

func (l *Leg) takeRTCP(data []byte, from netip.AddrPort, at time.Time, err error) {
	if err != nil {
		l.unreadable(err)
		return
	}
	l.report(data, from, at)
}

func (l *Leg) unreadable(err error) {
	if errors.Is(err, sockets.ErrTooLong) {
		l.relay.drop(malformed)
		return
	}
	l.relay.drop(unread)
}

// packet decides what becomes of one RTP packet.
func (l *Leg) packet(data []byte, from netip.AddrPort, at time.Time) {
	p := l.place.Load()
	if p == nil || !p.rtp.admits(from, at) {
		l.relay.drop(stranger)
		return
	}
	if p.In != nil && isVersion2(data) {
		if data = l.opened(p.In.RTP(data, at)); data == nil {
			return
		}
	}
	h, ok := parse(data)
	if !ok {
		l.relay.drop(malformed)
		return
	}
	l.taken.Inc()
	bridged := l.relay.bridged.Load()
	if p.events[h.pt] == 0 {
		l.watch.heard(p, h, at)
	}
	if l.heed(p, h, data, bridged, at) {
		l.relay.drop(ourKey)
		return
	}
	if !bridged {
		l.relay.drop(gated)
		return
	}
	p.renumber(data, h.pt)
	l.relay.legs[l.party.Other()].forward(data, h, p.clock(h.pt), at)
}

// forward sends the other party's packet to this leg's peer; clock is that of its
// timestamp, in Hz, 0 where it isn't known.
func (l *Leg) forward(data []byte, h header, clock int, at time.Time) {
	p := l.place.Load()
	if p == nil || !p.RTP.IsValid() {
		l.relay.drop(held)
		return
	}
	if why := l.out.pass(data, h, clock, at); why != reasons {
		l.relay.drop(why)
		return
	}
	l.send(data, p)
}

// send sends an RTP packet; false: it didn't leave.
func (l *Leg) send(data []byte, p *place) bool {
	if p.Out != nil {
		room := sealing.Get().(*room)
		defer sealing.Put(room)
		if data = l.sealed(p.Out.RTP(room[:0], data)); data == nil {
			return false
		}
	}
	if err := l.pair.rtp.Send(data, p.rtp.target()); err != nil {
		l.relay.drop(unsent)
		return false
	}
	return true
}

// report decides what becomes of one RTCP packet.
func (l *Leg) report(data []byte, from netip.AddrPort, at time.Time) {
	p := l.place.Load()
	if p == nil || !p.rtcp.admits(from, at) {
		l.relay.drop(stranger)
		return
	}
	if p.In != nil && isVersion2(data) {
		if data = l.opened(p.In.RTCP(data, at)); data == nil {
			return
		}
	}
	if !isReport(data) {
		l.relay.drop(malformed)
		return
	}
	l.reported(data, at)
	if !l.relay.bridged.Load() {
		l.relay.drop(gated)
		return
	}
	other := l.relay.legs[l.party.Other()]
	to := other.place.Load()
	if to == nil || !to.RTCP.IsValid() {
		l.relay.drop(held)
		return
	}
	out, err := translate(data, other.out.mapping(), l.out.mapping())
	if err != nil {
		l.relay.drop(malformed)
		return
	}
	if out == nil {
		l.relay.drop(prompted)
		return
	}
	if to.Out != nil {
		room := sealing.Get().(*room)
		defer sealing.Put(room)
		if out = l.sealed(to.Out.RTCP(room[:0], out)); out == nil {
			return
		}
	}
	if err := other.pair.rtcp.Send(out, to.rtcp.target()); err != nil {
		l.relay.drop(unsent)
	}
}
