package rootcell

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"consentgate/internal/durable"
)

// File is a cell of plain files: the root of epoch 1 lies at a path, that of
// epoch N at the path with ".N" behind it. Each is one line of text. A file for
// each, because a file that is written anew leaves its old content on the disk;
// one that is overwritten in its place does so on fewer.
type File struct {
	path string
	mu   sync.Mutex // one Make or Destroy at a time
}

var (
	_ Cell    = (*File)(nil)
	_ Sweeper = (*File)(nil)
)

// fileMagic begins the line; the epoch and 64 hexadecimal digits follow.
const fileMagic = "consentgate root "

// NewFile gives the cell whose first root lies at path. It doesn't touch the disk.
// The path belongs on another disk than the data directory, and in no backup
// that holds the data directory, too.
func NewFile(path string) *File { return &File{path: path} }

func (f *File) name(epoch uint64) string {
	if epoch == 1 {
		return f.path
	}
	return f.path + "." + strconv.FormatUint(epoch, 10)
}

// Epochs lists the files that there are; whether they are readable, Get tells.
func (f *File) Epochs(ctx context.Context) ([]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return nil, fmt.Errorf("looking for root keys: %w", err)
	}
	base := filepath.Base(f.path)
	var out []uint64
	for _, file := range files {
		if file.Name() == base {
			out = append(out, 1)
		} else if n, ok := strings.CutPrefix(file.Name(), base+"."); ok {
			if epoch, err := strconv.ParseUint(n, 10, 64); err == nil && epoch > 1 && f.name(epoch) == f.path+"."+n {
				out = append(out, epoch)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// Make writes a file: its content is on the disk before its name.
func (f *File) Make(ctx context.Context, epoch uint64) (k Key, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch _, err := f.Get(ctx, epoch); {
	case err == nil:
		return k, fmt.Errorf("making the root key %s: %w", f.name(epoch), ErrExists)
	case !errors.Is(err, ErrGone): // one that can't be read is one, too
		return k, err
	}
	rand.Read(k[:]) // never fails: the program ends if the system has no randomness
	text := fmt.Appendf(nil, "%s%d %s\n", fileMagic, epoch, hex.EncodeToString(k[:]))
	if err := durable.WriteFile(f.name(epoch), text, 0o600); err != nil {
		return Key{}, fmt.Errorf("making the root key: %w", err)
	}
	return k, nil
}

// Get reads a file.
func (f *File) Get(ctx context.Context, epoch uint64) (k Key, err error) {
	if err := ctx.Err(); err != nil {
		return k, err
	}
	if epoch == 0 {
		return k, ErrEpoch
	}
	path := f.name(epoch)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil { // not mounted, for one
			return k, fmt.Errorf("reading the root key: %w", err)
		}
		return k, fmt.Errorf("%s: %w", path, ErrGone)
	}
	if err != nil {
		return k, fmt.Errorf("reading the root key: %w", err)
	}
	prefix := fmt.Sprintf("%s%d ", fileMagic, epoch)
	raw, found := strings.CutPrefix(strings.TrimSpace(string(text)), prefix)
	b, err := hex.DecodeString(strings.TrimSpace(raw))
	if !found || err != nil || len(b) != len(k) {
		return k, fmt.Errorf("the root key %s isn't one: it must be a line %q and 64 hexadecimal digits", path, prefix)
	}
	return Key(b), nil
}

// Sweep overwrites and removes files that a crash left half written: they may hold
// a root, or a copy of one that was put here.
func (f *File) Sweep(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.sweep()
}

func (f *File) sweep() error {
	left, err := durable.Leftovers(f.path)
	for _, path := range left {
		err = errors.Join(err, overwrite(path), durable.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("removing what a crash left beside the root key %s: %w", f.path, err)
	}
	return nil
}

// Destroy overwrites a file in its place, takes its name away and looks whether
// it is gone.
func (f *File) Destroy(ctx context.Context, epoch uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if epoch == 0 {
		return ErrEpoch
	}
	if err := f.sweep(); err != nil {
		return err
	}
	path := f.name(epoch)
	switch err := overwrite(path); {
	case errors.Is(err, os.ErrNotExist):
		// Destroyed before, or the disk isn't mounted: its place would be empty.
		if left, err := f.Epochs(ctx); err != nil || len(left) == 0 {
			return errors.Join(fmt.Errorf("destroying the root key %s: it isn't there, and no other is: "+
				"is its disk mounted?", path), err)
		}
	case err != nil:
		return fmt.Errorf("destroying the root key: %w", err)
	}
	if err := durable.Remove(path); err != nil {
		return fmt.Errorf("destroying the root key: %w", err)
	}
	if _, err := f.Get(ctx, epoch); !errors.Is(err, ErrGone) {
		return errors.Join(fmt.Errorf("the root key %s was to be destroyed and is still given", path), err)
	}
	return nil
}

func overwrite(path string) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return err
	}
	return file.Sync()
}

// Describe says what a file is good for, and what not.
func (f *File) Describe() Description {
	path, err := filepath.Abs(f.path)
	if err != nil { // the working directory is gone
		path = f.path
	}
	return Description{Driver: "file", Holder: path,
		Resists: "who copies the live file system, or takes the data directory or a backup of it without this file",
		Doesnt: "disk forensics: a journal, a copy-on-write file system, a snapshot, an SSD's spare blocks or a backup " +
			"of this file may still hold a root key that was overwritten and removed"}
}

// Close has nothing to let go.
func (f *File) Close() error { return nil }
