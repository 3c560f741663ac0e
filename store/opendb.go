package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"consentgate/internal/durable"
)

// ErrInUse: another gate, or a command, writes to the data directory.
var ErrInUse = errors.New("another process has it open; only one consentgate may use a data directory")

// openDB opens a database for writing, or makes it: then its name is durable, too.
// Nobody else has it open for writing then.
func openDB(path string) (*bolt.DB, error) {
	for {
		db, replaced, err := openWaiting(path)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", path, err)
		}
		if !replaced {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, fmt.Errorf("opening %s anew: %w", path, err)
		}
	}
}

// openWaiting opens a database and waits a little for its lock. replaced tells that
// Compact put another file in its place meanwhile: what was written to this one
// would be gone. A list of free pages that is damaged has bbolt panic, which may
// not end a gate that has calls.
func openWaiting(path string) (db *bolt.DB, replaced bool, err error) {
	var file *os.File
	before := debug.SetPanicOnFault(true) // of this goroutine
	defer debug.SetPanicOnFault(before)
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(fmt.Errorf("%w: %v", errDamaged, r), file.Close()) // which gives its lock back
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: 2 * time.Second, OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, false, ErrInUse
	}
	if err != nil {
		return nil, false, err
	}
	err = durable.SyncDir(filepath.Dir(path))
	there, statErr := os.Stat(path)
	opened, fstatErr := file.Stat()
	if err = errors.Join(err, statErr, fstatErr); err != nil {
		return nil, false, errors.Join(err, db.Close())
	}
	return db, !os.SameFile(there, opened), nil
}
