package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"consentgate/internal/durable"
)

const (
	copyAtOnce = 8 << 20 // bytes of rows in one of the copy's transactions
	copyStep   = 1 << 20 // bytes that the copy grows by
	copySlack  = 2 << 20 // bytes that the copy may have more than what is in use of the original
)

// rewrite puts a copy of a database in its place, and returns the bytes of both. One
// that was written anew before, and not started on since, stays.
func (c *compaction) rewrite(ctx context.Context, d *original) (before, after int64, err error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return 0, 0, err
	}
	if before, done, err := compactedFrom(d.db); err != nil || done {
		return before, info.Size(), err
	}
	if err := c.room(d); err != nil {
		return 0, 0, err
	}
	to := copyPath(d.path)
	if err = c.fill(d, info, to); err == nil {
		c.reached("compact." + d.name + ".filled")
		err = c.compare(ctx, d, to)
	}
	if err == nil {
		c.reached("compact." + d.name + ".compared")
		err = os.Rename(to, d.path)
	}
	if err != nil {
		return 0, 0, errors.Join(fmt.Errorf("it is as it was: %w", err), durable.Remove(to))
	}
	c.reached("compact." + d.name + ".renamed")
	if err := durable.SyncDir(filepath.Dir(d.path)); err != nil {
		return 0, 0, fmt.Errorf("its directory can't be synced, so that a power cut may put back the one of before, whole: %w", err)
	}
	c.reached("compact." + d.name + ".done")
	made, err := os.Stat(d.path)
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), made.Size(), nil
}

// room sees that the copy fits, and leaves as much as recording needs.
func (c *compaction) room(d *original) error {
	s, err := c.space(filepath.Dir(d.path))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	var need int64
	err = guarded(d.db, func(tx *bolt.Tx) error {
		st := d.db.Stats()
		need = tx.Size() - int64(st.FreePageN+st.PendingPageN)*int64(d.db.Info().PageSize) + copySlack
		return nil
	})
	if err != nil {
		return err
	}
	left := s
	left.free -= need
	if left.free < 0 || left.under(c.Disk.Stop, 1) {
		return fmt.Errorf("%w: its copy needs %d bytes until it takes its place, %d are free, and what disk.stop says must stay so; "+
			"make room first; it is as it was", ErrNoRoom, need, s.free)
	}
	return nil
}

// fill makes the copy, and has it on stable storage.
func (c *compaction) fill(d *original, info os.FileInfo, to string) error {
	var file *os.File
	copied, err := bolt.Open(to, 0o600, &bolt.Options{PageSize: d.db.Info().PageSize, NoSync: true,
		MaxSize: int(info.Size()) + copySlack, // pages that lead to themselves would fill the disk
		OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
			file, err = os.OpenFile(name, flag|os.O_EXCL, mode)
			return file, err
		}})
	if err != nil {
		return fmt.Errorf("making its copy: %w", err)
	}
	copied.AllocSize = copyStep
	err = caught(d.db, func() error { return bolt.Compact(copied, d.db, copyAtOnce) })
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		err = fmt.Errorf("%s: %w: it has more rows than there is room for in %d bytes", d.path, errDamaged, info.Size())
	}
	if err == nil {
		err = copied.Update(func(tx *bolt.Tx) error { return noteCompacted(tx, info.Size()) })
	}
	if err == nil {
		err = owned(file, info)
	}
	if err == nil {
		c.reached("compact." + d.name + ".copied")
		err = file.Sync()
	}
	if err = errors.Join(err, copied.Close()); err != nil {
		return fmt.Errorf("filling its copy: %w", err)
	}
	return forgetCached(to)
}

// owned gives a file the owner, group and mode of another: the gate's user must be
// able to open it, whoever compacts.
func owned(f *os.File, like os.FileInfo) error {
	is, err := f.Stat()
	if err != nil {
		return err
	}
	want, has := like.Sys().(*syscall.Stat_t), is.Sys().(*syscall.Stat_t)
	if want.Uid != has.Uid || want.Gid != has.Gid {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("giving it its owner, %d:%d (do it as that user, or as root): %w", want.Uid, want.Gid, err)
		}
	}
	return f.Chmod(like.Mode().Perm())
}

// forgetCached has a synced file read from the disk again, not from memory.
func forgetCached(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// errDiffers means that a copy isn't one.
var errDiffers = errors.New("the copy, read again, isn't the same")

// compare reads the copy again, holds it against the original row by row, and sees
// that it is sound. It stays open: whoever waits to open it waits on.
func (c *compaction) compare(ctx context.Context, d *original, to string) error {
	copied, err := bolt.Open(to, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%w: %w", errDiffers, err)
	}
	err = guarded(d.db, func(was *bolt.Tx) error {
		return guarded(copied, func(is *bolt.Tx) error {
			rows := comparison{ctx: ctx}
			if err := rows.compare(was.Cursor().Bucket(), is.Cursor().Bucket(), bCompacted); err != nil {
				return err
			}
			return d.sound(ctx, is)
		})
	})
	if err != nil {
		return errors.Join(err, copied.Close())
	}
	d.copied = copied
	return nil
}

// comparison is of two databases.
type comparison struct {
	ctx  context.Context
	rows int
}

// compare holds all rows of two buckets against each other, those within them too;
// that of one name only the copy has. Keys must ascend: else pages of the
// original contradict each other.
func (c *comparison) compare(was, is *bolt.Bucket, added []byte) error {
	if was.Sequence() != is.Sequence() {
		return errDiffers
	}
	a, b := was.Cursor(), is.Cursor()
	k, v := a.First()
	last := []byte(nil)
	for k2, v2 := b.First(); k != nil || k2 != nil; k2, v2 = b.Next() {
		if added != nil && bytes.Equal(k2, added) {
			continue
		}
		if k == nil || !bytes.Equal(k, k2) || (v == nil) != (v2 == nil) || !bytes.Equal(v, v2) || last != nil && bytes.Compare(last, k) >= 0 {
			return errDiffers
		}
		if v == nil {
			if err := c.compare(was.Bucket(k), is.Bucket(k2), nil); err != nil {
				return fmt.Errorf("bucket %q: %w", k, err)
			}
		}
		if c.rows++; c.rows%scanBatch == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		last = k
		k, v = a.Next()
	}
	return nil
}
