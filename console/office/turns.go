package office

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// turns bound how many recordings are read at a time. That takes a core each, and
// calls come first: half of them, and at least one, are left to those. Whoever
// waits for a client gives the turn away meanwhile.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.NumCPU()/2)) }

// take waits for a turn; give must follow.
func (t turns) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for others to be read: %w", ctx.Err())
	}
}

func (t turns) give() { <-t }

// yielding is a writer of one who has a turn.
type yielding struct {
	w     io.Writer
	turns turns
}

// Write is io.Writer's.
func (y yielding) Write(p []byte) (int, error) {
	y.turns.give()
	defer func() { y.turns <- struct{}{} }() // others have it for a part of a recording only
	return y.w.Write(p)
}

// reading has read write to w in turns.
func (t turns) reading(ctx context.Context, w io.Writer, read func(io.Writer) error) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	return read(yielding{w, t})
}
