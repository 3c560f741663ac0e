package media

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"consentgate/consent"
	"consentgate/media/sockets"
)

// Opaque is a section of the call's description that isn't its audio: video, a
// fax, a shared screen's control. Its datagrams pass untouched between the
// parties while they're bridged. Nobody is prompted by it, and it's never recorded.
type Opaque struct {
	relay  *Relay
	ends   [2]*opaqueEnd // by consent.Party
	agreed atomic.Bool   // both descriptions in force have it
}

// opaqueEnd is one side of it. Its ports are a pair, as a Leg's: of sections
// that aren't RTP the second is there and hears nobody.
type opaqueEnd struct {
	opaque *Opaque
	party  consent.Party
	ip     netip.Addr
	pair   pair
	place  atomic.Pointer[place] // nil until Agree: every datagram is a stranger's
}

// Opaques are the call's opaque sections by index. It isn't to be changed.
func (r *Relay) Opaques() map[int]*Opaque { return r.opaques }

// TakeOpaque returns the opaque section of that index, and takes ports for it on
// both sides where there are none yet; they are the call's until its end. Nothing
// passes before Agree. The error is ErrNoPorts when the pool has none, and
// ErrClosed when the call is over.
func (r *Relay) TakeOpaque(index int) (*Opaque, error) {
	if o := r.opaques[index]; o != nil {
		return o, nil
	}
	if r.over() {
		return nil, ErrClosed
	}
	o := &Opaque{relay: r}
	for p, l := range r.legs {
		e := &opaqueEnd{opaque: o, party: l.party, ip: l.ip}
		o.ends[p] = e
		var err error
		if e.pair, err = r.engine.cfg.Pool.bind(r.sockets, l.ip, takers{rtp: opaqueTaker{e, first}, rtcp: opaqueTaker{e, second}, sockets: unopened()}); err != nil {
			err = fmt.Errorf("taking media ports on %s: %w", l.ip, err)
			if l.party == consent.Local { // nobody has been told of the other side's
				err = errors.Join(err, o.ends[consent.Remote].pair.close())
				r.engine.cfg.Pool.untake(o.ends[consent.Remote].pair.port)
			}
			return nil, err
		}
	}
	r.opaques[index] = o
	return o, nil
}

// Addr is our address of the section towards a party; its RTCP, if it has any, is
// the next port.
func (o *Opaque) Addr(p consent.Party) netip.AddrPort {
	return netip.AddrPortFrom(o.ends[p].ip, o.ends[p].pair.number)
}

// Agree puts both parties' descriptions into force, by party: of a Peer its
// addresses count. A zero one can't be sent to now.
func (o *Opaque) Agree(peers [2]Peer) {
	until := time.Now().Add(o.relay.engine.cfg.Learning)
	for p, e := range o.ends {
		e.place.Store(newPlace(peers[p], e.place.Load(), e.pair.former, until))
	}
	o.agreed.Store(true)
}

// Refuse lets nothing pass either way until Agree: one of the parties refused
// the section, or ended it (RFC 3264 section 8.2).
func (o *Opaque) Refuse() { o.agreed.Store(false) }

// channel is one of an end's two ports.
type channel uint8

const (
	first  channel = iota
	second         // RTCP
)

// at is what is known of the peer's channel: whether it can be sent to now, and
// the latch.
func (p *place) at(c channel) (reachable bool, l *latch) {
	if c == second {
		return p.RTCP.IsValid(), &p.rtcp
	}
	return p.RTP.IsValid(), &p.rtp
}

func (x pair) socket(c channel) *sockets.Socket {
	if c == second {
		return x.rtcp
	}
	return x.rtp
}

// opaqueTaker takes what comes to a port, on the sockets' thread.
type opaqueTaker struct {
	*opaqueEnd
	channel channel
}

func (e opaqueTaker) Take(data []byte, from netip.AddrPort, at time.Time, err error) {
	switch {
	case errors.Is(err, sockets.ErrTooLong):
		e.opaque.relay.drop(malformed)
	case err != nil:
		e.opaque.relay.drop(unread)
	default:
		e.datagram(data, e.channel, from, at)
	}
}

// datagram decides what becomes of one.
func (e *opaqueEnd) datagram(data []byte, c channel, from netip.AddrPort, at time.Time) {
	r := e.opaque.relay
	if !e.admits(c, from, at) {
		r.drop(stranger)
		return
	}
	if !r.bridged.Load() {
		r.drop(gated)
		return
	}
	other := e.opaque.ends[e.party.Other()]
	to := other.place.Load()
	if to == nil || !e.opaque.agreed.Load() {
		r.drop(held)
		return
	}
	reachable, l := to.at(c)
	if !reachable {
		r.drop(held)
		return
	}
	if err := other.pair.socket(c).Pass(data, l.towards()); err != nil {
		r.drop(unsent)
	}
}

func (e *opaqueEnd) admits(c channel, from netip.AddrPort, at time.Time) bool {
	p := e.place.Load()
	if p == nil {
		return false
	}
	_, l := p.at(c)
	return l.admits(from, at)
}

// close ends the section's sockets.
func (o *Opaque) close() error {
	return errors.Join(o.ends[0].pair.close(), o.ends[1].pair.close())
}

// free gives the ports back, once nothing is read any more.
func (o *Opaque) free() {
	for _, e := range o.ends {
		o.relay.engine.cfg.Pool.put(e.pair.left(e.place.Load()))
	}
}
