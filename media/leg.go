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
	"consentgate/media/srtp"
)

// Leg is one side's RTP and RTCP sockets, and what its peer hears.
type Leg struct {
	// What each packet needs lies together (see takers): what one from the peer does, and
	// then what one to the peer does.
	watch   watch
	inward  inward
	relay   *Relay
	came    atomic.Uint64 // packets that the metric hasn't been told of
	party   consent.Party
	place   atomic.Pointer[place] // nil until SetPeer: every packet is a stranger's
	outward outward
	out     stream // towards this leg's peer
	pair    pair

	keys     keys // of the sockets' thread
	ip       netip.Addr
	taken    prometheus.Counter
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

// rtpTaker and rtcpTaker take what comes to a leg's sockets, on their thread.
type (
	rtpTaker  struct{ *Leg }
	rtcpTaker struct{ *Leg }
)

// takers are for both legs' packets; both must be there.
func (l *Leg) takers() takers {
	to := l.relay.legs[l.party.Other()]
	return takers{rtp: rtpTaker{l}, rtcp: rtcpTaker{l}, sockets: [2]*sockets.Socket{l.pair.rtp, l.pair.rtcp}, needs: []sockets.Memory{
		sockets.Of(&l.relay), sockets.Of(&l.place), sockets.Of(&l.came), sockets.Of(&l.inward),
		sockets.Of(&l.watch.last), sockets.Of(&l.watch.speech), sockets.Of(&l.watch.codec),
		sockets.Of(&to.place), sockets.Of(&to.pair.rtp), sockets.Of(&to.outward), sockets.Of(&to.out),
		sockets.Hot(to.pair.rtp), sockets.Of(&l.relay.bridged), sockets.Of(&l.relay.tap)}}
}

func (l rtpTaker) Take(data []byte, from netip.AddrPort, at time.Time, err error) {
	if err != nil {
		l.unreadable(err)
		return
	}
	l.packet(data, from, at)
}

func (l rtcpTaker) Take(data []byte, from netip.AddrPort, at time.Time, err error) {
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
	if p == nil || !l.admits(p, from, at) {
		l.relay.drop(stranger)
		return
	}
	if in := l.inward.opens; in != nil && isVersion2(data) {
		if data = l.opened(in.RTP(data, at)); data == nil {
			return
		}
	}
	h, ok := parse(data)
	if !ok {
		l.relay.drop(malformed)
		return
	}
	l.came.Add(1)
	bridged := l.relay.bridged.Load()
	y := l.means(h.pt)
	l.watch.heard(y, h, at)
	if l.heed(p, y, h, data, bridged, at) {
		l.relay.drop(ourKey)
		return
	}
	if !bridged {
		l.relay.drop(gated)
		return
	}
	l.renumber(data, h.pt)
	l.relay.legs[l.party.Other()].forward(data, h, y.clock(), at)
}

// renumber gives a packet from the peer the payload type that the other party
// knows it by. Its marker stays.
func (l *Leg) renumber(packet []byte, pt uint8) {
	if n := l.inward.numbers; n != nil {
		packet[1] = packet[1]&0x80 | n[pt]
	}
}

// forward sends the other party's packet to this leg's peer; clock is that of its
// timestamp, in Hz, 0 where it isn't known.
func (l *Leg) forward(data []byte, h header, clock int, at time.Time) {
	p := l.place.Load()
	if p == nil {
		l.relay.drop(held)
		return
	}
	f, ok := l.towards(p)
	if !ok {
		l.relay.drop(held)
		return
	}
	if why := l.out.pass(data, h, clock, at); why != reasons {
		l.relay.drop(why)
		return
	}
	l.send(data, f.seals, f.to, (*sockets.Socket).Pass)
}

// send sends an RTP packet by a socket's Send or Pass; false: it didn't leave.
func (l *Leg) send(data []byte, seals *srtp.Sender, to netip.AddrPort, by func(*sockets.Socket, []byte, netip.AddrPort) error) bool {
	if seals != nil {
		room := sealing.Get().(*room)
		defer sealing.Put(room)
		if data = l.sealed(seals.RTP(room[:0], data)); data == nil {
			return false
		}
	}
	if err := by(l.pair.rtp, data, to); err != nil {
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
	if err := other.pair.rtcp.Pass(out, to.rtcp.towards()); err != nil {
		l.relay.drop(unsent)
	}
}
