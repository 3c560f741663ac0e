package store

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/archive"
)

// Packets reads a recording's packets, in the order of the file.
func (s *Store) Packets(id string) (packets [][]byte, err error) {
	_, err = s.read(context.Background(), id, func(c content) error {
		if c.kind == recRTP {
			packets = append(packets, append([]byte(nil), c.data...))
		}
		return nil
	})
	return packets, err
}

// Unaccounted is the gauge.
func (s *Store) Unaccounted() int { return s.unaccounted() }

// Unsealed is the gauge.
func (s *Store) Unsealed() int { return len(s.unsealed()) }

// RunTasks has the clerk's and the sealer's rounds happen now.
func (s *Store) RunTasks() {
	s.sealAll()
	s.runTasks()
}

// SealAtOnce is how many are sealed at the same time.
func SealAtOnce() int { return sealAtOnce() }

// StopAt has a test's function called where a crash may hit.
func StopAt(o Options, at func(point string)) Options {
	o.reached = at
	return o
}

// AnchorNow has the clerk's anchors written now, after a sync.
func (s *Store) AnchorNow() {
	s.each(s.running(), (*Recording).flush)
	dir, err := os.Open(filepath.Join(s.dir, recordingsDir))
	if err != nil {
		panic(err)
	}
	s.sync(s.running(), dir)
	_ = dir.Close()
	s.anchorAll(s.running())
}

// Space is what a file system has.
type Space = space

// SpaceOf makes one.
func SpaceOf(free, size, freeFiles, files int64) Space { return space{free, size, freeFiles, files} }

// WithDisk has a test's function asked for the room, how often, and how long its
// answers are good for; 0: as ever.
func WithDisk(o Options, ask func(string) (Space, error), every, stale time.Duration) Options {
	o.space, o.look, o.stale = ask, every, stale
	return o
}

// NextLevel is the rule of levels.
func NextLevel(m DiskMarks, was string, s Space) string {
	for l := roomy; l <= unknown; l++ {
		if l.String() == was {
			return m.next(l, s).String()
		}
	}
	return "no level is called " + was
}

// DiskLevel is the gauge, in words.
func (s *Store) DiskLevel() string { return s.disk.level().String() }

// DiskSeen is when the disk answered last.
func (s *Store) DiskSeen() time.Time { return s.disk.seen.Load().at }

// OpenWithClock opens a store whose clock is the test's; look has it compared
// with what really went by since the last look.
func OpenWithClock(t *testing.T, o Options, read func() (time.Time, time.Duration)) (s *Store, look func()) {
	t.Helper()
	o.clock = read
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	watch := newClockWatch(s.audit.clock)
	return s, func() { s.watchClock(watch) }
}

// AppendAs writes what the gate never would: any payload under any grant's mark.
func (a *Audit) AppendAs(kind string, v any, grant consent.Hash) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.append(context.Background(), newEntry{kind: kind, payload: payload, grant: grant})
	return err
}

// RetainOnce has a run of the retention happen now.
func (s *Store) RetainOnce() error {
	s.retainer.turn <- struct{}{}
	defer func() { <-s.retainer.turn }()
	return s.retainOnce()
}

// FlushNow has the running recordings' packets written now.
func (s *Store) FlushNow() { s.each(s.running(), (*Recording).flush) }

// Buffered is how many bytes are rendered and not read, or wait to be.
func (s *Sound) Buffered() int {
	if s.renderer == nil {
		return 0
	}
	return len(s.renderer.out.b) + 2*(len(s.renderer.tracks[0].samples)+len(s.renderer.tracks[1].samples))
}

// End is so many seconds after a recording's start.
func (r *Recording) End(seconds int) time.Time {
	return r.start.Add(time.Duration(seconds) * time.Second)
}

// NoteRefusals logs what didn't open, as the clerk does.
func (s *Store) NoteRefusals() { s.noteRefusals() }

// MoveLoggedGap has the first gap of a recording that is being sealed end later in
// the log than in its file.
func (s *Store) MoveLoggedGap(id string, by float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending[id].made.gaps.List[0].To += by
}

// WithArchive has a store copy to a place, and be quick about it; settle is how long
// an object may still appear that nobody answered for.
func WithArchive(o Options, place archive.Place, settle time.Duration) Options {
	o.Archive = place
	o.archiveTimes = archiveTimes{idle: 20 * time.Millisecond, first: 10 * time.Millisecond, most: 40 * time.Millisecond,
		rest: 20 * time.Millisecond, longer: 40 * time.Millisecond, settle: settle, sweep: time.Hour}
	return o
}

// LookThroughArchive has the archive looked through now, by who does that. It returns
// the kinds and names of what was found.
func (s *Store) LookThroughArchive() (found []Orphan, err error) {
	return s.archiver.sweepOnce()
}

// ArchiveWaits is how many recordings are to be copied, and how many objects to be
// deleted.
func (s *Store) ArchiveWaits() (copies, deletions int) {
	copies, _ = s.uncopied()
	deletions, _, _ = s.owedObjects()
	return copies, deletions
}
