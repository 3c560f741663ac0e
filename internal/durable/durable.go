// Package durable writes files so that they are there after a power cut: data
// synced before the name, the name before the caller goes on.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile writes a new file or replaces one, all or nothing: temporary file,
// fsync, rename, fsync of the directory.
func WriteFile(path string, data []byte, perm os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", path, err), ignoreMissing(os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return Rename(f.Name(), path)
}

// Temporary reports whether a file's name is one that WriteFile gives to what it
// is writing: a point, the file's name, a point and a number.
func Temporary(path string) bool {
	name := filepath.Base(path)
	i := strings.LastIndexByte(name, '.')
	return i > 1 && name[0] == '.' && i+1 < len(name) && strings.Trim(name[i+1:], "0123456789") == ""
}

// Leftovers are the files that a crash of WriteFile left beside a path, of the path
// itself and of those that are called as it with a point and a number behind.
func Leftovers(path string) (left []string, err error) {
	files, err := os.ReadDir(filepath.Dir(path))
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Name(), "."+filepath.Base(path)+".")
		if ok && f.Type().IsRegular() && strings.Trim(rest, "0123456789.") == "" && Temporary(f.Name()) {
			left = append(left, filepath.Join(filepath.Dir(path), f.Name()))
		}
	}
	return left, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Rename gives a synced file its name and syncs the directory.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Remove takes a name away and syncs the directory. A missing file is fine.
func Remove(path string) error {
	if err := ignoreMissing(os.Remove(path)); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
