package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// Options say where the store is and who it tells.
type Options struct {
	Dir        string
	RootFile   string // "": Dir with ".root" behind it, so not in a copy of Dir
	Node       string
	Log        *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// DefaultRootFile is where the root key of a data directory lies by default.
func DefaultRootFile(dir string) string { return filepath.Clean(dir) + ".root" }

// Store is an open data directory. One process has it open.
type Store struct {
	dir     string
	node    string
	log     *slog.Logger
	keys    *keyring
	audit   *Audit
	metrics *metrics

	mu      sync.Mutex // guards live and pending
	live    map[string]*Recording
	pending []pendingEnd // ends that couldn't be logged yet

	quit    chan struct{}
	flusher sync.WaitGroup
}

// Open opens a data directory, or makes one, and brings in order what a crash
// left: recordings are closed at their last good frame, and every grant gets its
// end in the log.
func Open(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RootFile == "" {
		o.RootFile = DefaultRootFile(o.Dir)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "recordings"), 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	keysPath := filepath.Join(o.Dir, "keys.db")
	_, err := os.Stat(keysPath)
	root, err := loadRoot(o.RootFile, errors.Is(err, os.ErrNotExist))
	if err != nil {
		return nil, err
	}
	keys, err := openKeyring(keysPath, root)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: o.Dir, node: o.Node, log: o.Log, keys: keys, live: map[string]*Recording{}, quit: make(chan struct{})}
	s.metrics = newMetrics(o.Registerer, s)
	if s.audit, err = openAudit(o.Dir, keys, s.metrics.appendSeconds); err != nil {
		return nil, errors.Join(err, keys.closeDB())
	}
	if err := s.startUp(); err != nil {
		return nil, errors.Join(err, s.audit.closeDB(), keys.closeDB())
	}
	s.flusher.Go(s.flushLoop)
	return s, nil
}

func (s *Store) startUp() error {
	if err := s.recover(); err != nil {
		return fmt.Errorf("bringing the data directory in order: %w", err)
	}
	return s.audit.appendJSON(contextForever, TypeNodeUp, map[string]string{"node": s.node}, consent.Hash{})
}

// Close stops the store. Recordings must have been sealed.
func (s *Store) Close() error {
	close(s.quit)
	s.flusher.Wait()
	s.retryEnds()
	err := s.audit.appendJSON(contextForever, TypeNodeDown, map[string]string{"node": s.node}, consent.Hash{})
	return errors.Join(err, s.audit.closeDB(), s.keys.closeDB())
}

// Audit is the log.
func (s *Store) Audit() *Audit { return s.audit }

// Create makes a recorder for a valid grant: its key, bound to the consent, and
// its file. From here on the store accounts for the grant's end.
func (s *Store) Create(ctx context.Context, g consent.Grant) (*Recording, error) {
	if !g.Valid() {
		return nil, errors.New("there is no valid consent to record")
	}
	r, err := s.newRecording(g)
	if err != nil {
		return nil, err
	}
	rec := g.Record()
	f, err := s.foundBy(r.row, rec.Call.Remote, rec.Call.Local)
	if err != nil {
		return nil, err
	}
	if err := s.keys.commit(ctx, func(tx *bolt.Tx) error { return f.index(tx, r.id) }); err != nil {
		return nil, fmt.Errorf("keeping the recording's key: %w", err)
	}
	if err := r.create(g); err != nil {
		return nil, errors.Join(err, s.forget(contextForever, r.id))
	}
	// The log names the recording before it holds a word; if that fails there
	// is no recording.
	if err := s.audit.appendJSON(ctx, TypeStarted, recordingEvent{Recording: r.id, Grant: g.Hash().String(),
		Call: rec.Call.ID}, consent.Hash{}); err != nil {
		return nil, errors.Join(err, r.file.Close(), durable.Remove(r.path), s.forget(contextForever, r.id))
	}
	s.mu.Lock()
	s.live[r.id] = r
	s.mu.Unlock()
	return r, nil
}

func (s *Store) newRecording(g consent.Grant) (*Recording, error) {
	rec := g.Record()
	id, raw := newID()
	k := newKey()
	start := time.Now()
	r := &Recording{store: s, id: id, start: start, path: s.livePath(id),
		row: row{Bucket: bucketOf(rec.Purpose, start), Grant: g.Hash(), Start: start.UnixNano()}}
	r.room = sync.NewCond(&r.mu)
	kek, err := s.keys.bucket(r.row.Bucket)
	if err != nil {
		return nil, err
	}
	r.row.Wrapped = seal(kek, asRecordingKey, about(id, r.row), k[:])
	if err := s.keys.sealSummary(id, &r.row, summaryOf(id, rec, start)); err != nil {
		return nil, err
	}
	r.frames = newSealer(k, raw)
	return r, nil
}

// create makes the file with its first frame.
func (r *Recording) create(g consent.Grant) error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making a recording's file: %w", err)
	}
	r.file = f
	r.good.bytes = int64(headerSize)
	first, err := firstFrame(g, r.start)
	if err == nil {
		_, err = f.Write(r.frames.header[:])
	}
	if err == nil {
		err = r.writeFrame(first, flagData)
	}
	if err == nil {
		err = errors.Join(f.Sync(), durable.SyncDir(filepath.Dir(r.path)))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("beginning a recording: %w", err), f.Close(), durable.Remove(r.path))
	}
	return nil
}

const flushEvery = 250 * time.Millisecond

// anchorEvery is how often the log notes how far the running recordings are.
const anchorEvery = 10 * time.Second

// flushLoop writes the running recordings' packets: every quarter of a second to
// the file, every half to stable storage.
func (s *Store) flushLoop() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	lastAnchor := time.Now()
	for n := 0; ; n++ {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		running := s.running()
		s.each(running, (*Recording).flush)
		if n%2 == 1 {
			s.each(running, (*Recording).sync)
		}
		if time.Since(lastAnchor) >= anchorEvery {
			lastAnchor = time.Now()
			s.anchorAll(running)
			s.retryEnds()
		}
	}
}

func (s *Store) running() []*Recording {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Recording, 0, len(s.live))
	for _, r := range s.live {
		out = append(out, r)
	}
	return out
}

// each does something with every recording, a few at a time: a file that hangs
// holds up its share of the others, not all.
func (s *Store) each(all []*Recording, do func(*Recording) error) {
	work := make(chan *Recording)
	var workers sync.WaitGroup
	for range min(4, len(all)) {
		workers.Go(func() {
			for r := range work {
				if err := do(r); err != nil {
					s.log.Warn("a recording has failed", "recording", r.id, "error", err)
				}
			}
		})
	}
	for _, r := range all {
		work <- r
	}
	close(work)
	workers.Wait()
}

// anchorAll logs how far each running recording has come: cutting one short
// afterwards is found by it.
func (s *Store) anchorAll(running []*Recording) {
	if len(running) == 0 {
		return
	}
	var ev anchorEvent
	for _, r := range running {
		r.mu.Lock()
		good := r.good
		r.mu.Unlock()
		ev.Running = append(ev.Running, anchored{Recording: r.id, Frames: good.frames, Hash: hex.EncodeToString(good.hash[:])})
	}
	ctx, cancel := context.WithTimeout(contextForever, anchorEvery)
	defer cancel()
	if err := s.audit.appendJSON(ctx, TypeAnchor, ev, consent.Hash{}); err != nil {
		s.log.Error("anchoring the running recordings", "error", err)
	}
}

// drop takes a recording from those that run.
func (s *Store) drop(r *Recording) {
	s.mu.Lock()
	delete(s.live, r.id)
	s.mu.Unlock()
}

func (s *Store) livePath(id string) string { return filepath.Join(s.dir, "recordings", id+".live") }

func sealedPath(live string) string { return live[:len(live)-len(".live")] + ".rec" }
