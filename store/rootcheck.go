package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store/rootcell"
)

// RootCheck is what a root key was seen to open.
type RootCheck struct {
	Epoch                  uint64
	System, Buckets, Grant int // keys of each kind
}

// CheckRoot opens every key in a data directory with the root that a cell has of
// its epoch, and changes nothing; a gate may be using the directory meanwhile.
// What opens now opens later: recordings and payloads hang under these keys.
func CheckRoot(ctx context.Context, dir string, cell rootcell.Cell) (out RootCheck, err error) {
	err = view(filepath.Join(dir, keysFile), func(tx *bolt.Tx) error {
		t, err := keysAt(ctx, dir, cell, tx)
		if err != nil {
			return err
		}
		if out, err = t.check(); err != nil {
			return fmt.Errorf("%s of %s: %w", keysFile, dir, err)
		}
		return nil
	})
	if err != nil {
		return RootCheck{}, err
	}
	return out, nil
}

// check opens all keys but the buckets', which keysAt opened.
func (t keysTx) check() (out RootCheck, err error) {
	if out.Epoch, err = epochOf(t.Tx); err != nil {
		return out, err
	}
	out.Buckets = t.Bucket(bKEK).Stats().KeyN
	if b := t.Bucket(bSystem); b != nil {
		err = b.ForEach(func(id, _ []byte) error {
			out.System++
			_, err := t.lookupBytes(bSystem, asSystemKey, string(id))
			return err
		})
	}
	if b := t.Bucket(bGrantKey); b != nil && err == nil { // version 1 has none
		err = b.ForEach(func(g, _ []byte) error {
			if len(g) != len(consent.Hash{}) {
				return errors.New("a grant's key has no grant")
			}
			out.Grant++
			_, _, err := t.grantKey(consent.Hash(g))
			return err
		})
	}
	return out, err
}

// RootEpoch tells which root a data directory needs; 0: it isn't made yet.
func RootEpoch(dir string) (epoch uint64, err error) {
	path := filepath.Join(dir, keysFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	err = view(path, func(tx *bolt.Tx) (err error) {
		if epoch = 0; versionOf(tx) != "" {
			epoch, err = epochOf(tx)
		}
		return err
	})
	return epoch, err
}
