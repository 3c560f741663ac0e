// Package rootcell keeps the root keys that everything in a data directory hangs
// under, off the disk that the directory is on. To erase for good (GDPR Art. 17)
// is to make a new root, wrap what shall stay under it, and destroy the old one:
// what is still wrapped under that, in whatever copy, opens for nobody.
//
// The drivers are File, here, and those for devices in packages of their own.
// Package celltest is what each of them must pass.
package rootcell

import (
	"context"
	"errors"
)

// Key is a root key: 32 random bytes, an AES-256 key.
type Key = [32]byte

var (
	// ErrGone means that the device answered, and has no root of that epoch: it
	// was destroyed, or never made. A device that doesn't answer isn't ErrGone.
	ErrGone = errors.New("there is no root key of this epoch")
	// ErrExists means that there is a root of that epoch already; it stays as it is.
	ErrExists = errors.New("there is a root key of this epoch already")
	// ErrEpoch means that an epoch isn't one: they count from 1.
	ErrEpoch = errors.New("root keys are numbered from 1")
)

// Cell keeps root keys by epoch: 1 for a new data directory, one more at each
// rotation. It has one of them, and two while a rotation is under way.
//
// Get is called when a data directory is opened or verified; Make when one is
// new; Make and Destroy by a rotation, which is alone. None of them is called in
// the path of a call: they may take the seconds that a device needs, and give up
// when ctx ends. Safe for concurrent use.
//
// No error says what a key is, nor a password or PIN of the device.
type Cell interface {
	// Epochs lists the roots that Get can give, ascending. Empty and no error
	// means that the device answered and has none.
	Epochs(ctx context.Context) ([]uint64, error)

	// Make makes a new random root. It is durable in the device when Make
	// returns it. ErrExists: there is one of this epoch. After another error it
	// may or may not have been made: ask Epochs.
	Make(ctx context.Context, epoch uint64) (Key, error)

	// Get gives a root. ErrGone: there is none, and trying again won't help.
	// Other errors (no answer, locked, not mounted) say nothing of the root: try
	// again later.
	Get(ctx context.Context, epoch uint64) (Key, error)

	// Destroy destroys a root. It returns nil only once the device itself was
	// asked for it again and refused (ErrGone): a certificate of erasure rests on
	// that. It returns nil for a root that is gone already, so that a rotation
	// that was cut off can be finished; not where the device can't tell. After
	// an error the root counts as not destroyed: call it again.
	Destroy(ctx context.Context, epoch uint64) error

	// Describe says what the cell is; it doesn't ask the device.
	Describe() Description

	// Close lets the device go. No other method may be called after it.
	Close() error
}

// Sweeper is a Cell beside whose roots a crash may leave copies of them.
type Sweeper interface {
	// Sweep destroys what is left of roots that were being written.
	Sweep(ctx context.Context) error
}

// Description says what holds the roots. It goes into certificates of erasure
// and into logs: nothing secret is in it.
type Description struct {
	Driver  string `json:"driver"`      // file, pkcs11, tpm, vault
	Holder  string `json:"holder"`      // which one: a path, a token's label and serial, a server's address
	Resists string `json:"resists"`     // a sentence: against whom a destroyed root is gone
	Doesnt  string `json:"doesnt_stop"` // a sentence: against whom it isn't known to be
}
