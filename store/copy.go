package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// copies is how often a database that is being written is copied anew before
// giving up.
const copies = 5

// view reads a database that another process may be writing: one in use is
// copied first and the copy is read. f may see a copy that writes fell into;
// where it fails on such a one, it is called again with another.
func view(path string, f func(tx *bolt.Tx) error) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: 200 * time.Millisecond})
	if err == nil {
		return errors.Join(guarded(db, f), db.Close())
	}
	if !errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	for range copies {
		torn, err := viewCopy(path, f)
		if err == nil || !torn {
			return err
		}
	}
	return fmt.Errorf("%s is being written too fast to be copied; verify an export, or when the gate is at rest", path)
}

// viewCopy reads a copy. torn tells that the database changed meanwhile, so that
// what is wrong with the copy may not be wrong with the database.
func viewCopy(path string, f func(tx *bolt.Tx) error) (torn bool, err error) {
	dir, err := os.MkdirTemp("", "consentgate-verify-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	to := filepath.Join(dir, "copy.db")
	if torn, err = copyDB(path, to); err != nil {
		return torn, err
	}
	db, err := bolt.Open(to, 0o400, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return torn, fmt.Errorf("opening a copy of %s: %w", path, err)
	}
	return torn, errors.Join(guarded(db, f), db.Close())
}

// metaPages is what a bbolt file begins with: the two pages that every
// transaction changes one of.
func metaPages(f *os.File) ([]byte, error) {
	b := make([]byte, 2*os.Getpagesize())
	_, err := f.ReadAt(b, 0)
	return b, err
}

func copyDB(from, to string) (torn bool, err error) {
	src, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	before, err1 := metaPages(src)
	_, err2 := io.Copy(dst, src)
	after, err3 := metaPages(src)
	return !bytes.Equal(before, after), errors.Join(err1, err2, err3, dst.Close())
}

var errDamaged = errors.New("the database is damaged, or can't be read")

// guarded reads a database that may be damaged or tampered with. (Tx.Check is no
// help: it runs on a goroutine of its own, where nothing can be caught. What f
// reads, f must check itself.)
func guarded(db *bolt.DB, f func(tx *bolt.Tx) error) error {
	return caught(db, func() error { return db.View(f) })
}

// caught makes errors of what a bad database does to the process: bbolt panics
// where its pages contradict each other, and the kernel faults where a mapped
// page lies behind the file's end, or can't be read from the disk.
func caught(db *bolt.DB, f func() error) (err error) {
	before := debug.SetPanicOnFault(true) // of this goroutine
	defer debug.SetPanicOnFault(before)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %w: %v", db.Path(), errDamaged, r)
		}
	}()
	return f()
}
