package media

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"consentgate/consent"
)

// Relay is the media of one call. Its methods are for the call's goroutine.
type Relay struct {
	engine  *Engine
	log     *slog.Logger
	onEvent func(Event)
	legs    [2]*Leg // by consent.Party
	readers sync.WaitGroup

	bridged atomic.Bool
	tap     atomic.Pointer[Tap]
	closed  bool
}

// Leg returns a party's leg.
func (r *Relay) Leg(p consent.Party) *Leg { return r.legs[p] }

// Bridge lets the parties hear each other. What plays is stopped.
func (r *Relay) Bridge() {
	for _, l := range r.legs {
		l.Stop()
	}
	r.bridged.Store(true)
}

// Gate keeps the parties apart: nothing passes until Bridge.
func (r *Relay) Gate() { r.bridged.Store(false) }

// ErrNoGrant is Open's answer to a grant that permits nothing.
var ErrNoGrant = errors.New("there is no valid consent to record")

// Open lets packets reach a recorder from now on: those of both parties, as
// they came, while the parties are bridged and the grant is valid. It is the
// only way to a Sink. On an error nothing was done, and the sink isn't sealed.
func (r *Relay) Open(g consent.Grant, s Sink) (*Tap, error) {
	if !g.Valid() {
		return nil, ErrNoGrant
	}
	if r.closed || r.tap.Load() != nil {
		return nil, errors.New("the call is over, or is being recorded already")
	}
	t := newTap(r, g, s)
	r.tap.Store(t)
	return t, nil
}

// Close ends the relay: the tap is closed, what plays is stopped, the ports go
// into quarantine. It doesn't wait for the recorder's disk.
func (r *Relay) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.bridged.Store(false)
	if t := r.tap.Load(); t != nil {
		t.Close("hang-up")
	}
	for _, l := range r.legs {
		if l != nil {
			l.close()
		}
	}
	r.readers.Wait()
	for _, l := range r.legs {
		if l != nil {
			r.engine.cfg.Pool.put(l.port)
		}
	}
}

func (r *Relay) drop(reason string) { r.engine.cfg.Metrics.dropped.WithLabelValues(reason).Inc() }

// learning is how long after a (new) description a peer may show that it sends
// from another port than it said (RFC 4961 isn't everywhere). Longer would let
// others in: RTP Bleed, CVE-2017-14114.
const learning = 5 * time.Second

// Peer is what the far end's description says. A zero RTP means that it can't be
// sent to now: it is on hold the old way, or refused the media.
type Peer struct {
	RTP, RTCP netip.AddrPort
	Codec     Codec         // for prompts to it; zero: none can be played
	Codecs    []Codec       // what it may send
	Events    []uint8       // payload types of its telephone-events
	Ptime     time.Duration // of prompts to it; 0: 20 ms
}

// place is a Peer in force, and the address it is known to send from.
type place struct {
	Peer
	until time.Time // end of the learning window
	rtp   atomic.Pointer[netip.AddrPort]
	rtcp  atomic.Pointer[netip.AddrPort]
}

// admits reports whether a packet from that address is the peer's. Which of the
// peer's ports it sends from is learnt once, from the address that it named.
func admits(said netip.AddrPort, learnt *atomic.Pointer[netip.AddrPort], until time.Time, from netip.AddrPort, now time.Time) bool {
	if l := learnt.Load(); l != nil {
		return *l == from
	}
	if from.Addr() != said.Addr() || !said.IsValid() || from != said && now.After(until) {
		return false
	}
	learnt.Store(&from)
	return true
}

// address is where to send: where the peer sends from, or where it said.
func address(said netip.AddrPort, learnt *atomic.Pointer[netip.AddrPort]) netip.AddrPort {
	if l := learnt.Load(); l != nil && said.IsValid() {
		return *l
	}
	return said
}
