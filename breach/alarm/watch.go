// Package alarm holds the rules of package breach to the audit log as it grows,
// and tells people what they find: in metrics, in the program's log, in the audit
// log itself, and at a URL. It reads behind the writers and holds up none of them.
//
// The audit log is all that it remembers by. What rules counted before a restart
// is counted again from there; what is yet to be told are the alarm.raised entries
// behind a number in a file.
package alarm

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/breach"
)

// Log is the audit log. Its methods are safe for concurrent use.
type Log interface {
	Name() string // no other log has it
	Size() int64
	// Read calls f for the entries of some types from one on, in order, until f says
	// no, and returns which is next. f may write to the log.
	Read(from int64, types map[string]bool, f func(breach.Entry) bool) (next int64, err error)
	Raise(ctx context.Context, a breach.Alarm) error
	Found(ctx context.Context, recording, by string) error
	// Shortened notes that the log has fewer entries than were seen in it.
	Shortened(ctx context.Context, seen int64) error
}

// Options for New.
type Options struct {
	Dir        string // where it is kept how far the rules and the URL have come
	Node       string
	Rules      breach.Settings
	Hook       Hook
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Every      time.Duration // how often the log is looked at; 0: a second
	Retry      time.Duration // how long what failed first waits to be tried again; 0: a second
}

// Times.
const (
	patience  = 10 * time.Second // for one write to the log, or one request
	longest   = 5 * time.Minute  // between two tries
	saveEvery = time.Minute      // of how far the rules have come, where they found nothing
)

// Watch is what watches. Its methods may be called by anybody at any time.
type Watch struct {
	o       Options
	metrics *metrics
	honey   map[string]bool
	touched chan touch
	raised  chan struct{}   // there is something to tell
	ctx     context.Context // ends with the watch
	stop    context.CancelFunc
	done    sync.WaitGroup
	told    bool // of a root cell that refused, before there was a log
}

// touch is a search that found what nobody has business with.
type touch struct{ recording, by string }

// New makes one and registers its metrics; Start lets it begin.
func New(o Options) (*Watch, error) {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	w := &Watch{o: o, metrics: newMetrics(), honey: map[string]bool{}, touched: make(chan touch, 64), raised: make(chan struct{}, 1)}
	w.ctx, w.stop = context.WithCancel(context.Background())
	for _, id := range o.Rules.Honey {
		w.honey[id] = true
	}
	if err := w.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("registering the alarms' metrics: %w", err)
	}
	return w, nil
}

// Start begins to watch a log that is open. To be called once.
func (w *Watch) Start(log Log) {
	j := &judge{Watch: w, log: log, cursor: cursor{path: filepath.Join(w.o.Dir, "alarms.judged")}}
	t := &teller{Watch: w, log: log, hook: newPoster(w.o.Hook, w.o.Node), cursor: cursor{path: filepath.Join(w.o.Dir, "alarms.told")}}
	w.done.Go(func() {
		if !w.insist("finding out where the alarms stopped", func(context.Context) error { return j.resume(&t.cursor) }) {
			return
		}
		if w.o.Hook.URL != "" {
			w.done.Go(t.run)
		}
		j.run()
	})
}

// Close ends it. The log must be open until then. What couldn't be told is kept.
func (w *Watch) Close() {
	w.stop()
	w.done.Wait()
}

// Touched tells which recordings a user's search found. It never waits, so that
// nobody can see by the answer's time whether there is honey among them.
func (w *Watch) Touched(by string, recordings ...string) {
	for _, id := range recordings {
		if !w.honey[id] {
			continue
		}
		select {
		case w.touched <- touch{id, by}:
		default:
			w.o.Log.Error("ALARM: honey was found by more searches than can be logged", "rule", breach.HoneyTouched)
			w.metrics.count(breach.HoneyTouched, time.Now())
		}
	}
}

// Refused is for a root cell that doesn't give its key, so that there is no log
// to be watched. It may take as long as a request does. Only whoever opens the
// log calls it.
func (w *Watch) Refused() {
	if w.told {
		return
	}
	now := time.Now()
	w.say(breach.Alarm{Rule: breach.UnwrapFailed, Entry: -1, At: now, Count: 1})
	w.told = true
	if w.o.Hook.URL == "" {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	m := message{ID: fmt.Sprintf("%s/unopened/%d", w.o.Node, now.Unix()), Rule: breach.UnwrapFailed, At: now.UTC(), Count: 1}
	if err := newPoster(w.o.Hook, w.o.Node).post(ctx, m); err != nil {
		w.failed(err)
		w.told = false // the next try to open is the next to tell
	}
}

// say tells the metrics and the program's log, which holds nobody's name.
func (w *Watch) say(a breach.Alarm) {
	w.metrics.count(a.Rule, a.At)
	w.o.Log.Error("ALARM: what the audit log has may be a breach of personal data", "rule", a.Rule, "entry", a.Entry, "count", a.Count)
}

func (w *Watch) failed(err error) {
	w.metrics.failures.Inc()
	w.o.Log.Warn("an alarm isn't told yet and will be tried again", "error", err)
}

// insist tries until it is done, or the watch is closed: then it returns false. A
// try isn't broken off.
func (w *Watch) insist(what string, do func(context.Context) error) bool {
	for wait := w.o.Retry; ; wait = min(2*wait, longest) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := do(ctx)
		cancel()
		if err == nil {
			return true
		}
		w.o.Log.Error("not done yet, and will be tried again", "what", what, "error", err)
		select {
		case <-w.ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}
