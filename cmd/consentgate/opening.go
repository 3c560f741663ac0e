package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/store"
	"consentgate/store/rootcell"
)

const (
	// openPatience bounds how long a start waits for the data directory. A root key
	// in a device that doesn't answer, or much to bring in order, must not keep
	// calls waiting (law 2); until it is open nobody is asked.
	openPatience = 5 * time.Second
	// openAgain is how long after a failure the data directory is tried anew.
	openAgain = 30 * time.Second
	// leavePatience bounds how long a stop waits for a data directory that is being
	// opened. What is left half done then is what a kill leaves: the next start
	// carries on.
	leavePatience = 2 * time.Second
)

var errNoStore = errors.New("the data directory isn't open")

// opening is the store as the proxy knows it, from before it is open: ledger,
// recorder and table of registrations. One goroutine opens it, and tries again
// until it could or stop is called.
type opening struct {
	open  func() (*store.Store, rootcell.Cell, error)
	again time.Duration
	watch *alarms       // of what is opened; nil: there is none
	leave time.Duration // leavePatience, but in tests
	log   *slog.Logger

	store atomic.Pointer[store.Store] // nil until it is open
	root  rootcell.Cell               // of the goroutine, until it has ended
	tried chan struct{}               // closed once the first try has ended
	quit  chan struct{}
	done  sync.WaitGroup
}

// openLate begins to open, and waits for the first try, but no longer than patience.
// After a failure it tries again each time that again has gone by.
func openLate(open func() (*store.Store, rootcell.Cell, error), patience, again time.Duration, watch *alarms, log *slog.Logger) *opening {
	o := &opening{open: open, again: again, leave: leavePatience, watch: watch, log: log, tried: make(chan struct{}), quit: make(chan struct{})}
	o.done.Go(o.run)
	select {
	case <-o.tried:
	case <-time.After(patience):
		log.Error("the data directory takes long to open: calls go on and nothing is recorded until it is")
	}
	return o
}

// run is the goroutine that opens.
func (o *opening) run() {
	for first := true; !o.try(first); first = false {
		select {
		case <-o.quit:
			return
		case <-time.After(o.again):
		}
	}
}

func (o *opening) try(first bool) bool {
	s, root, err := o.open()
	if err == nil && o.stopped() {
		if err := errors.Join(s.Close(), root.Close()); err != nil {
			o.log.Error("closing the data directory", "error", err)
		}
		return true
	}
	if err == nil {
		o.root = root
		o.store.Store(s)
		o.watch.opened(s)
		if !first {
			o.log.Info("the data directory is open: recordings are possible")
		}
	} else {
		o.log.Error("the data directory can't be opened: calls go on and nothing is recorded", "error", err)
	}
	if first {
		close(o.tried)
	}
	if err != nil {
		o.watch.refused(err) // which may take a while
	}
	return err == nil
}

func (o *opening) stopped() bool {
	select {
	case <-o.quit:
		return true
	default:
		return false
	}
}

// stop ends the tries and closes what was opened. An opening that hangs is left
// behind; it closes what it opens, if it ever does.
func (o *opening) stop() error {
	close(o.quit)
	ended := make(chan struct{})
	go func() {
		o.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(o.leave):
		o.log.Warn("the data directory is still being opened; it is left as it is")
		return nil
	}
	o.watch.stop()
	var err error
	if s := o.store.Load(); s != nil {
		err = s.Close()
	}
	if o.root != nil {
		err = errors.Join(err, o.root.Close())
	}
	return err
}

// Append is consent.Ledger.
func (o *opening) Append(ctx context.Context, r consent.Record) (uint64, error) {
	if s := o.store.Load(); s != nil {
		return s.Audit().Append(ctx, r)
	}
	return 0, errNoStore
}

// Ready, Create and Erase are proxy.Recorder.
func (o *opening) Ready(trunk string) error {
	if s := o.store.Load(); s != nil {
		return s.Ready(trunk)
	}
	return errNoStore
}

// Create makes a recorder.
func (o *opening) Create(ctx context.Context, g consent.Grant) (media.Sink, error) {
	if s := o.store.Load(); s != nil {
		return s.Create(ctx, g)
	}
	return nil, errNoStore
}

// Erase erases a recording, now or by itself when it can be: the asking is on stable
// storage.
func (o *opening) Erase(ctx context.Context, grant consent.Hash, reason string) error {
	s := o.store.Load()
	if s == nil {
		return errNoStore
	}
	err := s.Erase(ctx, grant, reason)
	if errors.Is(err, store.ErrLive) || errors.Is(err, store.ErrHeld) {
		o.log.Info("a recording is to be erased, and will be when it can be", "why", err)
		return nil
	}
	return err
}

// Save and Load are proxy.Bindings, which loads until it could.
func (o *opening) Save(ctx context.Context, changes map[string][]byte) error {
	if s := o.store.Load(); s != nil {
		return s.Bindings().Save(ctx, changes)
	}
	return errNoStore
}

// Load gives what an earlier run kept.
func (o *opening) Load(ctx context.Context) ([][]byte, error) {
	if s := o.store.Load(); s != nil {
		return s.Bindings().Load(ctx)
	}
	return nil, fmt.Errorf("registrations: %w", errNoStore)
}
