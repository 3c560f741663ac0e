// Package celltest is what every driver of a root cell must pass.
package celltest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"consentgate/store/rootcell"
)

// Device is one that keeps root keys, made for a test.
type Device struct {
	// Open opens the device as a process that starts would; what an earlier one
	// made is there.
	Open func() (rootcell.Cell, error)
	// Cut makes the device unreachable for cells that are open, as a cable that
	// is pulled does, and returns how it comes back. Nil: it can't be done.
	Cut func() (restore func())
}

// Run tests a driver. empty makes a device that has no roots yet; it is called
// for each test.
func Run(t *testing.T, empty func(t *testing.T) Device) {
	for name, f := range map[string]func(*suite){
		"a new device has no roots":                  (*suite).none,
		"a root is there at the next start":          (*suite).lasts,
		"each epoch has a root of its own":           (*suite).distinct,
		"no root is made twice":                      (*suite).once,
		"a destroyed root is refused, now and later": (*suite).destroyed,
		"an epoch counts from one":                   (*suite).zero,
		"an ended context isn't a missing root":      (*suite).ended,
		"no answer isn't a missing root":             (*suite).cut,
		"many may ask at once":                       (*suite).together,
		"it says what it is":                         (*suite).described,
	} {
		t.Run(name, func(t *testing.T) { f(newSuite(t, empty(t))) })
	}
}

// suite is one test with its device and a cell of it.
type suite struct {
	*testing.T
	device Device
	cell   rootcell.Cell
	ctx    context.Context
}

func newSuite(t *testing.T, d Device) *suite {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &suite{T: t, device: d, ctx: ctx}
	s.open()
	t.Cleanup(func() { s.must(s.cell.Close()) })
	return s
}

func (s *suite) open() {
	s.Helper()
	cell, err := s.device.Open()
	s.must(err)
	s.cell = cell
}

// restart closes the cell and opens the device again.
func (s *suite) restart() {
	s.Helper()
	s.must(s.cell.Close())
	s.open()
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) make(epoch uint64) rootcell.Key {
	s.Helper()
	k, err := s.cell.Make(s.ctx, epoch)
	s.must(err)
	if k == (rootcell.Key{}) {
		s.Fatalf("the root of epoch %d is all zeros", epoch)
	}
	return k
}

func (s *suite) has(epoch uint64, want rootcell.Key) {
	s.Helper()
	if got, err := s.cell.Get(s.ctx, epoch); err != nil || got != want {
		s.Errorf("the root of epoch %d isn't the one that was made: %v", epoch, err)
	}
}

func (s *suite) gone(epoch uint64) {
	s.Helper()
	if k, err := s.cell.Get(s.ctx, epoch); !errors.Is(err, rootcell.ErrGone) || k != (rootcell.Key{}) {
		s.Errorf("epoch %d: want ErrGone and no key, have %v", epoch, err)
	}
}

func (s *suite) lists(want ...uint64) {
	s.Helper()
	if got, err := s.cell.Epochs(s.ctx); err != nil || !slices.Equal(got, want) {
		s.Errorf("it lists %v, want %v: %v", got, want, err)
	}
}

func (s *suite) none() {
	s.lists()
	s.gone(1)
	s.gone(7)
}

func (s *suite) lasts() {
	k := s.make(1)
	s.has(1, k)
	s.lists(1)
	s.restart()
	s.has(1, k)
	s.lists(1)
}

func (s *suite) distinct() {
	// Ten and two: they are in the order of numbers, not of text.
	k10, k2 := s.make(10), s.make(2)
	if k10 == k2 {
		s.Error("two roots are the same")
	}
	s.restart()
	s.has(10, k10)
	s.has(2, k2)
	s.gone(1)
	s.lists(2, 10)
}

func (s *suite) once() {
	k := s.make(1)
	if _, err := s.cell.Make(s.ctx, 1); !errors.Is(err, rootcell.ErrExists) {
		s.Errorf("want ErrExists, have %v", err)
	}
	s.restart()
	if _, err := s.cell.Make(s.ctx, 1); !errors.Is(err, rootcell.ErrExists) {
		s.Errorf("at the next start: want ErrExists, have %v", err)
	}
	s.has(1, k)
}

func (s *suite) destroyed() {
	s.make(1)
	k := s.make(2)
	s.must(s.cell.Destroy(s.ctx, 1))
	s.gone(1)
	s.has(2, k)
	s.lists(2)
	if err := s.cell.Destroy(s.ctx, 1); err != nil {
		s.Errorf("a rotation that was cut off couldn't be finished: %v", err)
	}
	s.restart()
	s.gone(1)
	s.has(2, k)
	s.lists(2)
	if err := s.cell.Destroy(s.ctx, 1); err != nil {
		s.Errorf("at the next start: %v", err)
	}
}

func (s *suite) zero() {
	_, err := s.cell.Make(s.ctx, 0)
	_, err2 := s.cell.Get(s.ctx, 0)
	if err3 := s.cell.Destroy(s.ctx, 0); !errors.Is(err, rootcell.ErrEpoch) || !errors.Is(err2, rootcell.ErrEpoch) ||
		!errors.Is(err3, rootcell.ErrEpoch) {
		s.Errorf("epoch 0: %v, %v, %v", err, err2, err3)
	}
	s.lists()
}

// refuses means that all methods give errors that say nothing of a root.
func (s *suite) refuses(ctx context.Context) {
	s.Helper()
	if _, err := s.cell.Epochs(ctx); err == nil {
		s.Error("Epochs says what it can't know")
	}
	if _, err := s.cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) {
		s.Errorf("Get of what is there: %v", err)
	}
	if _, err := s.cell.Get(ctx, 9); err == nil || errors.Is(err, rootcell.ErrGone) {
		s.Errorf("Get of what isn't there: %v", err)
	}
	if _, err := s.cell.Make(ctx, 3); err == nil || errors.Is(err, rootcell.ErrExists) {
		s.Errorf("Make: %v", err)
	}
	if err := s.cell.Destroy(ctx, 1); err == nil {
		s.Error("Destroy says that it is done")
	}
	if err := s.cell.Destroy(ctx, 9); err == nil {
		s.Error("Destroy of what isn't there says that it is done")
	}
}

func (s *suite) ended() {
	k1, k2 := s.make(1), s.make(2)
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	s.refuses(ended)
	s.has(1, k1)
	s.has(2, k2)
	s.lists(1, 2)
}

func (s *suite) cut() {
	if s.device.Cut == nil {
		s.Skip("NOT TESTED: this device can't be made unreachable")
	}
	k1, k2 := s.make(1), s.make(2)
	restore := s.device.Cut()
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	s.refuses(ctx)
	restore()
	s.restart()
	s.has(1, k1)
	s.has(2, k2)
	s.lists(1, 2)
}

func (s *suite) together() {
	k1, k2 := s.make(1), s.make(2)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s.has(1, k1)
			s.has(2, k2)
			s.lists(1, 2)
		})
	}
	all.Wait()
}

func (s *suite) described() {
	if d := s.cell.Describe(); d.Driver == "" || d.Holder == "" || d.Resists == "" || d.Doesnt == "" {
		s.Errorf("%+v", d)
	}
}
