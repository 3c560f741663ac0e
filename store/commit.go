package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// errClosed is the answer after Close.
var errClosed = errors.New("the store is closed")

// maxGroup bounds how many writes share one transaction.
const maxGroup = 512

// company is how long a write that nobody waits for waits for others to share its
// transaction: of 200 calls a second that nobody records each would sync alone.
const company = 20 * time.Millisecond

// committer writes to a bbolt database in groups: what waits while a
// transaction syncs goes into the next one together. A lone write waits for
// nobody, unless it says that it may. bbolt's own Batch makes a lone write wait,
// and may run a function twice.
type committer struct {
	db      *bolt.DB
	queue   chan *write
	group   func(tx *bolt.Tx) error // runs last in each transaction; may be nil
	stopped chan struct{}
	once    sync.Once
	quit    chan struct{}
	broken  atomic.Pointer[error] // why nothing is written any more; nil: it is
	since   atomic.Int64          // when the transaction under way began, Unix nanoseconds; 0: there is none
}

// write is one caller's part of a transaction.
type write struct {
	do    func(tx *bolt.Tx) error
	after func()     // runs once it is durable, whether or not the caller still waits; may be nil
	later bool       // it may wait for company
	done  chan error // of capacity 1: the committer never waits for a caller
}

func newCommitter(db *bolt.DB, group func(tx *bolt.Tx) error) *committer {
	c := &committer{db: db, queue: make(chan *write, maxGroup), group: group,
		stopped: make(chan struct{}), quit: make(chan struct{})}
	go c.run()
	return c
}

// commit runs do in a transaction and returns when it is on stable storage, or
// with ctx's error; it may then still become durable.
func (c *committer) commit(ctx context.Context, do func(tx *bolt.Tx) error) error {
	return c.submit(ctx, &write{do: do})
}

// submit is commit, and calls w.after once the write is durable: by then the
// caller may have gone, its ctx having ended, so do and after may touch nothing
// that the caller uses without a nil error.
func (c *committer) submit(ctx context.Context, w *write) error {
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for the disk: %w", ctx.Err())
	}
	w.done = make(chan error, 1)
	select {
	case c.queue <- w:
	case <-c.quit:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the disk: %w", ctx.Err())
	}
	select {
	case err := <-w.done:
		return err
	case <-c.stopped:
		select {
		case err := <-w.done:
			return err
		default:
			return errClosed
		}
	case <-ctx.Done():
		return fmt.Errorf("waiting for the disk: %w", ctx.Err())
	}
}

// close lets what is queued finish and ends the goroutine.
func (c *committer) close() {
	c.once.Do(func() { close(c.quit) })
	<-c.stopped
}

// closeDB closes the committer and its database. One whose pages can't be read
// is left as it is until the process ends: bbolt may hold a lock that its Close
// waits for.
func (c *committer) closeDB() error {
	c.close()
	if err := c.failure(); errors.Is(err, errDamaged) {
		return err
	}
	return c.db.Close()
}

func (c *committer) run() {
	defer close(c.stopped)
	for {
		select {
		case w := <-c.queue:
			c.flush(c.gather(w))
		case <-c.quit:
			for {
				select {
				case w := <-c.queue:
					c.flush(c.gather(w))
				default:
					return
				}
			}
		}
	}
}

// gather takes what waits; for more it waits only while all of it may wait.
func (c *committer) gather(first *write) []*write {
	group := []*write{first}
	if first.later {
		group = c.accompany(group)
	}
	for len(group) < maxGroup {
		select {
		case w := <-c.queue:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// accompany lets a group that may wait grow until one comes that may not.
func (c *committer) accompany(group []*write) []*write {
	timer := time.NewTimer(company)
	defer timer.Stop()
	for len(group) < maxGroup {
		select {
		case w := <-c.queue:
			group = append(group, w)
			if !w.later {
				return group
			}
		case <-timer.C:
			return group
		case <-c.quit:
			return group
		}
	}
	return group
}

// flush commits a group; if that fails each is tried alone, so that one bad
// write, or one too many for the disk, doesn't fail the others.
func (c *committer) flush(group []*write) {
	err := c.update(group)
	if err == nil || len(group) == 1 {
		for _, w := range group {
			w.tell(err)
		}
		return
	}
	for _, w := range group {
		w.tell(c.update([]*write{w}))
	}
}

func (w *write) tell(err error) {
	if err == nil && w.after != nil {
		w.after()
	}
	w.done <- err
}

// ErrDiskFailed means that a database's disk failed, and that nothing is written
// to it until the store is opened again.
var ErrDiskFailed = errors.New("the disk failed, and nothing is written until the next start")

// failure says why the database takes no more writes; nil: it takes them.
func (c *committer) failure() error {
	if why := c.broken.Load(); why != nil {
		return *why
	}
	return nil
}

// tooLong is how long a transaction may take before its disk counts as hanging:
// what a grant is given to become durable.
const tooLong = 5 * time.Second

// ErrDiskHangs means that a database's disk has been holding up a write.
var ErrDiskHangs = errors.New("the disk hangs")

// stuck says why a write would not be done soon; nil: it may.
func (c *committer) stuck() error {
	since := c.since.Load()
	if since == 0 {
		return nil
	}
	if d := time.Since(time.Unix(0, since)); d > tooLong {
		return fmt.Errorf("%w: a write has taken %s", ErrDiskHangs, d.Round(time.Second))
	}
	return nil
}

// update writes a group in one transaction. A disk that is full may have room
// again, and is tried again. Any other failure of it is final: after a failed
// fsync nobody knows which pages are on the disk, and the next fsync says
// nothing of them (ADR 59).
func (c *committer) update(group []*write) error {
	if err := c.failure(); err != nil {
		return err
	}
	c.since.Store(time.Now().UnixNano())
	defer c.since.Store(0)
	refused := false // by one of the writes, so not by the disk
	err := caught(c.db, func() error {
		return c.db.Update(func(tx *bolt.Tx) error {
			err := c.apply(tx, group)
			refused = err != nil
			return err
		})
	})
	if err == nil || refused || isFull(err) {
		return err
	}
	err = fmt.Errorf("%w: %w", ErrDiskFailed, err)
	c.broken.Store(&err)
	return err
}

// read runs f in a reading transaction. A page that can't be read ends the
// database until the next start: bbolt may have kept a lock.
func (c *committer) read(f func(tx *bolt.Tx) error) error {
	if err := c.failure(); errors.Is(err, errDamaged) {
		return err
	}
	err := guarded(c.db, f)
	if errors.Is(err, errDamaged) {
		err = fmt.Errorf("%w: %w", ErrDiskFailed, err)
		c.broken.Store(&err)
	}
	return err
}

func (c *committer) apply(tx *bolt.Tx, group []*write) error {
	for _, w := range group {
		if err := w.do(tx); err != nil {
			return err
		}
	}
	if c.group != nil {
		return c.group(tx)
	}
	return nil
}

// isFull reports whether a write found no room. A sync that finds none has lost
// what was written, as any failed sync.
func isFull(err error) bool {
	var at *os.PathError
	return errors.As(err, &at) && at.Op != "sync" && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}
