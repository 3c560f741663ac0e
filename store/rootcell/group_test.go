package rootcell_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
)

// sticks are file cells in folders of their own, which can be taken away.
type sticks struct {
	*testing.T
	dirs []string
}

func newSticks(t *testing.T, n int) *sticks {
	t.Helper()
	s := &sticks{T: t}
	for range n {
		s.dirs = append(s.dirs, filepath.Join(t.TempDir(), "stick"))
		must(t, os.Mkdir(s.dirs[len(s.dirs)-1], 0o700))
	}
	return s
}

func (s *sticks) cell(i int) *rootcell.File {
	return rootcell.NewFile(filepath.Join(s.dirs[i], "root.key"))
}

func (s *sticks) group() *rootcell.Group {
	s.Helper()
	var replicas []rootcell.Cell
	for i := range s.dirs[1:] {
		replicas = append(replicas, s.cell(i+1))
	}
	g, err := rootcell.NewGroup(s.cell(0), replicas...)
	must(s.T, err)
	return g
}

// away takes sticks away, and gives what brings them back.
func (s *sticks) away(which ...int) (back func()) {
	for _, i := range which {
		must(s.T, os.Rename(s.dirs[i], s.dirs[i]+".away"))
	}
	return func() {
		for _, i := range which {
			must(s.T, os.Rename(s.dirs[i]+".away", s.dirs[i]))
		}
	}
}

func TestGroupOfCells(t *testing.T) {
	empty := func(t *testing.T) celltest.Device {
		s := newSticks(t, 3)
		return celltest.Device{Open: func() (rootcell.Cell, error) { return s.group(), nil }, Cut: func() func() { return s.away(0, 1, 2) }}
	}
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
}

func TestFileCellTakesRoots(t *testing.T) {
	celltest.RunImporter(t, func(t *testing.T) celltest.Device {
		s := newSticks(t, 1)
		return celltest.Device{Open: func() (rootcell.Cell, error) { return s.cell(0), nil }}
	})
}

// TestEveryCellOfAGroupHasTheRoot that the first made.
func TestEveryCellOfAGroupHasTheRoot(t *testing.T) {
	s, ctx := newSticks(t, 3), context.Background()
	k, err := s.group().Make(ctx, 1)
	must(t, err)
	for i := range s.dirs {
		if got, err := s.cell(i).Get(ctx, 1); err != nil || got != k {
			t.Errorf("cell %d: %v", i, err)
		}
	}
}

// TestAReplicaStandsIn for a first cell that is away.
func TestAReplicaStandsIn(t *testing.T) {
	s, ctx := newSticks(t, 2), context.Background()
	g := s.group()
	k, err := g.Make(ctx, 1)
	must(t, err)
	defer s.away(0)()
	if got, err := g.Get(ctx, 1); err != nil || got != k {
		t.Error(err)
	}
	if got, err := g.Epochs(ctx); err != nil || len(got) != 1 {
		t.Errorf("%v: %v", got, err)
	}
	must(t, os.Remove(filepath.Join(s.dirs[1], "root.key")))
	if got, err := g.Epochs(ctx); err == nil {
		t.Errorf("the first may have roots, and the group lists %v", got)
	}
	if _, err := g.Get(ctx, 2); err == nil || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("the first may have what the replica hasn't: %v", err)
	}
}

// TestARootIsDestroyedOnlyOnceEveryCellConfirmed; who didn't is named.
func TestARootIsDestroyedOnlyOnceEveryCellConfirmed(t *testing.T) {
	s, ctx := newSticks(t, 3), context.Background()
	g := s.group()
	_, err := g.Make(ctx, 1)
	_, err2 := g.Make(ctx, 2)
	must(t, err, err2)
	back := s.away(1)
	err = g.Destroy(ctx, 1)
	var left *rootcell.CellError
	if !errors.As(err, &left) || !strings.Contains(left.Cell.Holder, s.dirs[1]) || strings.Contains(err.Error(), s.dirs[0]) || strings.Contains(err.Error(), s.dirs[2]) {
		t.Errorf("unconfirmed: %v", err)
	}
	for _, i := range []int{0, 2} {
		if _, err := s.cell(i).Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
			t.Errorf("cell %d waits for the one that is away: %v", i, err)
		}
	}
	back()
	must(t, g.Destroy(ctx, 1))
	if _, err := g.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
}

// TestARootThatNotEveryCellTakesIsTakenBack: it is in none.
func TestARootThatNotEveryCellTakesIsTakenBack(t *testing.T) {
	s, ctx := newSticks(t, 3), context.Background()
	full := errors.New("no room")
	g, err := rootcell.NewGroup(s.cell(0), s.cell(1), refuses{s.cell(2), full})
	must(t, err)
	if _, err := g.Make(ctx, 1); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	for i := range s.dirs {
		if got, err := s.cell(i).Epochs(ctx); err != nil || len(got) > 0 {
			t.Errorf("cell %d has %v: %v", i, got, err)
		}
	}
	back := s.away(1)
	if _, err := g.Make(ctx, 1); err == nil || errors.Is(err, rootcell.ErrExists) {
		t.Errorf("made with a cell away: %v", err)
	}
	back()
	if got, err := s.cell(0).Epochs(ctx); err != nil || len(got) > 0 {
		t.Errorf("made in the first all the same: %v: %v", got, err)
	}
}

// refuses is a cell that takes no roots.
type refuses struct {
	*rootcell.File
	err error
}

func (r refuses) Put(context.Context, uint64, rootcell.Key) error { return r.err }

// TestAReplicaMustTakeRoots: one that can't is refused at the start.
func TestAReplicaMustTakeRoots(t *testing.T) {
	s := newSticks(t, 2)
	if _, err := rootcell.NewGroup(s.cell(0), struct{ rootcell.Cell }{s.cell(1)}); err == nil {
		t.Error("taken")
	}
}
