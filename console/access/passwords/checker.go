package passwords

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrBusy says that too many log in at once; a little later there is room.
var ErrBusy = errors.New("too many log in at once")

const (
	// hashings at a time. One keeps a second processor, where there are two, for
	// calls; it takes about a tenth of a second.
	hashings = 1
	// strangers and acquaintances that may wait for their turn. They queue apart,
	// so that a flood of strangers doesn't keep those out who were here before.
	strangers     = 8
	acquaintances = 16
	// patience is how long one waits for its turn.
	patience = 10 * time.Second
)

// Checker compares passwords, one at a time.
type Checker struct {
	turn    chan struct{}
	waiting [2]chan struct{}
	done    atomic.Uint64
}

// NewChecker makes a Checker. One is enough for a process, and more would share
// no bound.
func NewChecker() *Checker {
	return &Checker{turn: make(chan struct{}, hashings),
		waiting: [2]chan struct{}{make(chan struct{}, strangers), make(chan struct{}, acquaintances)}}
}

// Matches compares a password with a hash. acquainted: who asks logged in from
// there before. The error is ErrBusy or the context's.
func (c *Checker) Matches(ctx context.Context, h Hash, password string, acquainted bool) (bool, error) {
	queue := c.waiting[0]
	if acquainted {
		queue = c.waiting[1]
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	select {
	case queue <- struct{}{}:
		defer func() { <-queue }()
	default:
		return false, ErrBusy
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-late.C:
		return false, ErrBusy
	case <-ctx.Done():
		return false, ctx.Err()
	}
	c.done.Add(1)
	return h.matches(password), nil
}

// Done is how many comparisons were made.
func (c *Checker) Done() uint64 { return c.done.Load() }
