package celltest

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"testing"
	"time"

	"consentgate/store/rootcell"
)

// RunImporter tests that a driver can be given roots: as a replica, or out of a
// backup.
func RunImporter(t *testing.T, empty func(t *testing.T) Device) {
	for name, f := range map[string]func(*suite, rootcell.Importer){
		"a root that is put is there, also at the next start": (*suite).put,
		"the same root may be put twice, another may not":     (*suite).putTwice,
		"a root that is put is destroyed like others":         (*suite).putDestroyed,
		"nothing runs on behind it":                           (*suite).quiet,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSuite(t, empty(t))
			i, ok := s.cell.(rootcell.Importer)
			if !ok {
				t.Fatalf("%T isn't an Importer", s.cell)
			}
			f(s, i)
		})
	}
}

// RunRestart tests that what was destroyed stays so, and what was kept is there,
// when the device itself stops and starts again. restart does that; the device
// keeps its memory.
func RunRestart(t *testing.T, empty func(t *testing.T) (d Device, restart func())) {
	d, restart := empty(t)
	s := newSuite(t, d)
	s.make(1)
	k := s.make(2)
	restart()
	s.has(2, k)
	s.must(s.cell.Destroy(s.ctx, 1))
	s.gone(1)
	restart()
	s.gone(1)
	s.has(2, k)
	s.lists(2)
	s.restart()
	s.gone(1)
	s.has(2, k)
	again := s.make(1)
	restart()
	s.has(1, again)
}

func newKey() (k rootcell.Key) {
	rand.Read(k[:])
	return k
}

func (s *suite) put(i rootcell.Importer) {
	k, made := newKey(), s.make(1)
	s.must(i.Put(s.ctx, 2, k))
	s.has(2, k)
	s.restart()
	s.has(2, k)
	s.has(1, made)
	s.lists(1, 2)
}

func (s *suite) putTwice(i rootcell.Importer) {
	k := newKey()
	s.must(i.Put(s.ctx, 3, k))
	s.must(i.Put(s.ctx, 3, k))
	if err := i.Put(s.ctx, 3, newKey()); !errors.Is(err, rootcell.ErrExists) {
		s.Errorf("want ErrExists, have %v", err)
	}
	if _, err := s.cell.Make(s.ctx, 3); !errors.Is(err, rootcell.ErrExists) {
		s.Errorf("want ErrExists, have %v", err)
	}
	if err := i.Put(s.ctx, 0, k); !errors.Is(err, rootcell.ErrEpoch) {
		s.Errorf("epoch 0: %v", err)
	}
	s.has(3, k)
}

func (s *suite) putDestroyed(i rootcell.Importer) {
	s.must(i.Put(s.ctx, 1, newKey()))
	s.must(i.Put(s.ctx, 2, newKey()))
	s.must(s.cell.Destroy(s.ctx, 1))
	s.gone(1)
	s.restart()
	s.gone(1)
	s.lists(2)
}

// quiet: what a cell starts ends with the call that started it, the ones that
// were given up too.
func (s *suite) quiet(i rootcell.Importer) {
	before := runtime.NumGoroutine()
	s.make(1)
	s.must(i.Put(s.ctx, 2, newKey()))
	for after := range 20 { // it is given up at different moments
		ctx, cancel := context.WithTimeout(s.ctx, time.Duration(after)*time.Millisecond)
		_, _ = s.cell.Get(ctx, 1)
		_, _ = s.cell.Epochs(ctx)
		cancel()
	}
	s.must(s.cell.Destroy(s.ctx, 1))
	s.restart()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 64<<10)
			s.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
	s.gone(1)
	s.lists(2)
}
