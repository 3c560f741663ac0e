package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/internal/faultdisk"
	"consentgate/store"
)

// TestADiskThatFailsDuringACompactionLosesNothing: whatever it does, and wherever.
// Afterwards the one database or the other is there, with all that was kept.
func TestADiskThatFailsDuringACompactionLosesNothing(t *testing.T) {
	t.Parallel()
	type fault struct {
		name, at   string
		hurt, heal func(*faultdisk.Disk) error
		refused    bool // and nothing took anything's place
	}
	faults := []fault{
		{"full", "room", (*faultdisk.Disk).Fill, (*faultdisk.Disk).Free, true},
		{"a failed sync", "compact.keys.db.copied", (*faultdisk.Disk).Starve, (*faultdisk.Disk).Feed, true},
		{"read-only", "compact.keys.db.filled", (*faultdisk.Disk).ReadOnly, (*faultdisk.Disk).Remount, true},
	}
	for _, point := range compactPoints() {
		if !strings.Contains(point, "+") {
			faults = append(faults, fault{"a power cut", point, (*faultdisk.Disk).Kill, (*faultdisk.Disk).Remount, false})
		}
	}
	for _, f := range faults {
		parts := []string{"everything"}
		if f.refused || f.at == "compact.keys.db.renamed" {
			parts = append(parts, "keys.db")
		}
		for _, part := range parts {
			t.Run(f.name+"/"+f.at+"/"+part, func(t *testing.T) {
				t.Parallel()
				dir, d := faulty(t, part)
				root := filepath.Join(t.TempDir(), "root")
				open := func() *store.Store {
					s, err := store.Open(store.Options{Dir: dir, RootFile: root, Node: "test"})
					must(t, err)
					return s
				}
				s := open()
				id := record(t, s, "c", 20)
				must(t, s.Close())
				o := store.WithDisk(store.Options{Dir: dir, RootFile: root, Node: "test"}, func(string) (store.Space, error) {
					if f.at == "room" {
						must(t, f.hurt(d))
					}
					return store.SpaceOf(1<<40, 1<<41, 0, 0), nil // a lie
				}, time.Hour, time.Hour)
				o.ReachedBy(func(point string) {
					if point == f.at {
						must(t, f.hurt(d))
					}
				})
				done, err := store.Compact(context.Background(), o)
				if f.refused && (err == nil || len(done) > 0 || !strings.Contains(err.Error(), "it is as it was")) {
					t.Errorf("%+v, %v", done, err)
				}
				must(t, f.heal(d))
				s = open()
				kept(t, s, id, 40, store.StateSealed)
				if n := s.Unaccounted(); n != 0 {
					t.Errorf("%d grants unaccounted", n)
				}
				record(t, s, "after", 3)
				must(t, s.Close())
				for _, at := range []string{dir, d.Dir} {
					nothingLeft(t, at)
				}
				if rep, err := store.Verify(dir, root, nil); err != nil || !rep.OK() || rep.Unaccounted != 0 {
					t.Errorf("%+v, %v", rep, err)
				}
				if info, err := os.Lstat(filepath.Join(dir, "keys.db")); err != nil || (info.Mode()&os.ModeSymlink != 0) != (part == "keys.db") {
					t.Errorf("keys.db is %v now: %v", info.Mode(), err)
				}
			})
		}
	}
}

// TestABrokenPageIsAnErrorOfStartAndCompaction, and not the end of the program: of
// each page of a database in turn. What is compacted all the same is whole, and the
// rest stays as it is.
func TestABrokenPageIsAnErrorOfStartAndCompaction(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "data")
	s := openStore(t, whole)
	id := record(t, s, "c", 3)
	must(t, s.Close())
	const page = 4096
	for _, name := range databases {
		t.Run(name, func(t *testing.T) {
			refused := 0
			for at := int64(2 * page); at < sizeOf(t, filepath.Join(whole, name)); at += page {
				dir := copyOf(t, whole)
				path := filepath.Join(dir, name)
				broken, err := os.ReadFile(path)
				must(t, err)
				if binary.NativeEndian.Uint64(broken[at:]) == 0 { // never used
					continue
				}
				binary.NativeEndian.PutUint16(broken[at+8:], 0xffff) // its kind
				must(t, os.WriteFile(path, broken, 0o600))
				_, err = compact(dir)
				if err == nil {
					s := openStore(t, dir)
					kept(t, s, id, 6, store.StateSealed)
					must(t, s.Close())
					verify(t, dir)
					continue
				}
				refused++
				is, readErr := os.ReadFile(path)
				must(t, readErr)
				if !bytes.Equal(broken, is) || !strings.Contains(err.Error(), name) {
					t.Errorf("page %d: changed: %v; %v", at/page, !bytes.Equal(broken, is), err)
				}
				nothingLeft(t, dir)
				if s, err := store.Open(store.Options{Dir: dir}); err == nil { // what it doesn't touch it can't find
					if err := s.Close(); err != nil && !errors.Is(err, store.ErrDiskFailed) {
						t.Errorf("page %d: closing: %v", at/page, err)
					}
				}
			}
			if refused < 2 {
				t.Errorf("only %d pages are any that matter", refused)
			}
		})
	}
}
