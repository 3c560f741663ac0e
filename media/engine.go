package media

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"consentgate/consent"
)

// Config is what an Engine needs; all of it must be set.
type Config struct {
	Pool    *Pool
	Metrics *Metrics
	Log     *slog.Logger
}

// Engine makes relays and knows when the last recording is sealed.
type Engine struct {
	cfg  Config
	taps sync.WaitGroup
}

// NewEngine makes an engine.
func NewEngine(c Config) *Engine { return &Engine{cfg: c} }

// Wait returns when every tap's recorder is sealed, or with ctx's error. Call
// it when no relay is made any more.
func (e *Engine) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { e.taps.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for recordings to be sealed: %w", ctx.Err())
	}
}

// Sides are a trunk's name and our own addresses on its two sides.
type Sides struct {
	Trunk         string
	Remote, Local netip.Addr
}

// EventKind is what a relay reports.
type EventKind uint8

const (
	KeyPressed EventKind = iota // a party pressed a key
	TapFailed                   // the recorder failed: the tap has closed itself
)

// Event is what a relay reports. Err is set for TapFailed.
type Event struct {
	Kind  EventKind
	Party consent.Party
	Press consent.Press
	Err   error
}

// NewRelay takes ports on both sides and starts to read them; nothing passes
// before Bridge and SetPeer. onEvent is called on the relay's goroutines: it must
// not block nor call the relay, and isn't called after Close has returned.
func (e *Engine) NewRelay(call string, s Sides, onEvent func(Event)) (*Relay, error) {
	r := &Relay{engine: e, log: e.cfg.Log.With("call", call), onEvent: onEvent}
	for p, ip := range map[consent.Party]netip.Addr{consent.Remote: s.Remote, consent.Local: s.Local} {
		port, rtp, rtcp, err := e.cfg.Pool.bind(ip)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("taking media ports on %s: %w", ip, err)
		}
		side := "carrier"
		if p == consent.Local {
			side = "pbx"
		}
		r.legs[p] = &Leg{relay: r, party: p, port: port, rtp: rtp, rtcp: rtcp, ip: ip,
			taken: e.cfg.Metrics.packets.WithLabelValues(s.Trunk, side)}
	}
	for _, l := range r.legs {
		r.readers.Go(l.readRTP)
		r.readers.Go(l.readRTCP)
	}
	return r, nil
}
