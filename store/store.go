package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/internal/durable"
	"consentgate/store/archive"
	"consentgate/store/phone"
	"consentgate/store/rights"
	"consentgate/store/rootcell"
	"consentgate/store/witness"
)

// Options say where the store is and who it tells.
type Options struct {
	Dir          string
	RootFile     string        // "": Dir with ".root" behind it, so not in a copy of Dir
	Root         rootcell.Cell // nil: the file RootFile. It stays the caller's to close, after the store
	Node         string
	Version      string                // of the program, for the log
	Config       string                // SHA-256 of the configuration file in hex, for the log; "": none
	Numbers      phone.Book            // how the trunks' numbers are written
	Log          *slog.Logger          // nil: none
	Registerer   prometheus.Registerer // nil: none
	Disk         DiskMarks             // how little room is too little
	Rotation     Rotation              // when erasures become final
	Quotas       map[string]int64      // bytes of each trunk's recordings; none or 0: any
	Witnesses    []witness.Config      // where checkpoints are kept beside the log
	WitnessEvery time.Duration         // how often; 0: DefaultWitnessEvery
	Retention    Retention
	Clock        Clock           // of retention and requests; the zero Clock: the machine's
	Place        *time.Location  // whose days the periods for subjects' requests are counted in; nil: the machine's
	Holidays     rights.Holidays // nil: none are known

	Archive archive.Place // where sealed recordings are copied to; nil: nowhere. It stays the caller's to close, after the store

	archiveTimes archiveTimes // for tests; zero: patientArchive

	space   func(path string) (space, error) // nil: the system's; a test's own
	look    time.Duration                    // between two looks at it; 0: lookEvery
	stale   time.Duration                    // how long an answer is good for; 0: staleAfter
	reached func(point string)               // for tests that kill: called when what a crash must not break is half done; nil: none
	clock   clock                            // for tests; nil: the system's
}

// DefaultRootFile is where the root key of a data directory lies by default.
func DefaultRootFile(dir string) string { return filepath.Clean(dir) + ".root" }

// Store is an open data directory. One process has it open. Its methods are safe
// for concurrent use.
type Store struct {
	dir      string
	node     string
	numbers  phone.Book
	log      *slog.Logger
	keys     *keyring
	audit    *Audit
	metrics  *metrics
	binds    *Bindings // nil where it couldn't be opened
	disk     *disk
	usage    *usage
	opened   time.Time // the log's newest entry when it was opened; zero: there was none
	rotator  *rotator
	cell     *asker
	archiver *archiver // nil: there is no archive
	reached  func(point string)

	unbacked atomic.Bool // there is no backup of the present root, when it was last looked for

	desk     *desk
	retainer *retainer
	clock    Clock
	place    *time.Location
	holidays rights.Holidays

	mu     sync.Mutex // guards live, ending and tasks
	live   map[string]*Recording
	ending map[string]*ended // those to be sealed
	tasks  []task            // tried until they succeed

	turns chan struct{} // one for each recording that may be sealed at the same time

	scanning  sync.Mutex         // held by the one scan that runs
	witnesses *witness.Witnesses // nil where they couldn't be started

	quit    chan struct{}
	workers sync.WaitGroup // the flusher, the clerk, the sealer, the rotator, the archiver, the retention and those who look at the disk and for a backup
}

const recordingsDir = "recordings"

// Open opens a data directory, or makes one, and brings in order what a crash
// left: recordings are closed at their last good frame, and every grant gets its
// end in the log. It fails if the disk can't take that; the calls of a gate
// without a store go on, unrecorded.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	keys, err := openKeys(o)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: o.Dir, node: o.Node, numbers: o.Numbers, log: o.Log, keys: keys, live: map[string]*Recording{},
		ending: map[string]*ended{}, turns: make(chan struct{}, sealAtOnce()), reached: o.reached, quit: make(chan struct{}),
		rotator: newRotator(o.Rotation), cell: newAsker(o.Root),
		desk: newDesk(), retainer: newRetainer(o.Retention), clock: o.Clock, place: o.Place, holidays: o.Holidays}
	s.metrics, s.usage = newMetrics(), newUsage(o.Quotas)
	s.archiver = newArchiver(s, o.Archive, o.archiveTimes)
	s.lookAtDisk(o)
	if s.audit, err = openAudit(o.Dir, keys, s.metrics); err != nil {
		return nil, errors.Join(err, keys.closeDB())
	}
	if o.clock != nil {
		s.audit.clock = o.clock
	}
	last, _, err := s.audit.lastEntry()
	s.opened = last.At
	if err == nil {
		err = s.startUp(o)
	}
	if err == nil {
		err = s.metrics.register(o.Registerer, s)
	}
	if err != nil {
		return nil, errors.Join(err, s.audit.closeDB(), keys.closeDB())
	}
	if s.binds, err = openBindings(o.Dir, keys, o.Log); err != nil {
		o.Log.Error("registrations won't outlast a restart", "error", err)
	}
	s.startWitnesses(o)
	s.workers.Go(s.flush)
	s.workers.Go(s.clerk)
	s.workers.Go(s.sealer)
	s.workers.Go(func() { s.disk.watch(s.quit) })
	s.unbacked.Store(!s.backedUp())
	s.workers.Go(s.watchBackup)
	s.workers.Go(s.noteOutcomes)
	opened := time.Now().UnixNano()
	s.workers.Go(func() {
		s.countUsage(opened)
		s.scanEvery(scanAgain)
	})
	s.startArchive()
	if o.Retention.Every > 0 {
		s.workers.Go(s.retain)
	}
	if o.Rotation.Every > 0 || o.Rotation.AtOnce {
		s.workers.Go(s.rotateEvery)
	}
	return s, nil
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.WitnessEvery == 0 {
		o.WitnessEvery = DefaultWitnessEvery
	}
	if o.RootFile == "" {
		o.RootFile = DefaultRootFile(o.Dir)
	}
	if o.Clock.Now == nil {
		o.Clock = machineClock()
	}
	if o.Place == nil {
		o.Place = time.Local
	}
	if o.Root == nil {
		o.Root = rootcell.NewFile(o.RootFile)
	}
	if o.reached == nil {
		o.reached = func(string) {}
	}
	if o.space == nil {
		o.space = spaceOf
	}
	return o
}

// lookAtDisk looks for the first time: before anything can be recorded.
func (s *Store) lookAtDisk(o Options) {
	s.disk = &disk{path: o.Dir, marks: o.Disk, ask: o.space, changed: s.diskChanged}
	s.disk.every, s.disk.stale = cmp.Or(o.look, lookEvery), cmp.Or(o.stale, staleAfter)
	s.disk.judge(s.disk.ask(o.Dir))
}

// openKeys makes the directories, and opens what all else is opened with. A data
// directory of version 1 is of the present one afterwards.
func openKeys(o Options) (*keyring, error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, recordingsDir), 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	if err := errors.Join(durable.SyncDir(o.Dir), durable.SyncDir(filepath.Dir(filepath.Clean(o.Dir)))); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(contextForever, rootPatience)
	defer cancel()
	keys, err := openKeyring(ctx, o.Dir, o.Root)
	if err != nil {
		return nil, err
	}
	if err := sweepCopies(o.Dir, o.Log); err != nil {
		return nil, errors.Join(err, keys.closeDB())
	}
	if cell, ok := o.Root.(rootcell.Sweeper); ok {
		if err := cell.Sweep(ctx); err != nil { // a rotation will insist
			o.Log.Error("a copy of a root key may be left that is to be destroyed", "error", err)
		}
	}
	if err := migrate(o.Dir, keys, o.Numbers, o.Log); err != nil {
		return nil, errors.Join(fmt.Errorf("bringing the data directory %s from version 1 to 2 (nothing is lost, the next start tries again): %w",
			o.Dir, err), keys.closeDB())
	}
	return keys, nil
}

// Close stops the store. Recordings must have been sealed; one that wasn't is
// closed as cut off by the next Open.
func (s *Store) Close() error {
	close(s.quit)
	s.rotator.cancel()
	s.archiver.cancel()
	s.workers.Wait()
	for _, r := range s.running() {
		r.stop(errClosed)
	}
	s.sealRest()
	s.runTasks()
	err := s.audit.Note(contextForever, NodeStop{s.node})
	return errors.Join(err, s.closeWitnesses(), s.binds.closeDB(), s.audit.closeDB(), s.keys.closeDB())
}

// Audit is the log.
func (s *Store) Audit() *Audit { return s.audit }

// Bindings is the table of registrations; its methods report it where it
// couldn't be opened.
func (s *Store) Bindings() *Bindings { return s.binds }

func (s *Store) running() []*Recording {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Recording, 0, len(s.live))
	for _, r := range s.live {
		out = append(out, r)
	}
	return out
}

// settling is how long a new grant may take to its recorder before it counts as
// unaccounted. Ledger and recorder answer within seconds, or not at all.
const settling = time.Minute

// unaccounted counts grants that have no end in the log, aren't being recorded,
// and aren't fresh: what must not be. An end that the log can't take, its disk
// being full, counts until it can.
func (s *Store) unaccounted() (n int) {
	running := s.running()
	recorded := make(map[[32]byte]bool, len(running))
	for _, r := range running {
		recorded[r.row.Grant] = true
	}
	for _, e := range s.unsealed() {
		recorded[e.row.Grant] = true
	}
	for g, since := range s.audit.openGrants() {
		if !recorded[g] && time.Since(since) > settling {
			n++
		}
	}
	return n
}

func (s *Store) livePath(id string) string { return filepath.Join(s.dir, recordingsDir, id+".live") }

// unfinishedPath is of a sealed file that hasn't its name yet.
func unfinishedPath(live string) string { return sealedPath(live) + ".tmp" }

func sealedPath(live string) string { return live[:len(live)-len(".live")] + ".rec" }
