package media

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"consentgate/consent"
	"consentgate/media/sockets"
)

// EventKind is what a relay reports.
type EventKind uint8

const (
	KeyPressed   EventKind = iota // a party pressed a key
	TapFailed                     // the recorder failed: the tap has closed itself
	AudioMissing                  // nothing comes from a party that should be sending
	MediaLost                     // nothing has come from either party for Config.Timeout
)

// Event is what a relay reports. Err is set for TapFailed.
type Event struct {
	Kind  EventKind
	Party consent.Party
	Press consent.Press
	Err   error
}

// Relay is the media of one call. Its methods are for the call's goroutine.
type Relay struct {
	legs    [2]*Leg             // by consent.Party
	bridged atomic.Bool         // the parties hear each other
	tap     atomic.Pointer[Tap] // the latest

	engine  *Engine
	log     *slog.Logger
	onEvent func(Event)
	opaques map[int]*Opaque // by the section's index
	sockets *sockets.Set    // of all of them

	mu       sync.Mutex
	closed   bool
	emitting sync.WaitGroup // calls of onEvent, begun while open
}

// Leg returns a party's leg.
func (r *Relay) Leg(p consent.Party) *Leg { return r.legs[p] }

// Bridge lets the parties hear each other. What plays is stopped.
func (r *Relay) Bridge() {
	for _, l := range r.legs {
		l.Stop()
	}
	for _, l := range r.legs {
		l.watch.expect()
	}
	r.bridged.Store(true)
}

// Gate keeps the parties apart: nothing passes until Bridge.
func (r *Relay) Gate() { r.bridged.Store(false) }

var (
	// ErrNoGrant is Open's answer to a grant that permits nothing.
	ErrNoGrant = errors.New("there is no valid consent to record")
	// ErrNotOpen is Open's answer when the call is over or being recorded already.
	ErrNotOpen = errors.New("the call is over, or is being recorded already")
	// ErrClosed is TakeOpaque's answer when the call is over.
	ErrClosed = errors.New("the call is over")
)

// Open lets packets reach a recorder from now on: those of both parties, as
// they came, while the parties are bridged and the grant is valid. It is the
// only way to a Sink. On an error nothing was done, and the sink isn't sealed.
func (r *Relay) Open(g consent.Grant, s Sink) (*Tap, error) {
	if !g.Valid() {
		return nil, ErrNoGrant
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tap.Load(); r.closed || t != nil && t.Open() {
		return nil, ErrNotOpen
	}
	t := newTap(r, g, s)
	r.tap.Store(t)
	return t, nil
}

// Close ends the relay: the tap is closed, what plays is stopped, the ports go
// into quarantine. It waits for calls of onEvent and of done functions, but not
// for the recorder's disk.
func (r *Relay) Close() {
	r.mu.Lock()
	was := r.closed
	r.closed = true
	r.mu.Unlock()
	if was {
		return
	}
	r.bridged.Store(false)
	if t := r.tap.Load(); t != nil {
		t.Close(consent.EndHangUp)
	}
	for _, l := range r.legs {
		l.close()
	}
	for _, o := range r.opaques {
		if err := o.close(); err != nil {
			r.log.Warn("closing media sockets", "error", err)
		}
	}
	for _, l := range r.legs {
		l.players.Wait()
		l.free()
	}
	for _, o := range r.opaques {
		o.free()
	}
	r.count()
	r.engine.forget(r)
	r.assess()
	r.emitting.Wait()
}

// count tells the metric of the packets that came since it was told last.
func (r *Relay) count() {
	for _, l := range r.legs {
		l.taken.Add(float64(l.came.Swap(0)))
	}
}

func (r *Relay) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// emit reports an event, unless Close has been called.
func (r *Relay) emit(ev Event) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.emitting.Add(1)
	r.mu.Unlock()
	defer r.emitting.Done()
	r.onEvent(ev)
}

func (r *Relay) drop(why reason) { r.engine.cfg.Metrics.dropped[why].Inc() }
