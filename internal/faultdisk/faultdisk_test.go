package faultdisk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// write writes a file and syncs it; it returns which of the two failed, and how.
func write(path string) (written, synced error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err, nil
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<16)); err != nil {
		return err, nil
	}
	return nil, f.Sync()
}

// TestFaultsAreWhatTheySay: each fault fails as a real disk does, and what heals
// it heals it.
func TestFaultsAreWhatTheySay(t *testing.T) {
	for name, c := range map[string]struct {
		hurt, heal      func(*Disk) error
		written, synced error
	}{
		"full":      {(*Disk).Fill, (*Disk).Free, syscall.ENOSPC, nil},
		"starved":   {(*Disk).Starve, (*Disk).Feed, nil, syscall.ENOSPC},
		"killed":    {(*Disk).Kill, (*Disk).Remount, syscall.EIO, nil},
		"read-only": {(*Disk).ReadOnly, (*Disk).Remount, syscall.EROFS, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			if err := c.hurt(d); err != nil {
				t.Fatal(err)
			}
			if written, synced := write(filepath.Join(d.Dir, "hurt")); !errors.Is(written, c.written) || !errors.Is(synced, c.synced) {
				t.Errorf("hurt: %v, %v", written, synced)
			}
			if err := c.heal(d); err != nil {
				t.Fatal(err)
			}
			if written, synced := write(filepath.Join(d.Dir, "healed")); written != nil || synced != nil {
				t.Errorf("healed: %v, %v", written, synced)
			}
		})
	}
}

// TestAFrozenDiskKeepsWritersWaiting until it thaws.
func TestAFrozenDiskKeepsWritersWaiting(t *testing.T) {
	d := open(t)
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		written, synced := write(filepath.Join(d.Dir, "file"))
		done <- errors.Join(written, synced)
	}()
	select {
	case err := <-done:
		t.Errorf("the writer didn't wait: %v", err)
	case <-time.After(50 * time.Millisecond): // can't prove more than that it still waits
		if err := d.Thaw(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("thawed: %v", err)
		}
	}
}

func open(t *testing.T) *Disk {
	t.Helper()
	d, err := New(t.TempDir())
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: a disk's real faults need the right to mount and loop devices (%v)", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
