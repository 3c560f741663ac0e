package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rootcell"
)

// Rotation says when erasures become final: that the root key is replaced, and the
// old one destroyed, so that no copy of what was erased can be read again.
type Rotation struct {
	Every         time.Duration // all that was erased meanwhile together; 0: only by Store.Rotate
	AtOnce        bool          // after each erasure
	RequireBackup bool          // the old root isn't destroyed before ConfirmRootBackup was called for the new one
	Backups       []string      // by each of these holders; none: by anyone
}

// rotateAgain is when a rotation that failed is tried again.
const rotateAgain = time.Minute

// rotator is the goroutine that makes rotations, and what it needs.
type rotator struct {
	Rotation
	turn   chan struct{} // holds one token: who has it rotates
	woken  chan struct{}
	ctx    context.Context // ends with the store
	cancel context.CancelFunc
}

func newRotator(r Rotation) *rotator {
	ctx, cancel := context.WithCancel(contextForever)
	return &rotator{Rotation: r, turn: make(chan struct{}, 1), woken: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
}

// wake says that there is something to shred.
func (r *rotator) wake() {
	if !r.AtOnce {
		return
	}
	select {
	case r.woken <- struct{}{}:
	default: // it knows
	}
}

// rotateEvery is the goroutine. What a crash interrupted is ended first.
func (s *Store) rotateEvery() {
	wait := max(s.rotator.Every, time.Duration(0))
	if s.rotator.AtOnce || s.rotationUnderWay() {
		wait = s.tryRotate()
	}
	for {
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-s.rotator.ctx.Done():
			return
		case <-timer:
		case <-s.rotator.woken:
		}
		wait = s.tryRotate()
	}
}

// tryRotate returns when to try next.
func (s *Store) tryRotate() time.Duration {
	err := s.Rotate(s.rotator.ctx)
	if err == nil || s.rotator.ctx.Err() != nil {
		return s.rotator.Every
	}
	if !errors.Is(err, errNoBackup) {
		s.keys.refused.add("root")
	}
	n, oldest := s.waiting()
	s.log.Error("erasures aren't final yet: the root key can't be replaced; it is tried again", "pending", n,
		"oldest", oldest.Round(time.Second), "error", err)
	if s.rotator.Every > 0 {
		return min(s.rotator.Every, rotateAgain)
	}
	return rotateAgain
}

func (s *Store) rotationUnderWay() (underWay bool) {
	err := s.keys.read(func(tx *bolt.Tx) error {
		underWay = tx.Bucket(bRotation).Get(kNow) != nil
		return nil
	})
	return underWay && err == nil
}

// goesBy is how many rotations a key may take to go: a month of the catalog that is
// between two keys is put under another by the first, and loses the one before with
// the next.
const goesBy = 2

// errStays means that what was erased isn't final, and won't be by more of the same.
var errStays = errors.New("internal error: a key that was to go with the root key stays")

// Rotate makes all erasures final that were made before it was called: it makes a
// new root key, wraps what stays under it, sees that all of that opens, destroys
// the old root in every cell and logs that (erasure.shredded). Calls, searches and
// other erasures go on meanwhile. After an error nothing is lost, nothing more is
// final than the log says, and Rotate can be called again.
func (s *Store) Rotate(ctx context.Context) error {
	select {
	case s.rotator.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for another rotation: %w", ctx.Err())
	}
	defer func() { <-s.rotator.turn }()
	tried := map[string]int{}
	for {
		goes, more, err := s.rotateOnce(ctx)
		if err != nil {
			return fmt.Errorf("replacing the root key: %w", err)
		}
		if !more {
			return nil
		}
		if tried[goes]++; goes != "" && tried[goes] > goesBy {
			return fmt.Errorf("%w: %s, after the root key was replaced %d times", errStays, goes, tried[goes])
		}
	}
}

// waiting counts the erasures that aren't final, and says how long ago the oldest
// was made.
func (s *Store) waiting() (n int, oldest time.Duration) {
	err := s.keys.read(func(tx *bolt.Tx) error {
		return eachWaiting(tx, func(_ string, e erasure) {
			n++
			oldest = max(oldest, time.Since(e.Logical))
		})
	})
	if err != nil {
		s.log.Error("counting erasures", "error", err)
	}
	return n, oldest
}

// asker asks a root cell. A driver may hang, whatever its context says: then it
// is left behind, and not asked anything else before it answers.
type asker struct {
	rootcell.Cell
	patience time.Duration
	busy     chan struct{}
}

func newAsker(cell rootcell.Cell) *asker {
	return &asker{cell, rootPatience, make(chan struct{}, 1)}
}

// errBusy means that a root cell still owes an answer.
var errBusy = errors.New("the root cell hasn't answered an earlier question yet")

// none is the answer of what only may fail.
type none struct{}

// ask asks one question. The goroutine ends when the cell answers; nobody waits
// for it longer than the asker's patience.
func ask[T any](ctx context.Context, a *asker, question func(context.Context, rootcell.Cell) (T, error)) (T, error) {
	var nothing T
	select {
	case a.busy <- struct{}{}:
	default:
		return nothing, errBusy
	}
	type answer struct {
		v   T
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		v, err := question(ctx, a.Cell)
		<-a.busy
		answers <- answer{v, err}
	}()
	select {
	case got := <-answers:
		return got.v, got.err
	case <-ctx.Done():
		return nothing, fmt.Errorf("the root cell doesn't answer: %w", ctx.Err())
	}
}
