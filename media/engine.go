package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"consentgate/consent"
)

// Config is what an Engine needs; Pool, Metrics and Log must be set.
type Config struct {
	Pool    *Pool
	Metrics *Metrics
	Log     *slog.Logger
	// Learning is how long after a description a peer may show that it sends from
	// another port than it said; 0: 5 s.
	Learning time.Duration
}

// Engine makes relays and knows when the last recording is sealed. It is safe
// for concurrent use.
type Engine struct {
	cfg Config

	mu   sync.Mutex
	taps map[*Tap]struct{} // not sealed yet
}

// NewEngine makes an engine.
func NewEngine(c Config) *Engine {
	if c.Learning == 0 {
		c.Learning = 5 * time.Second
	}
	return &Engine{cfg: c, taps: map[*Tap]struct{}{}}
}

// Wait returns when every tap's recorder is sealed, or with ctx's error. Close
// the relays first: a tap whose call goes on isn't sealed.
func (e *Engine) Wait(ctx context.Context) error {
	for t := e.unsealed(); t != nil; t = e.unsealed() {
		select {
		case <-t.Done():
		case <-ctx.Done():
			return fmt.Errorf("waiting for recordings to be sealed: %w", ctx.Err())
		}
	}
	return nil
}

// unsealed returns any tap that isn't sealed, nil when there is none.
func (e *Engine) unsealed() *Tap {
	e.mu.Lock()
	defer e.mu.Unlock()
	for t := range e.taps {
		return t
	}
	return nil
}

func (e *Engine) add(t *Tap) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taps[t] = struct{}{}
}

func (e *Engine) remove(t *Tap) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.taps, t)
}

// Sides are a trunk's name and our own addresses on its two sides.
type Sides struct {
	Trunk         string
	Remote, Local netip.Addr
}

// NewRelay takes ports on both sides and starts to read them; nothing passes
// before Bridge and SetPeer. onEvent is called on the relay's goroutines: it must
// not block nor call the relay, and isn't called after Close has returned. The
// error is ErrNoPorts when the pool has none.
func (e *Engine) NewRelay(call string, s Sides, onEvent func(Event)) (*Relay, error) {
	remote, err := e.cfg.Pool.bind(s.Remote)
	if err != nil {
		return nil, fmt.Errorf("taking media ports on %s: %w", s.Remote, err)
	}
	local, err := e.cfg.Pool.bind(s.Local)
	if err != nil {
		err = errors.Join(fmt.Errorf("taking media ports on %s: %w", s.Local, err), remote.close())
		e.cfg.Pool.untake(remote.port) // nobody has been told of it
		return nil, err
	}
	r := &Relay{engine: e, log: e.cfg.Log.With("call", call), onEvent: onEvent}
	r.legs[consent.Remote] = r.leg(consent.Remote, s.Remote, remote, s.Trunk, "carrier")
	r.legs[consent.Local] = r.leg(consent.Local, s.Local, local, s.Trunk, "pbx")
	for _, l := range r.legs {
		r.readers.Go(func() { l.read(l.pair.rtp, l.packet) })
		r.readers.Go(func() { l.read(l.pair.rtcp, l.report) })
	}
	return r, nil
}

func (r *Relay) leg(p consent.Party, ip netip.Addr, x pair, trunk, side string) *Leg {
	return &Leg{relay: r, party: p, ip: ip, pair: x, taken: r.engine.cfg.Metrics.packets.WithLabelValues(trunk, side)}
}
