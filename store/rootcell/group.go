package rootcell

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Group is several cells that hold the same roots. The first makes them; each
// must confirm that one is destroyed.
type Group struct {
	cells []Cell
}

var _ Cell = (*Group)(nil)

// NewGroup joins a cell and its replicas, which must be Importers. The group
// closes them. With no replicas it does what the one cell does.
func NewGroup(first Cell, replicas ...Cell) (*Group, error) {
	for _, r := range replicas {
		if _, ok := r.(Importer); !ok {
			return nil, fmt.Errorf("a %s cell can't be a replica: it can't be given a root key", r.Describe().Driver)
		}
	}
	return &Group{append([]Cell{first}, replicas...)}, nil
}

// Cells are the group's, the first first. They stay the group's.
func (g *Group) Cells() []Cell { return slices.Clone(g.cells) }

// CellError is what one cell of a group said.
type CellError struct {
	Cell  Description
	Err   error
	alone bool // there is no other that could be meant
}

func (e *CellError) Error() string {
	if e.alone {
		return e.Err.Error()
	}
	return fmt.Sprintf("root cell %s (%s): %v", e.Cell.Driver, e.Cell.Holder, e.Err)
}

func (e *CellError) Unwrap() error { return e.Err }

// failed wraps a cell's error; nil stays nil.
func (g *Group) failed(c Cell, err error) error {
	if err == nil {
		return nil
	}
	return &CellError{c.Describe(), err, len(g.cells) == 1}
}

// Epochs lists the roots that any of the cells has. A cell that doesn't answer
// is left out, unless the others have none: it may.
func (g *Group) Epochs(ctx context.Context) ([]uint64, error) {
	all := []uint64{}
	var errs []error
	for _, c := range g.cells {
		got, err := c.Epochs(ctx)
		if err != nil {
			errs = append(errs, g.failed(c, err))
		}
		all = append(all, got...)
	}
	if len(all) == 0 {
		return all, errors.Join(errs...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Get gives a root from the first cell that has it: a replica stands in where
// the first is away. ErrGone: every cell answered, and none has it.
func (g *Group) Get(ctx context.Context, epoch uint64) (Key, error) {
	var errs []error
	gone := true
	for _, c := range g.cells {
		k, err := c.Get(ctx, epoch)
		if err == nil {
			return k, nil
		}
		gone = gone && errors.Is(err, ErrGone)
		errs = append(errs, g.failed(c, err))
	}
	if gone {
		return Key{}, errors.Join(errs...)
	}
	return Key{}, notGone(errs)
}

// notGone joins errors so that they aren't taken for ErrGone: one cell that is
// away may have what the others haven't.
func notGone(errs []error) error {
	kept := make([]error, 0, len(errs))
	for _, err := range errs {
		if errors.Is(err, ErrGone) {
			err = errors.New(err.Error())
		}
		kept = append(kept, err)
	}
	return errors.Join(kept...)
}

// Make makes a root in the first cell and puts it into the others. Where one of
// them can't take it, it is destroyed again in all: a root that isn't in every
// cell isn't used. No cell may have one of that epoch, and all must answer:
// ErrExists can be of a Make that was cut off, and Destroy takes it away.
func (g *Group) Make(ctx context.Context, epoch uint64) (Key, error) {
	for _, c := range g.cells[1:] {
		if _, err := c.Get(ctx, epoch); err == nil {
			return Key{}, g.failed(c, ErrExists)
		} else if !errors.Is(err, ErrGone) {
			return Key{}, g.failed(c, err)
		}
	}
	k, err := g.cells[0].Make(ctx, epoch)
	if err != nil {
		return Key{}, g.failed(g.cells[0], err)
	}
	for i, c := range g.cells[1:] {
		if err := c.(Importer).Put(ctx, epoch, k); err != nil {
			err = fmt.Errorf("the root key of epoch %d isn't in every cell, and is taken back: %w", epoch, g.failed(c, err))
			for _, c := range g.cells[:i+2] { // what failed may have kept it
				err = errors.Join(err, g.failed(c, c.Destroy(context.WithoutCancel(ctx), epoch)))
			}
			return Key{}, err
		}
	}
	return k, nil
}

// Put keeps a root in every cell. The first must be an Importer, too.
func (g *Group) Put(ctx context.Context, epoch uint64, k Key) error {
	var errs []error
	for _, c := range g.cells {
		i, ok := c.(Importer)
		if !ok {
			errs = append(errs, g.failed(c, errors.New("it can't be given a root key")))
			continue
		}
		errs = append(errs, g.failed(c, i.Put(ctx, epoch, k)))
	}
	return errors.Join(errs...)
}

// Destroy destroys a root in every cell. It returns nil only if all confirmed; the
// error has a CellError of each that didn't. It goes on to the next where one
// fails: the fewer have it the better.
func (g *Group) Destroy(ctx context.Context, epoch uint64) error {
	var errs []error
	for _, c := range g.cells {
		errs = append(errs, g.failed(c, c.Destroy(ctx, epoch)))
	}
	return errors.Join(errs...)
}

// Sweep sweeps all that can be.
func (g *Group) Sweep(ctx context.Context) (err error) {
	for _, c := range g.cells {
		if s, ok := c.(Sweeper); ok {
			err = errors.Join(err, g.failed(c, s.Sweep(ctx)))
		}
	}
	return err
}

// Describe speaks for all: Holder names each.
func (g *Group) Describe() Description {
	d := g.cells[0].Describe()
	for _, c := range g.cells[1:] {
		r := c.Describe()
		d.Driver += "+" + r.Driver
		d.Holder += "; " + r.Holder
		if r.Resists != d.Resists {
			d.Resists += "; replica: " + r.Resists
		}
		if r.Doesnt != d.Doesnt {
			d.Doesnt += "; replica: " + r.Doesnt
		}
	}
	return d
}

// Close closes every cell.
func (g *Group) Close() error {
	var errs []error
	for _, c := range g.cells {
		errs = append(errs, g.failed(c, c.Close()))
	}
	return errors.Join(errs...)
}
