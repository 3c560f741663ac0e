package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"consentgate/store/rootcell"
)

// Holder is who had the old root, and how it was seen to be gone there.
type Holder struct {
	rootcell.Description
	Asked   time.Time `json:"asked"`   // when it was asked for the root again
	Refusal string    `json:"refusal"` // what it said
}

// destroyRoot destroys the old root in each cell that held it, and every earlier
// one that a cell still has. Each is asked again.
func (r *rotating) destroyRoot(ctx context.Context) error {
	var errs []error
	r.holders = nil
	for _, cell := range cellsOf(r.cell.Cell) {
		h, err := r.destroyIn(ctx, cell)
		if err != nil {
			errs = append(errs, fmt.Errorf("destroying the root key of epoch %d in %s: %w", r.From, nameOf(cell), err))
			continue
		}
		r.holders = append(r.holders, h)
		r.reached("rotate.destroying")
	}
	return errors.Join(errs...)
}

func (r *rotating) destroyIn(ctx context.Context, cell rootcell.Cell) (Holder, error) {
	from, to := r.From, r.To
	return ask(ctx, r.cell, func(ctx context.Context, _ rootcell.Cell) (h Holder, err error) {
		if _, err := cell.Get(ctx, to); err != nil { // else it would have none left
			return h, fmt.Errorf("it doesn't give the new root key: %w", err)
		}
		has, err := cell.Epochs(ctx)
		if err != nil {
			return h, err
		}
		for _, epoch := range append(has, from) {
			if epoch < to {
				err = errors.Join(err, cell.Destroy(ctx, epoch))
			}
		}
		if err != nil {
			return h, err
		}
		_, refusal := cell.Get(ctx, from)
		if !errors.Is(refusal, rootcell.ErrGone) {
			return h, errors.Join(errors.New("it was to be destroyed, and isn't refused"), refusal)
		}
		return Holder{cell.Describe(), time.Now().UTC(), refusal.Error()}, nil
	})
}

// cellsOf are the cells that a cell joins.
func cellsOf(cell rootcell.Cell) []rootcell.Cell {
	if g, ok := cell.(interface{ Cells() []rootcell.Cell }); ok {
		return g.Cells()
	}
	return []rootcell.Cell{cell}
}
