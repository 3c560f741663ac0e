package rootcell

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"consentgate/internal/durable"
)

// Importer is a Cell that can be given a root that was made elsewhere: as a
// replica of another, or out of a backup.
type Importer interface {
	// Put keeps a root; it is durable when Put returns nil. ErrExists: there is
	// another of this epoch, which stays. The same one is fine.
	Put(ctx context.Context, epoch uint64, k Key) error
}

var _ Importer = (*File)(nil)

// Put writes a root's file, unless there is one.
func (f *File) Put(ctx context.Context, epoch uint64, k Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch got, err := f.Get(ctx, epoch); {
	case err == nil && got == k:
		return nil
	case err == nil:
		return fmt.Errorf("keeping a root key in %s: %w", f.name(epoch), ErrExists)
	case !errors.Is(err, ErrGone):
		return err
	}
	text := fmt.Appendf(nil, "%s%d %s\n", fileMagic, epoch, hex.EncodeToString(k[:]))
	if err := durable.WriteFile(f.name(epoch), text, 0o600); err != nil {
		return fmt.Errorf("keeping a root key: %w", err)
	}
	return nil
}
