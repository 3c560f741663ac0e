package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"consentgate/store/rootcell"
)

// rootPatience bounds how long the root cell may take to give a key.
const rootPatience = 30 * time.Second

// firstRoot gives the root of a new data directory: the latest of the cell, or
// a new one where it has none. A directory that holds a log has a root already.
func firstRoot(ctx context.Context, dir string, cell rootcell.Cell) (epoch uint64, root key, err error) {
	for _, name := range []string{auditFile, VerifierFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return 0, key{}, fmt.Errorf("it is empty, and the data directory %s holds a log: "+
				"put %s back from the backup, or start with an empty directory", dir, keysFile)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, key{}, err
		}
	}
	has, err := cell.Epochs(ctx)
	if err != nil {
		return 0, key{}, fmt.Errorf("asking the root cell %s: %w", nameOf(cell), err)
	}
	if len(has) == 0 {
		root, err := cell.Make(ctx, 1)
		if err != nil {
			return 0, key{}, fmt.Errorf("making a root key in %s: %w", nameOf(cell), err)
		}
		return 1, root, nil
	}
	epoch = has[len(has)-1]
	root, err = rootOf(ctx, dir, cell, epoch)
	return epoch, root, err
}

// rootOf gets the root of an epoch, or says what it means that there is none.
func rootOf(ctx context.Context, dir string, cell rootcell.Cell, epoch uint64) (key, error) {
	root, err := cell.Get(ctx, epoch)
	if err == nil {
		return root, nil
	}
	if !errors.Is(err, rootcell.ErrGone) {
		return key{}, fmt.Errorf("getting the root key of epoch %d from %s: %w", epoch, nameOf(cell), err)
	}
	has, listErr := cell.Epochs(ctx)
	if listErr != nil {
		return key{}, fmt.Errorf("getting the root key of epoch %d from %s: %w", epoch, nameOf(cell), errors.Join(err, listErr))
	}
	if len(has) == 0 {
		return key{}, fmt.Errorf("the root key is missing: %s has none, and the data directory %s was made with one (epoch %d): "+
			"put it back from its backup; without it no recording can be read: %w", nameOf(cell), dir, epoch, err)
	}
	if has[len(has)-1] > epoch {
		return key{}, fmt.Errorf("the data directory %s is of epoch %d, and the root cell %s has epoch %d only: "+
			"recordings were erased since, and the root of then was destroyed so that no copy from before can be read. "+
			"Put back a backup of the data directory made after the last erasure, or start with an empty directory: %w",
			dir, epoch, nameOf(cell), has[len(has)-1], err)
	}
	return key{}, fmt.Errorf("the data directory %s is of epoch %d, and the root cell %s has epoch %d only: "+
		"it is another directory's cell, or was itself put back from an old backup; put the right one back: %w",
		dir, epoch, nameOf(cell), has[len(has)-1], err)
}

func nameOf(cell rootcell.Cell) string {
	d := cell.Describe()
	return d.Driver + " " + d.Holder
}

// ErrRoot means that the root cell doesn't give the key that all others hang
// under.
var ErrRoot = errors.New("the root key can't be had")

// rootRefused is an error that is ErrRoot.
type rootRefused struct{ error }

func (rootRefused) Is(target error) bool { return target == ErrRoot }

func (r rootRefused) Unwrap() error { return r.error }
