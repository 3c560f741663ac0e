// Package wrapcell is what root cells have in common whose device doesn't give
// keys away: the device has a key for each epoch that never leaves it, and the
// root lies in a file, encrypted under that. To destroy a root is to destroy the
// device's key; whatever copies of the file there are, they open for nobody.
package wrapcell

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"consentgate/internal/durable"
	"consentgate/store/rootcell"
)

// Device has keys that don't leave it. A method that returns ErrNoKey has heard
// so from the device; other errors say nothing of a key. Safe for concurrent use.
type Device interface {
	// ID names the device for good: a serial number. A file says which device
	// opens it, so that another one, which has no such key either, isn't taken
	// for it.
	ID(ctx context.Context) (string, error)
	// Keys lists the names of the device's keys that begin with prefix.
	Keys(ctx context.Context, prefix string) ([]string, error)
	// NewKey makes a key that can't be exported.
	NewKey(ctx context.Context, name string) error
	// Wrap encrypts under a key; Unwrap is its inverse, and fails where a byte
	// of name or box was changed.
	Wrap(ctx context.Context, name string, root rootcell.Key) (box []byte, err error)
	Unwrap(ctx context.Context, name string, box []byte) (rootcell.Key, error)
	// Delete destroys a key, and all versions of it.
	Delete(ctx context.Context, name string) error
	Close() error
}

// ErrNoKey means that the device answered, and has no key of that name.
var ErrNoKey = errors.New("the device has no such key")

// Cell is a root cell of a Device and files. It keeps what it makes apart from
// what others make in the same device by its name.
type Cell struct {
	device Device
	path   string
	name   string
	about  rootcell.Description
	mu     sync.Mutex // one Make, Put or Destroy at a time
}

var (
	_ rootcell.Cell     = (*Cell)(nil)
	_ rootcell.Importer = (*Cell)(nil)
	_ rootcell.Sweeper  = (*Cell)(nil)
)

// New joins a device and its files: the encrypted root of epoch N lies at path
// with ".N" behind it. They are worth nothing without the device, and the device
// nothing without them: they belong into the backup. name begins the names of
// the keys; CheckName says which are allowed.
func New(device Device, path, name string, about rootcell.Description) *Cell {
	return &Cell{device: device, path: path, name: name, about: about}
}

// CheckName says whether keys may have names that begin so.
func CheckName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`).MatchString(name) {
		return errors.New("small letters, digits and hyphens, 40 at most")
	}
	return nil
}

func (c *Cell) file(epoch uint64) string { return fmt.Sprintf("%s.%d", c.path, epoch) }

// newName is a name that no key ever had: what is left of a Make that was cut
// off never gets in the way.
func (c *Cell) newName(epoch uint64) string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("%s-%d-%s", c.name, epoch, hex.EncodeToString(b[:]))
}

// epochOf reads a key's name; ok is false where it isn't this cell's.
func (c *Cell) epochOf(name string) (epoch uint64, ok bool) {
	number, suffix, found := strings.Cut(strings.TrimPrefix(name, c.name+"-"), "-")
	epoch, err := strconv.ParseUint(number, 10, 64)
	raw, err2 := hex.DecodeString(suffix)
	return epoch, found && err == nil && err2 == nil && len(raw) == 6 && epoch > 0 && strings.HasPrefix(name, c.name+"-")
}

// keys are the names of the device's keys by epoch.
func (c *Cell) keys(ctx context.Context) (map[uint64][]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names, err := c.device.Keys(ctx, c.name+"-")
	if err != nil {
		return nil, fmt.Errorf("looking for root keys: %w", err)
	}
	out := map[uint64][]string{}
	for _, name := range names {
		if epoch, ok := c.epochOf(name); ok {
			out[epoch] = append(out[epoch], name)
		}
	}
	return out, nil
}

// Epochs lists the roots of which the device has the key, and the file is there.
func (c *Cell) Epochs(ctx context.Context) ([]uint64, error) {
	keys, err := c.keys(ctx)
	if err != nil {
		return nil, err
	}
	out := []uint64{}
	for epoch, names := range keys {
		f, err := c.read(epoch)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil && f.box != nil && slices.Contains(names, f.key) {
			out = append(out, epoch)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Get reads the file and has the device decrypt it.
func (c *Cell) Get(ctx context.Context, epoch uint64) (k rootcell.Key, err error) {
	if err := ctx.Err(); err != nil {
		return k, err
	}
	if epoch == 0 {
		return k, rootcell.ErrEpoch
	}
	f, err := c.read(epoch)
	if errors.Is(err, os.ErrNotExist) {
		return k, c.withoutFile(ctx, epoch)
	}
	if err != nil {
		return k, err
	}
	if err := c.sameDevice(ctx, f, epoch); err != nil {
		return k, err
	}
	if f.box == nil { // a Make was cut off; nobody ever had this root
		return k, fmt.Errorf("%s: %w", c.about.Holder, rootcell.ErrGone)
	}
	k, err = c.device.Unwrap(ctx, f.key, f.box)
	if errors.Is(err, ErrNoKey) {
		return rootcell.Key{}, fmt.Errorf("%s has no key %s: %w", c.about.Holder, f.key, rootcell.ErrGone)
	}
	if err != nil {
		return rootcell.Key{}, fmt.Errorf("decrypting %s: %w", c.file(epoch), err)
	}
	return k, nil
}

// withoutFile says whether a root that has no file is gone, or only its file.
func (c *Cell) withoutFile(ctx context.Context, epoch uint64) error {
	keys, err := c.keys(ctx)
	if err != nil {
		return err
	}
	if len(keys[epoch]) > 0 {
		return fmt.Errorf("the file %s is missing, and %s has the key that opens it: put it back from its backup",
			c.file(epoch), c.about.Holder)
	}
	return fmt.Errorf("%s: %w", c.about.Holder, rootcell.ErrGone)
}

func (c *Cell) sameDevice(ctx context.Context, f file, epoch uint64) error {
	id, err := c.device.ID(ctx)
	if err != nil {
		return err
	}
	if id != f.device {
		return fmt.Errorf("%s was encrypted by the device %q, and this one is %q: connect the other, "+
			"or name it in the configuration", c.file(epoch), f.device, id)
	}
	return nil
}

// Make makes a random root, and a key in the device that encrypts it.
func (c *Cell) Make(ctx context.Context, epoch uint64) (k rootcell.Key, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rand.Read(k[:]) // never fails
	if err := c.put(ctx, epoch, k); err != nil {
		return rootcell.Key{}, fmt.Errorf("making a root key: %w", err)
	}
	return k, nil
}

// Put keeps a root that was made elsewhere.
func (c *Cell) Put(ctx context.Context, epoch uint64, k rootcell.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if got, err := c.Get(ctx, epoch); err == nil && got == k {
		return nil
	}
	if err := c.put(ctx, epoch, k); err != nil {
		return fmt.Errorf("keeping a root key: %w", err)
	}
	return nil
}

// put notes the key's name before it makes the key, so that a key of which no
// root was ever given is known as such.
func (c *Cell) put(ctx context.Context, epoch uint64, k rootcell.Key) error {
	switch _, err := c.Get(ctx, epoch); {
	case err == nil:
		return fmt.Errorf("%s, epoch %d: %w", c.about.Holder, epoch, rootcell.ErrExists)
	case !errors.Is(err, rootcell.ErrGone):
		return err
	}
	id, err := c.device.ID(ctx)
	if err != nil {
		return err
	}
	if err := c.dropLeftovers(ctx, epoch); err != nil {
		return err
	}
	f := file{epoch: epoch, device: id, key: c.newName(epoch)}
	if err := c.write(f); err != nil {
		return err
	}
	if err := c.device.NewKey(ctx, f.key); err != nil {
		return err
	}
	if f.box, err = c.device.Wrap(ctx, f.key, k); err != nil {
		return err
	}
	if back, err := c.device.Unwrap(ctx, f.key, f.box); err != nil || back != k {
		return errors.Join(errors.New("the device doesn't give back what it encrypted"), err)
	}
	return c.write(f)
}

// dropLeftovers destroys the key of a Make that was cut off.
func (c *Cell) dropLeftovers(ctx context.Context, epoch uint64) error {
	f, err := c.read(epoch)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.device.Delete(ctx, f.key); err != nil && !errors.Is(err, ErrNoKey) {
		return err
	}
	return nil
}

// Sweep removes files that a crash left half written. They are worth no more than
// what they were to become, which nothing opens once the device's key is
// destroyed: so they aren't overwritten, and don't hold up a destruction.
func (c *Cell) Sweep(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	left, err := durable.Leftovers(c.path)
	for _, path := range left {
		err = errors.Join(err, durable.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("removing what a crash left beside the encrypted root key %s: %w", c.path, err)
	}
	return nil
}

// Destroy destroys the device's keys of an epoch, has the device refuse them,
// and takes the file away.
func (c *Cell) Destroy(ctx context.Context, epoch uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch == 0 {
		return rootcell.ErrEpoch
	}
	keys, err := c.keys(ctx)
	if err != nil {
		return fmt.Errorf("destroying a root key: %w", err)
	}
	f, err := c.read(epoch)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("destroying a root key: %w", err)
	}
	noted := err == nil
	if noted {
		if err := c.sameDevice(ctx, f, epoch); err != nil {
			return fmt.Errorf("destroying a root key: %w", err)
		}
	} else if len(keys) == 0 {
		return fmt.Errorf("destroying a root key: %s has no root key at all: is it the right one?", c.about.Holder)
	}
	for _, name := range keys[epoch] {
		if err := c.device.Delete(ctx, name); err != nil && !errors.Is(err, ErrNoKey) {
			return fmt.Errorf("destroying the key %s: %w", name, err)
		}
	}
	return c.refused(ctx, f, noted, epoch)
}

// refused has the device say that it has none of an epoch's keys, and that it
// doesn't open what it encrypted.
func (c *Cell) refused(ctx context.Context, f file, noted bool, epoch uint64) error {
	keys, err := c.keys(ctx)
	if err != nil {
		return fmt.Errorf("asking for a root key that was destroyed: %w", err)
	}
	if len(keys[epoch]) > 0 {
		return fmt.Errorf("the key %s was to be destroyed, and %s still has it", keys[epoch][0], c.about.Holder)
	}
	if f.box != nil {
		if _, err := c.device.Unwrap(ctx, f.key, f.box); !errors.Is(err, ErrNoKey) {
			return errors.Join(fmt.Errorf("the key %s was to be destroyed, and %s didn't refuse to use it", f.key, c.about.Holder), err)
		}
	}
	if !noted {
		return nil
	}
	if err := durable.Remove(c.file(epoch)); err != nil {
		return fmt.Errorf("the root key is destroyed, but not its file, which nothing opens now: %w", err)
	}
	return nil
}

// Describe says what the device is.
func (c *Cell) Describe() rootcell.Description { return c.about }

// Close lets the device go.
func (c *Cell) Close() error { return c.device.Close() }
