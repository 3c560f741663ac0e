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
}

// Engine makes relays and knows when the last recording is sealed. It is safe
// for concurrent use.
type Engine struct {
	cfg     Config
	sockets *sockets.Group

	mu   sync.Mutex
	taps map[*Tap]struct{} // not sealed yet
}

// NewEngine makes an engine and starts the threads that read its sockets.
func NewEngine(c Config) (*Engine, error) {
	if c.Learning == 0 {
		c.Learning = 5 * time.Second
	}
	group, err := sockets.New(c.Threads)
	if err != nil {
		return nil, err
	}
	return &Engine{cfg: c, sockets: group, taps: map[*Tap]struct{}{}}, nil
}

// Close ends the threads. Close the relays first.
func (e *Engine) Close() error { return e.sockets.Close() }

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
	r := &Relay{engine: e, log: e.cfg.Log.With("call", call), onEvent: onEvent}
	r.legs[consent.Remote] = &Leg{relay: r, party: consent.Remote, ip: s.Remote, taken: e.cfg.Metrics.packets.WithLabelValues(s.Trunk, "carrier")}
	r.legs[consent.Local] = &Leg{relay: r, party: consent.Local, ip: s.Local, taken: e.cfg.Metrics.packets.WithLabelValues(s.Trunk, "pbx")}
	thread := e.sockets.Thread()
	for _, l := range r.legs {
		var err error
		if l.pair, err = e.cfg.Pool.bind(thread, l.ip, takers{l.takeRTP, l.takeRTCP}); err != nil {
			err = fmt.Errorf("taking media ports on %s: %w", l.ip, err)
			if l.party == consent.Local {
				err = errors.Join(err, r.legs[consent.Remote].giveUp())
			}
			return nil, err
		}
	}
	return r, nil
}
