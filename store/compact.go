package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"consentgate/internal/durable"
)

// Compact writes the databases of a data directory anew, without the pages that
// they no longer use, which bbolt never gives back and which still hold rows of
// before. No gate may have the directory open: ErrInUse. Each new file takes its
// database's place only once it is on stable storage, was read again, has the very
// same rows, and its keys open and its log verifies; till then, and after every
// error, the database is as it was. A crash leaves the one or the other, whole.
//
// It needs room for a copy of the larger, above the mark Disk.Stop: ErrNoRoom. The
// log says that it was done. What is done is returned beside an error, too.
func Compact(ctx context.Context, o Options) (done []Compacted, err error) {
	o = o.withDefaults()
	c, err := openCompaction(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, d := range []*original{c.keys, c.audit} { // the log verifies only with keys that open
		before, after, err := c.rewrite(ctx, d)
		if err != nil {
			return done, errors.Join(fmt.Errorf("compacting %s: %w", d.path, err), c.close())
		}
		done = append(done, Compacted{d.name, before, after})
	}
	if err := c.close(); err != nil {
		return done, err
	}
	s, err := Open(o) // which logs it
	if errors.Is(err, ErrInUse) {
		return done, nil // a gate, which has been waiting for this, does
	}
	if err != nil {
		return done, fmt.Errorf("compacted, and yet to be logged by the next start: %w", err)
	}
	return done, s.Close()
}

// compaction is one at work in a directory that it has locked.
type compaction struct {
	Options
	keys, audit *original
	vkey        string
}

// original is a database to be written anew.
type original struct {
	name   string
	path   string // where it really is: a link stays
	db     *bolt.DB
	copied *bolt.DB // what took its place; nil: nothing yet
	sound  func(context.Context, *bolt.Tx) error
}

// openCompaction locks a directory and sees that it is one, and that its root is
// there: a keys.db of before an erasure is refused here.
func openCompaction(ctx context.Context, o Options) (c *compaction, err error) {
	c = &compaction{Options: o}
	if c.keys, err = openOriginal(o.Dir, keysFile); err != nil {
		return nil, err
	}
	c.keys.sound = c.keysOpen
	if c.audit, err = openOriginal(o.Dir, auditFile); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.audit.sound = c.logVerifies
	c.vkey, err = readVerifier(o.Dir)
	err = errors.Join(err, sweepCopies(o.Dir, o.Log))
	for _, d := range []*original{c.keys, c.audit} {
		err = errors.Join(err, guarded(d.db, func(tx *bolt.Tx) error {
			if v := versionOf(tx); v != schemaVersion {
				return fmt.Errorf("%s is of version %q, not %q: start the gate on it first, which brings it to the present one", d.path, v, schemaVersion)
			}
			return nil
		}))
	}
	if err == nil {
		err = guarded(c.keys.db, func(tx *bolt.Tx) error {
			_, err := c.keysAt(ctx, tx)
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func openOriginal(dir, name string) (*original, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is nothing to compact: the data directory has no %s yet: %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	db, err := openDB(path)
	if err != nil {
		return nil, err
	}
	return &original{name: name, path: path, db: db}, nil
}

func (c *compaction) keysAt(ctx context.Context, tx *bolt.Tx) (keysTx, error) {
	ctx, cancel := context.WithTimeout(ctx, rootPatience)
	defer cancel()
	return keysAt(ctx, c.Dir, c.Root, tx)
}

// keysOpen sees that all keys of a keys.db open.
func (c *compaction) keysOpen(ctx context.Context, tx *bolt.Tx) error {
	t, err := c.keysAt(ctx, tx)
	if err == nil {
		_, err = t.check()
	}
	return err
}

// logVerifies sees that an audit.db verifies to its signed root, payloads and all.
func (c *compaction) logVerifies(ctx context.Context, tx *bolt.Tx) error {
	return guarded(c.keys.db, func(keys *bolt.Tx) error {
		t, err := c.keysAt(ctx, keys)
		if err != nil {
			return err
		}
		erasing, err := t.erasing()
		if err != nil {
			return err
		}
		r, err := Auditor{}.verifyTx(tx, c.vkey, t.payloadKey, erasing)
		if err == nil && !r.OK() {
			err = fmt.Errorf("the audit log doesn't verify, and stays as evidence of that: entry %d: %s", r.BadSeq, r.Problem)
		}
		return err
	})
}

// close gives the directory up. keys.db comes last: who has it has the directory.
func (c *compaction) close() (err error) {
	for _, d := range []*original{c.audit, c.keys} {
		if d == nil {
			continue
		}
		if d.copied != nil {
			err = errors.Join(err, d.copied.Close())
		}
		err = errors.Join(err, d.db.Close())
	}
	return err
}

// copyPath is where a database is written anew.
func copyPath(path string) string { return path + ".compact" }

// sweepCopies removes what a compaction left that was cut short: rows may have been
// erased since. Who calls it has the directory locked.
func sweepCopies(dir string, log *slog.Logger) error {
	for _, name := range []string{keysFile, auditFile} {
		path, err := filepath.EvalSymlinks(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = os.Lstat(copyPath(path))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = durable.Remove(copyPath(path))
		}
		if err != nil {
			return fmt.Errorf("removing what a compaction left that was cut short: %w", err)
		}
		log.Warn("a compaction was cut short, and its copy is removed; the database is as it was", "file", path)
	}
	return nil
}
