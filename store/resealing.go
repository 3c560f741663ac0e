package store

import (
	"bytes"
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/catalog"
)

const (
	// resealBatch is how many of the catalog's blocks are sealed anew in one
	// transaction: a grant waits for one of them at most.
	resealBatch = 64
	// checkBatch is how many are opened in one; see scanBatch.
	checkBatch = 512
)

// resealing says where in a month the blocks begin that are under the predecessor
// of the month's key; nil: it has none.
func (t keysTx) resealing(month string) []byte {
	b := t.Bucket(bResealing)
	if b == nil { // of an earlier version
		return nil
	}
	return bytes.Clone(b.Get([]byte(month)))
}

// beginResealing notes that all that the catalog has of a month is under the
// predecessor of the month's key.
func (t keysTx) beginResealing(month string) error {
	from, err := catalog.Begin(month)
	if err != nil {
		return err
	}
	return t.Bucket(bResealing).Put([]byte(month), from)
}

// reseal seals some more blocks of a month under its present key.
func (t keysTx) reseal(month string) error {
	from, err := t.catalog().Reseal(month, resealBatch)
	if err != nil {
		return err
	}
	if from == nil {
		return t.Bucket(bResealing).Delete([]byte(month))
	}
	return t.Bucket(bResealing).Put([]byte(month), from)
}

// resealMonths puts what the catalog has of months from which something was taken
// under their new keys, some of it at a time: grants go on meanwhile.
func (r *rotating) resealMonths(ctx context.Context) error {
	for {
		month, err := r.keys.monthToReseal()
		if err != nil || month == "" {
			return err
		}
		if err := r.keys.update(ctx, func(t keysTx) error { return t.reseal(month) }); err != nil {
			return fmt.Errorf("sealing the catalog of %s anew: %w", month, err)
		}
		r.reached("rotate.resealing")
	}
}

func (k *keyring) monthToReseal() (month string, err error) {
	err = k.read(func(tx *bolt.Tx) error {
		first, _ := tx.Bucket(bResealing).Cursor().First()
		month = string(first)
		return nil
	})
	return month, err
}

// openCatalog opens some of the catalog's blocks, from one on, and says where to
// go on; nil at the end.
func (k *keyring) openCatalog(from []byte) (next []byte, err error) {
	err = k.view(func(t keysTx) (err error) {
		next, err = t.catalog().Check(from, checkBatch)
		return err
	})
	return next, err
}
