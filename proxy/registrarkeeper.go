package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"consentgate/consent"
)

// Bindings keeps registrations over a restart. Keys and values name people:
// they may not lie anywhere in the clear.
type Bindings interface {
	// Save makes changes durable, all or none; an empty value is gone.
	Save(ctx context.Context, changes map[string][]byte) error
	// Load returns the values that there are; those that can be read even beside
	// an error. An error and no values means that there may be some later.
	Load(ctx context.Context) ([][]byte, error)
}

const (
	// sweepEvery is how often what has expired is looked for, and how soon a
	// write that failed is tried again.
	sweepEvery = 5 * time.Second
	// keepPatience bounds each read or write of what is kept.
	keepPatience = 5 * time.Second
	// maxUnsaved bounds what waits for a disk that takes nothing.
	maxUnsaved = 4 * maxBindings
)

// registrar has the registrations of every side and one goroutine, the keeper,
// that writes them down and forgets what expired: no REGISTER waits for a disk.
type registrar struct {
	keep    Bindings // nil: nothing is kept
	log     *slog.Logger
	sides   map[sideKey]*registrations // doesn't change
	beyond  prometheus.Counter
	started bool
	loaded  bool // of the keeper, once it is started
	wake    chan struct{}
	quit    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex // guards unsaved: never held during I/O
	unsaved map[string]Binding
	writing int // of these, what is being written
}

type sideKey struct {
	trunk string
	party consent.Party
}

func newRegistrar(cfg *Config) *registrar {
	f := promauto.With(cfg.Registerer)
	r := &registrar{keep: cfg.Bindings, log: cfg.Log, sides: map[sideKey]*registrations{},
		wake: make(chan struct{}, 1), quit: make(chan struct{}), unsaved: map[string]Binding{}}
	r.beyond = f.NewCounter(prometheus.CounterOpts{Name: "consentgate_registrations_beyond_bound_total",
		Help: "Contacts that were registered without being remembered, for the table or the disk's queue was full."})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_registrations_unsaved",
		Help: "Changes of registrations that a crash now would lose."}, func() float64 { return float64(r.waiting()) })
	for _, t := range cfg.Trunks {
		local, remote := newRegistrations(r.changed), newRegistrations(r.changed)
		r.sides[sideKey{t.Name, consent.Local}], r.sides[sideKey{t.Name, consent.Remote}] = local, remote
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_registrations", ConstLabels: prometheus.Labels{"trunk": t.Name},
			Help: "Contacts that are registered through the gate."},
			func() float64 { return float64(local.registered() + remote.registered()) })
	}
	r.load()
	return r
}

// of returns the registrations of who is behind that side.
func (r *registrar) of(s *side) *registrations { return r.sides[sideKey{s.trunk.Name, s.party}] }

// load takes what an earlier run kept. Without it calls go to the first peer
// until the registrants refresh.
func (r *registrar) load() {
	if r.keep == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepPatience)
	defer cancel()
	kept, err := r.keep.Load(ctx)
	if err != nil && !r.started {
		r.log.Error("reading the registrations: what is missing is learnt again as it is refreshed, or when it can be read", "error", err)
	}
	r.loaded = err == nil || len(kept) > 0
	now, unread := time.Now(), 0
	for _, raw := range kept {
		var b Binding
		if json.Unmarshal(raw, &b) != nil {
			unread++
			continue
		}
		side := r.sides[sideKey{b.Trunk, b.Party}]
		if side == nil || b.Expires.Add(lifetime).Before(now) {
			b.Expires = time.Time{} // of a trunk that is no more, or over
			r.changed(b)
			continue
		}
		side.restore(b)
	}
	if unread > 0 {
		r.log.Error("some registrations can't be read: they are learnt again as they are refreshed", "count", unread)
	}
}

// loadLate takes what an earlier run kept where that couldn't be read at the
// start. What changed since is on the disk first: who is gone doesn't come back.
func (r *registrar) loadLate() {
	if r.keep != nil && !r.loaded && r.save() {
		r.load()
	}
}

// start begins to write down and to forget; to is called now and then with the
// time, for others that have something to forget.
func (r *registrar) start(also func(now time.Time)) {
	r.started = true
	r.done.Go(func() {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-r.quit:
				r.save()
				return
			case <-r.wake:
			case now := <-tick.C:
				for _, s := range r.sides {
					s.expire(now.Add(-lifetime))
				}
				also(now)
				r.loadLate()
			}
			r.save()
		}
	})
}

// close writes down what there is left and ends the keeper.
func (r *registrar) close() {
	if r.started {
		close(r.quit)
		r.done.Wait()
	}
}

// changed queues a binding to be written; one without Expires is gone.
func (r *registrar) changed(b Binding) {
	if r.keep == nil {
		return
	}
	key := fmt.Sprintf("%s\x00%d\x00%s\x00%s", b.Trunk, b.Party, b.AOR, b.Contact)
	r.mu.Lock()
	_, queued := r.unsaved[key]
	full := !queued && len(r.unsaved) >= maxUnsaved
	if !full {
		r.unsaved[key] = b
	}
	r.mu.Unlock()
	if full {
		r.beyond.Inc()
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// waiting is the number of changes that aren't on the disk.
func (r *registrar) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unsaved) + r.writing
}

// save writes what changed since the last time, together, and reports whether it
// could. What fails is tried again with the next sweep, unless it changed once more.
func (r *registrar) save() bool {
	r.mu.Lock()
	todo := r.unsaved
	r.unsaved, r.writing = map[string]Binding{}, len(todo)
	r.mu.Unlock()
	if len(todo) == 0 {
		return true
	}
	err := r.write(todo)
	r.mu.Lock()
	r.writing = 0
	for key, b := range todo {
		if _, newer := r.unsaved[key]; err != nil && !newer {
			r.unsaved[key] = b
		}
	}
	r.mu.Unlock()
	if err != nil {
		r.log.Error("writing down the registrations: a restart now would lose some until they are refreshed", "count", len(todo), "error", err)
	}
	return err == nil
}

func (r *registrar) write(todo map[string]Binding) error {
	changes := make(map[string][]byte, len(todo))
	for key, b := range todo {
		changes[key] = nil
		if b.Expires.IsZero() {
			continue
		}
		raw, err := json.Marshal(b)
		if err != nil { // it holds nothing that JSON can't
			return fmt.Errorf("encoding a registration: %w", err)
		}
		changes[key] = raw
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepPatience)
	defer cancel()
	return r.keep.Save(ctx, changes)
}
