// Package tpmcell keeps root keys in a TPM 2.0: each in an NV index of its own,
// behind a password. An index holds epoch and root; to destroy a root is to
// overwrite its index and undefine it.
package tpmcell

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"consentgate/store/rootcell"
)

// Config says which TPM, and where in it.
type Config struct {
	Device            string // /dev/tpmrm0, or the socket of a TPM in software
	Index             uint32 // the first of Slots NV indices: FirstIndex to LastIndex
	PasswordFile      string // the file with the indices' password: 16 to 32 bytes
	OwnerPasswordFile string // that of the owner hierarchy; "": it has none
}

// Slots is how many NV indices there may be: a rotation needs two.
const Slots = 4

// FirstIndex and LastIndex bound Config.Index: what the TCG's registry of
// handles leaves to a TPM's owner.
const (
	FirstIndex = 0x01800000
	LastIndex  = 0x01C00000 - Slots
)

// Passwords are as long, in bytes: a TPM takes no more than 32, and counts no
// wrong tries of these, so that a gate with a wrong file can't lock the TPM for
// all else that uses it.
const minPassword, maxPassword = 16, 32

// Cell is a root cell in a TPM.
type Cell struct {
	c  Config
	mu sync.Mutex // one at a time: a TPM does one thing at a time
}

var (
	_ rootcell.Cell     = (*Cell)(nil)
	_ rootcell.Importer = (*Cell)(nil)
)

// Open gives the cell. It doesn't ask the TPM.
func Open(c Config) (*Cell, error) {
	if c.Index < FirstIndex || c.Index > LastIndex {
		return nil, fmt.Errorf("the NV index %#x isn't an owner's: allowed are %#x to %#x", c.Index, FirstIndex, LastIndex)
	}
	return &Cell{c: c}, nil
}

// Content of an NV index: magic, epoch in big-endian order, root.
const (
	magic    = "CGROOT01"
	slotSize = len(magic) + 8 + len(rootcell.Key{})
)

// slot is one of the cell's NV indices.
type slot struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName // "" where the index isn't defined
	ours   bool           // defined as we define it; another's is left alone
	epoch  uint64         // 0: it holds no root
	root   rootcell.Key
}

func (s slot) defined() bool { return len(s.name.Buffer) > 0 }

// attributes are those of our indices. AuthRead and AuthWrite: by the index's
// password only, not by the owner's, which is often empty.
var attributes = tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true, NT: tpm2.TPMNTOrdinary}

// run has the TPM for one piece of work.
func (c *Cell) run(ctx context.Context, act string, f func(*session) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.open(ctx)
	if err == nil {
		err = errors.Join(f(s), s.close())
	}
	if ended := ctx.Err(); ended != nil && err != nil {
		err = errors.Join(ended, err)
	}
	if err != nil {
		return fmt.Errorf("%s in the TPM %s: %w", act, c.c.Device, err)
	}
	return nil
}

// Epochs lists the roots.
func (c *Cell) Epochs(ctx context.Context) (out []uint64, err error) {
	out = []uint64{}
	err = c.run(ctx, "looking for root keys", func(s *session) error {
		slots, err := s.slots()
		for _, sl := range slots {
			if sl.epoch != 0 {
				out = append(out, sl.epoch)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(out)
	return out, nil
}

// Get reads a root.
func (c *Cell) Get(ctx context.Context, epoch uint64) (k rootcell.Key, err error) {
	if epoch == 0 {
		return k, rootcell.ErrEpoch
	}
	err = c.run(ctx, "reading a root key", func(s *session) error {
		found, _, err := s.find(epoch)
		if err == nil {
			k = found.root
		}
		return err
	})
	return k, err
}

// Make writes a random root into a free index. The TPM's own randomness isn't
// asked for: what makes the keys of recordings makes their root.
func (c *Cell) Make(ctx context.Context, epoch uint64) (k rootcell.Key, err error) {
	if epoch == 0 {
		return k, rootcell.ErrEpoch
	}
	rand.Read(k[:]) // never fails
	if err := c.run(ctx, "making a root key", func(s *session) error { return s.put(epoch, k, false) }); err != nil {
		return rootcell.Key{}, err
	}
	return k, nil
}

// Put keeps a root that was made elsewhere.
func (c *Cell) Put(ctx context.Context, epoch uint64, k rootcell.Key) error {
	if epoch == 0 {
		return rootcell.ErrEpoch
	}
	return c.run(ctx, "keeping a root key", func(s *session) error { return s.put(epoch, k, true) })
}

// Destroy overwrites a root's index, undefines it, and has the TPM refuse it.
func (c *Cell) Destroy(ctx context.Context, epoch uint64) error {
	if epoch == 0 {
		return rootcell.ErrEpoch
	}
	return c.run(ctx, "destroying a root key", func(s *session) error {
		found, slots, err := s.find(epoch)
		if errors.Is(err, rootcell.ErrGone) {
			if !slices.ContainsFunc(slots, func(sl slot) bool { return sl.epoch != 0 }) {
				return errors.New("it has no root key at all: is it the right TPM, and the right index?")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.undefine(found); err != nil {
			return err
		}
		if again, err := s.slot(found.handle); err != nil {
			return err
		} else if again.defined() {
			return fmt.Errorf("the NV index %#x was undefined, and is still there", uint32(found.handle))
		}
		if _, _, err := s.find(epoch); !errors.Is(err, rootcell.ErrGone) {
			return errors.Join(errors.New("a root key that was destroyed is still given"), err)
		}
		return nil
	})
}

// Describe says what a TPM is good for.
func (c *Cell) Describe() rootcell.Description {
	return rootcell.Description{Driver: "tpm", Holder: fmt.Sprintf("TPM %s, NV index %#x to %#x", c.c.Device, c.c.Index, c.c.Index+Slots-1),
		Resists: "who has every disk and backup of the machine, its passwords too: the root key was only in the TPM, which " +
			"has overwritten and forgotten it",
		Doesnt: "who opens the TPM's chip and reads memory cells that it no longer shows; a TPM in software or of a virtual " +
			"machine, whose memory is a file of the host"}
}

// Close has nothing to let go: the TPM is opened for each piece of work.
func (c *Cell) Close() error { return nil }

// readPassword reads a file's first line.
func readPassword(path string, shortest int) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	p := strings.TrimRight(string(text), "\r\n")
	if len(p) < shortest || len(p) > maxPassword {
		return nil, fmt.Errorf("the password in %s has %d bytes; %d to %d are allowed", path, len(p), shortest, maxPassword)
	}
	return []byte(p), nil
}

// encode is an index's content.
func encode(epoch uint64, k rootcell.Key) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(magic), epoch), k[:]...)
}

// decode is its inverse; epoch is 0 where it holds no root.
func decode(b []byte) (epoch uint64, k rootcell.Key) {
	if len(b) != slotSize || string(b[:len(magic)]) != magic {
		return 0, k
	}
	return binary.BigEndian.Uint64(b[len(magic):]), rootcell.Key(b[len(magic)+8:])
}
