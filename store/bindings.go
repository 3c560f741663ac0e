package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// bindingsFile holds what must be there again after a restart of the gate and
// may be lost without harm: registrations. It is a file of its own, apart from
// keys and log, so that its trouble isn't theirs.
const bindingsFile = "bindings.db"

var bBinding = []byte("binding") // keyed hash of the key -> sealed value

// Bindings is a small table of sealed values. Keys and values are personal data:
// keys lie on the disk as keyed hashes only. Safe for concurrent use.
type Bindings struct {
	key key
	db  *bolt.DB
	*committer
}

// openBindings opens the table, or makes it. One that is damaged is set aside.
func openBindings(dir string, keys *keyring, log *slog.Logger) (*Bindings, error) {
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	k, err := keys.system(ctx, "bindings")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, bindingsFile)
	db, err := openTable(path)
	if errors.Is(err, errDamaged) {
		log.Error("setting the table of registrations aside", "error", err)
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, fmt.Errorf("setting it aside: %w", err)
		}
		db, err = openTable(path)
	}
	if err != nil {
		return nil, err
	}
	return &Bindings{key: k, db: db, committer: newCommitter(db, nil)}, nil
}

// openTable opens the database and reads it through: bbolt panics over damaged
// pages, and later it would do so on another goroutine.
func openTable(path string) (db *bolt.DB, err error) {
	before := debug.SetPanicOnFault(true) // of this goroutine
	defer debug.SetPanicOnFault(before)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s: %v", errDamaged, path, r)
		}
	}()
	db, err = openDB(path)
	for _, damage := range []error{berrors.ErrInvalid, berrors.ErrChecksum, berrors.ErrVersionMismatch} {
		if errors.Is(err, damage) {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bBinding)
		if err != nil {
			return err
		}
		return b.ForEach(func(_, _ []byte) error { return nil })
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), db.Close())
	}
	return db, nil
}

func (b *Bindings) closeDB() error {
	if b == nil {
		return nil
	}
	return b.committer.closeDB()
}

// errNoBindings is the answer where the table couldn't be opened.
var errNoBindings = errors.New("the table of registrations isn't open")

// Save makes changes durable, all or none; an empty value is taken out. It
// returns when they are on stable storage or ctx ends.
func (b *Bindings) Save(ctx context.Context, changes map[string][]byte) error {
	if b == nil {
		return errNoBindings
	}
	sealed := make(map[string][]byte, len(changes))
	for name, value := range changes {
		at := b.token(name)
		sealed[at] = nil
		if len(value) > 0 {
			sealed[at] = seal(b.key, asBinding, hex.EncodeToString([]byte(at)), value)
		}
	}
	err := b.commit(ctx, func(tx *bolt.Tx) error {
		bucket := tx.Bucket(bBinding)
		for at, box := range sealed {
			if box == nil {
				if err := bucket.Delete([]byte(at)); err != nil {
					return err
				}
			} else if err := bucket.Put([]byte(at), box); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", bindingsFile, err)
	}
	return nil
}

// Load returns all values that there are. One that doesn't open is left out and
// counted in the error, which comes beside the others.
func (b *Bindings) Load(context.Context) (values [][]byte, err error) {
	if b == nil {
		return nil, errNoBindings
	}
	bad := 0
	err = b.read(func(tx *bolt.Tx) error {
		return tx.Bucket(bBinding).ForEach(func(at, box []byte) error {
			value, err := open(b.key, asBinding, hex.EncodeToString(at), box)
			if err != nil {
				bad++
				return nil
			}
			values = append(values, value)
			return nil
		})
	})
	if err != nil {
		return values, fmt.Errorf("reading %s: %w", bindingsFile, err)
	}
	if bad > 0 {
		return values, fmt.Errorf("reading %s: %d values: %w", bindingsFile, bad, errSealed)
	}
	return values, nil
}

// tokenSize is enough that two names never meet.
const tokenSize = 16

func (b *Bindings) token(name string) string {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write([]byte(name))
	return string(mac.Sum(nil)[:tokenSize])
}
