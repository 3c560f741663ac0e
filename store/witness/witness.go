// Package witness brings a log's checkpoints to where the gate can't change them
// later: a file that can only grow, or somebody else's server. What was
// witnessed can't be rewritten unnoticed, not even by who holds the signing key.
//
// Nothing here is on a call's path: a witness that is away is a metric and a
// line in the log, and is tried again.
package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/store/checkpoint"
)

// Log is what is witnessed. Its methods are safe for concurrent use.
type Log interface {
	VerifierKey() (string, error)
	Checkpoint() ([]byte, error) // the newest, signed
	// Prove proves that the first size entries continue the first older ones,
	// which is at least 1 (RFC 6962 section 2.1.2).
	Prove(older, size int64) ([]tlog.Hash, error)
	// Continues is nil if the log begins with what the checkpoint speaks of; an
	// error that wraps ErrConflict says that it doesn't.
	Continues(checkpoint.Checkpoint) error
}

// Config says where checkpoints go: to File, or to URL.
type Config struct {
	File string
	// URL is a collector's, which gets checkpoints as they are, or, with VKey, a
	// witness's submission prefix (C2SP tlog-witness). https, or on loopback.
	URL       string
	VKey      string // the witness's verifier key
	TokenFile string // its content goes along as bearer token; read each time
}

// Name is what the witness is called in metrics, the log and its entries.
func (c Config) Name() string {
	if c.File != "" {
		return "file:" + c.File
	}
	return c.URL
}

// ErrConflict means that a witness keeps another history than the log's.
var ErrConflict = errors.New("the witness keeps another history of the log")

// Conflict is what was found. Held is what the witness keeps, as far as it tells.
type Conflict struct {
	Witness string
	Held    checkpoint.Checkpoint
	Err     error
}

// Options for Start.
type Options struct {
	Dir        string // the data directory: cosigned checkpoints are kept below it
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: none
	Every      time.Duration         // how often; what fails is tried again sooner
	OnConflict func(Conflict)        // called once a witness, from its goroutine
}

// Times.
const (
	retryAfter = 10 * time.Second // or Every, if that is less
	patience   = 10 * time.Second // for one try
	farewell   = 5 * time.Second  // for the last try, and for a file that hangs
)

// Witnesses are the goroutines, one for each witness: one that hangs holds up
// no other.
type Witnesses struct {
	quit chan struct{}
	done sync.WaitGroup
	all  []*keeper
}

// keeper brings checkpoints to one witness.
type keeper struct {
	name string
	place
	log     Log
	options Options
	logger  *slog.Logger

	failures prometheus.Counter
	mu       sync.Mutex // guards the rest
	held     int64      // entries that the witness knows of
	current  time.Time  // when it last knew all there were
	conflict bool
	failing  bool
}

// place is where checkpoints are kept.
type place interface {
	// held is the newest that is kept there, as far as it tells; false where it
	// doesn't, or there is none.
	held(ctx context.Context) (checkpoint.Checkpoint, bool, error)
	// keep brings one there; it returns nil when it is kept for good.
	keep(ctx context.Context, signed []byte, c checkpoint.Checkpoint) error
}

// Start begins to witness a log.
func Start(log Log, configs []Config, o Options) (*Witnesses, error) {
	w := &Witnesses{quit: make(chan struct{})}
	if len(configs) == 0 {
		return w, nil
	}
	vkey, err := log.VerifierKey()
	if err != nil {
		return nil, err
	}
	m := newMetrics()
	for _, c := range configs {
		p, err := newPlace(c, o.Dir, vkey, log)
		if err != nil {
			return nil, fmt.Errorf("witness %s: %w", c.Name(), err)
		}
		k := &keeper{name: c.Name(), place: p, log: log, options: o, logger: o.Log.With("witness", c.Name()),
			failures: m.failures.WithLabelValues(c.Name()), current: time.Now()}
		w.all = append(w.all, k)
	}
	if err := m.register(o.Registerer, w.all); err != nil {
		return nil, err
	}
	for _, k := range w.all {
		w.done.Go(func() { k.run(w.quit, vkey) })
	}
	return w, nil
}

func newPlace(c Config, dir, vkey string, log Log) (place, error) {
	if c.File != "" {
		return &file{path: c.File, vkey: vkey}, nil
	}
	return newServer(c, dir, vkey, log)
}

// Close brings the newest checkpoint to each witness, if that can be done in a
// few seconds, and ends. A file on a share that hangs is left hanging.
func (w *Witnesses) Close() error {
	close(w.quit)
	ended := make(chan struct{})
	go func() { w.done.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-time.After(2 * farewell):
		return errors.New("a witness hangs and was left behind")
	}
}

// run is a witness's goroutine.
func (k *keeper) run(quit <-chan struct{}, vkey string) {
	for {
		wait := k.options.Every
		if err := k.once(patience, vkey); err != nil {
			wait = min(wait, retryAfter)
		}
		select {
		case <-quit:
			_ = k.once(farewell, vkey) // what failed is counted and logged
			return
		case <-time.After(wait):
		}
	}
}

// once compares what the witness has with the log and brings it the newest
// checkpoint.
func (k *keeper) once(limit time.Duration, vkey string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	held, err := k.bring(ctx, vkey)
	k.note(held, err)
	return err
}

func (k *keeper) bring(ctx context.Context, vkey string) (checkpoint.Checkpoint, error) {
	held, ok, err := k.place.held(ctx)
	if err != nil {
		return held, err
	}
	if ok {
		if err := k.log.Continues(held); err != nil {
			return held, err
		}
	}
	signed, err := k.log.Checkpoint()
	if err != nil || len(signed) == 0 { // before the first entry there is none
		return held, err
	}
	now, err := checkpoint.Parse(signed, vkey)
	if err != nil {
		return held, err
	}
	if err := k.keep(ctx, signed, now); err != nil {
		return held, err
	}
	return now, nil
}

// note tells the metrics and the log what came of a try.
func (k *keeper) note(held checkpoint.Checkpoint, err error) {
	k.mu.Lock()
	wasFailing, hadConflict := k.failing, k.conflict
	k.failing = err != nil
	k.conflict = errors.Is(err, ErrConflict) || k.conflict && err != nil // it is over when the witness takes one again
	if held.Size > 0 {
		k.held = held.Size
	}
	if err == nil {
		k.current = time.Now()
	}
	conflict := k.conflict
	k.mu.Unlock()
	switch {
	case err == nil && wasFailing:
		k.logger.Info("the witness has the log's newest checkpoint again")
	case err == nil:
	case conflict && !hadConflict:
		k.logger.Error("ALARM: the log isn't the one that was witnessed: it was rewritten or put back, or the witness's was", "error", err)
		if k.options.OnConflict != nil {
			k.options.OnConflict(Conflict{Witness: k.name, Held: held, Err: err})
		}
	case !wasFailing:
		k.logger.Warn("a checkpoint isn't witnessed yet and will be tried again", "error", err)
	default:
		k.logger.Debug("a checkpoint isn't witnessed yet", "error", err)
	}
	if err != nil {
		k.failures.Inc()
	}
}
