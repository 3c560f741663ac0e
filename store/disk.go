package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Mark is an amount of room: so many bytes, or a share of the file system. The
// zero Mark is never undercut.
type Mark struct {
	Bytes int64
	Share float64 // 0 to 1, of bytes and of files; used where Bytes is 0
}

// DiskMarks say how little room is too little. Below Low somebody is told; below
// Stop no recording begins, and those that run go on.
type DiskMarks struct{ Low, Stop Mark }

// space is what a file system has. Files is 0 where it doesn't count them.
type space struct{ free, size, freeFiles, files int64 }

// level is how much room there is.
type level int32

const (
	roomy   level = iota
	low           // below the mark at which somebody is told
	full          // below the mark at which no recording begins
	unknown       // the file system doesn't say: no recording begins, either (law 1)
)

func (l level) String() string { return [...]string{"ok", "low", "stop", "unknown"}[l] }

// relief is how much more than a mark must be free before it counts as left
// behind: room that comes and goes at a mark must not switch recording with it.
const relief = 1.25

// under reports whether less than a mark's share is free, that share taken times
// more.
func (s space) under(m Mark, times float64) bool {
	if m.Bytes > 0 {
		return float64(s.free) < float64(m.Bytes)*times
	}
	share := m.Share * times
	return float64(s.free) < share*float64(s.size) || s.files > 0 && float64(s.freeFiles) < share*float64(s.files)
}

// next is the level that follows another. Levels are entered at their mark, and
// left some way above it.
func (m DiskMarks) next(was level, s space) level {
	switch {
	case s.under(m.Stop, 1), was == full && s.under(m.Stop, relief):
		return full
	case s.under(m.Low, 1), (was == low || was == full) && s.under(m.Low, relief):
		return low
	}
	return roomy
}

const (
	// lookEvery is how often the file system is asked for its room.
	lookEvery = 10 * time.Second
	// staleAfter is how long an answer is good for. A file system that doesn't
	// answer hangs, and whatever is written to it.
	staleAfter = 3 * lookEvery
)

// disk watches the data directory's room. A call asks it often and must never
// wait for a file system, so it answers from memory.
type disk struct {
	path    string
	marks   DiskMarks
	ask     func(path string) (space, error) // may hang, as a file system does
	every   time.Duration
	stale   time.Duration       // an answer that is older is none
	changed func(was, is sight) // told by the goroutine that looks
	seen    atomic.Pointer[sight]
}

// sight is what was seen at a time.
type sight struct {
	level level
	space space
	at    time.Time
	err   error // for unknown
}

// ErrNoRoom means that the disk has too little room left to begin a recording,
// or doesn't say how much it has.
var ErrNoRoom = errors.New("the data directory's disk has no room for another recording")

// refuses says why no recording may begin; nil: one may.
func (d *disk) refuses() error {
	s := d.seen.Load()
	switch age := time.Since(s.at); {
	case s.level == unknown:
		return fmt.Errorf("%w: %w", ErrNoRoom, s.err)
	case age > d.stale:
		return fmt.Errorf("%w: it hasn't answered for %s", ErrNoRoom, age.Round(time.Second))
	case s.level == full:
		return fmt.Errorf("%w: %d of %d bytes are free", ErrNoRoom, s.space.free, s.space.size)
	}
	return nil
}

// level is the level for the metric: stale counts as unknown.
func (d *disk) level() level {
	s := d.seen.Load()
	if time.Since(s.at) > d.stale {
		return unknown
	}
	return s.level
}

// free is what was seen last, NaN where that is nothing.
func (d *disk) free() float64 {
	s := d.seen.Load()
	if s.level == unknown {
		return math.NaN()
	}
	return float64(s.space.free)
}

// judge takes an answer of the file system.
func (d *disk) judge(s space, err error) {
	was := d.seen.Load()
	is := sight{space: s, at: time.Now(), err: err, level: unknown}
	if err == nil {
		before := roomy
		if was != nil {
			before = was.level
		}
		is.level = d.marks.next(before, s)
	}
	d.seen.Store(&is)
	if was == nil {
		was = &sight{level: roomy}
	}
	if was.level != is.level {
		d.changed(*was, is)
	}
}

// watch looks until quit. The file system is asked on a goroutine that ends
// when it answers: one that hangs holds up nothing, and no second is started.
func (d *disk) watch(quit <-chan struct{}) {
	type answer struct {
		space
		error
	}
	answers := make(chan answer, 1)
	asking := false
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case a := <-answers:
			asking = false
			d.judge(a.space, a.error)
		case <-tick.C:
			if asking {
				continue
			}
			asking = true
			go func() {
				s, err := d.ask(d.path)
				answers <- answer{s, err}
			}()
		}
	}
}

// diskEvent is the payload of disk.low and disk.ok. Level is low, stop or
// unknown; ok in disk.ok. Sizes are in bytes.
type diskEvent struct {
	Level string    `json:"level"`
	Free  int64     `json:"free"`
	Size  int64     `json:"size"`
	At    time.Time `json:"at"`
	By    string    `json:"by"`
}

// diskChanged tells the operator, and has the clerk tell the log: a disk that is
// full may not take the entry now.
func (s *Store) diskChanged(was, is sight) {
	ev := diskEvent{Level: is.level.String(), Free: is.space.free, Size: is.space.size, At: is.at.UTC(), By: "system"}
	kind, say := TypeDiskLow, s.log.Warn
	switch is.level {
	case roomy:
		kind, say = TypeDiskOK, s.log.Info
	case full, unknown:
		say = s.log.Error
	}
	say("the data directory's disk", "level", ev.Level, "was", was.level.String(), "free", ev.Free, "size", ev.Size, "error", is.err)
	s.later("logging the disk's level", func(ctx context.Context) error { return s.audit.appendJSON(ctx, kind, ev) })
}

// Ready says why no recording of a trunk's calls could begin now; nil if one
// could. It doesn't wait for anything: what can't be recorded needn't be asked
// for. That it is ready is no promise.
func (s *Store) Ready(trunk string) error {
	if err := s.disk.refuses(); err != nil {
		return err
	}
	if err := errors.Join(s.keys.failure(), s.audit.failure(), s.keys.stuck(), s.audit.stuck()); err != nil {
		return err
	}
	return s.usage.refuses(trunk, s.running())
}
