// Package backup seals a root key into a file that is kept in a safe: an age file
// (https://age-encryption.org/v1), under a passphrase or for somebody's key. It
// opens with the age program, too: what is in it is a line of text.
package backup

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"consentgate/store/rootcell"
)

// maxSize bounds a backup, in bytes.
const maxSize = 64 << 10

const magic = "consentgate root backup "

// Write writes a root's backup, in letters that can be printed.
func Write(w io.Writer, epoch uint64, k rootcell.Key, to ...age.Recipient) error {
	letters := armor.NewWriter(w)
	sealed, err := age.Encrypt(letters, to...)
	if err == nil {
		_, err = fmt.Fprintf(sealed, "%s%d %s\n", magic, epoch, hex.EncodeToString(k[:]))
	}
	if err == nil {
		err = errors.Join(sealed.Close(), letters.Close())
	}
	if err != nil {
		return fmt.Errorf("sealing the root key: %w", err)
	}
	return nil
}

// Read opens a backup.
func Read(r io.Reader, with ...age.Identity) (epoch uint64, k rootcell.Key, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize))
	if err != nil {
		return 0, k, err
	}
	var in io.Reader = bytes.NewReader(text)
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte(armor.Header)) {
		in = armor.NewReader(in)
	}
	opened, err := age.Decrypt(in, with...)
	if err != nil {
		return 0, k, fmt.Errorf("opening the backup: %w", err)
	}
	line, err := io.ReadAll(io.LimitReader(opened, maxSize))
	if err != nil {
		return 0, k, fmt.Errorf("opening the backup: %w", err)
	}
	var digits string
	rest, found := strings.CutPrefix(string(line), magic)
	_, scanErr := fmt.Sscanf(rest, "%d %64s\n", &epoch, &digits)
	b, hexErr := hex.DecodeString(digits)
	if !found || scanErr != nil || hexErr != nil || len(b) != len(k) || epoch == 0 {
		return 0, k, errors.New("the file opens, but holds no root key")
	}
	return epoch, rootcell.Key(b), nil
}

// Cell is a cell that has what a backup holds, and nothing else: a drill opens a
// data directory with it.
func Cell(epoch uint64, k rootcell.Key) rootcell.Cell { return held{epoch, k} }

type held struct {
	epoch uint64
	key   rootcell.Key
}

var errHeld = errors.New("a backup can't be changed")

func (h held) Epochs(ctx context.Context) ([]uint64, error) { return []uint64{h.epoch}, ctx.Err() }

func (h held) Make(context.Context, uint64) (rootcell.Key, error) { return rootcell.Key{}, errHeld }

func (h held) Get(ctx context.Context, epoch uint64) (rootcell.Key, error) {
	switch {
	case ctx.Err() != nil:
		return rootcell.Key{}, ctx.Err()
	case epoch != h.epoch:
		return rootcell.Key{}, rootcell.ErrGone
	}
	return h.key, nil
}

func (h held) Destroy(context.Context, uint64) error { return errHeld }

func (h held) Describe() rootcell.Description {
	return rootcell.Description{Driver: "backup", Holder: "as read"}
}

func (h held) Close() error { return nil }
