package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/media/sockets"
)

// Config is what an Engine needs; Pool, Metrics and Log must be set.
type Config struct {
	Pool    *Pool
	Metrics *Metrics
	Log     *slog.Logger
	// Learning is how long after a description a peer may show that it sends from
	// another port than it said; 0: 5 s.
	Learning time.Duration
	Threads  int // that read sockets; 0: one for each processor
	// NoAudio is after how long without a packet a party's audio is missed; 0:
	// 10 s. Timeout is after how long without any packet the call is reported as
	// lost; 0: never.
	NoAudio, Timeout time.Duration
}

// Engine makes relays and knows when the last recording is sealed. It is safe
// for concurrent use.
type Engine struct {
	cfg     Config
	sockets *sockets.Group
	// pipeline writes recordings.
	pipeline *pipeline

	stop    chan struct{} // ends the sweeper
	sweeper sync.WaitGroup

	mu     sync.Mutex
	taps   map[*Tap]struct{}   // not sealed yet
	relays map[*Relay]struct{} // not closed yet
}

// NewEngine makes an engine and starts the threads that read its sockets.
func NewEngine(c Config) (*Engine, error) {
	if c.Learning == 0 {
		c.Learning = 5 * time.Second
	}
	if c.NoAudio == 0 {
		c.NoAudio = 10 * time.Second
	}
	group, err := sockets.New(c.Threads)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: c, sockets: group, pipeline: newPipeline(), taps: map[*Tap]struct{}{}, relays: map[*Relay]struct{}{}, stop: make(chan struct{})}
	c.Metrics.packets.legs.Store(e)
	e.sweeper.Go(func() { e.sweep(e.stop) })
	return e, nil
}

// Close ends the threads. Close the relays first, and close it once.
func (e *Engine) Close() error {
	close(e.stop)
	e.sweeper.Wait()
	e.pipeline.close()
	return e.sockets.Close()
}

// running are the relays that there are.
func (e *Engine) running() []*Relay {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.relays))
}

func (e *Engine) forget(r *Relay) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.relays, r)
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
	r := &Relay{engine: e, log: e.cfg.Log.With("call", call), onEvent: onEvent,
		opaques: map[int]*Opaque{}, sockets: e.sockets.Set()}
	r.legs[consent.Remote] = r.leg(consent.Remote, s.Remote, s.Trunk, "carrier")
	r.legs[consent.Local] = r.leg(consent.Local, s.Local, s.Trunk, "pbx")
	for _, l := range r.legs {
		var err error
		if l.pair, err = e.cfg.Pool.bind(r.sockets, l.ip, l.takers()); err != nil {
			err = fmt.Errorf("taking media ports on %s: %w", l.ip, err)
			if l.party == consent.Local {
				err = errors.Join(err, r.legs[consent.Remote].giveUp())
			}
			return nil, err
		}
	}
	e.mu.Lock()
	e.relays[r] = struct{}{}
	e.mu.Unlock()
	return r, nil
}

func (r *Relay) leg(p consent.Party, ip netip.Addr, trunk, side string) *Leg {
	m := r.engine.cfg.Metrics
	x := unopened()
	return &Leg{relay: r, party: p, pair: pair{rtp: x[0], rtcp: x[1]}, ip: ip, taken: m.packets.WithLabelValues(trunk, side), measures: m.of(trunk, side)}
}
