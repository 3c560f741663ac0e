// Package faultdisk makes small file systems of the kernel's own, for tests that
// want a disk's faults and no imitation of them: ext4 in a loop device, whose
// image is a sparse file in a tmpfs. It needs the right to mount.
package faultdisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is a mounted file system. Dir is its root.
type Disk struct {
	Dir     string
	backing string // the tmpfs with the image
	device  string // loopN
	frozen  bool
}

const (
	room      = "room"              // in the tmpfs: what Starve takes away
	ballast   = "ballast"           // in the file system: what Fill takes away
	imageSize = 48 << 20            // of the file system
	extra     = 8 << 20             // what the tmpfs has beside
	shutdown  = 0x8004587d          // FS_IOC_SHUTDOWN, linux/fs.h
	noFlush   = uint32(2)           // EXT4_GOING_FLAGS_NOLOGFLUSH: what isn't synced is lost
	remountRO = "remount-ro"        // errors=
	iFreeze   = uintptr(0xc0045877) // FIFREEZE
	iThaw     = uintptr(0xc0045878) // FITHAW
)

// New makes a file system under an empty directory.
func New(under string) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(under, "disk"), backing: filepath.Join(under, "backing")}
	if err := errors.Join(os.Mkdir(d.Dir, 0o700), os.Mkdir(d.backing, 0o700)); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", d.backing, "tmpfs", 0, fmt.Sprintf("size=%d", imageSize+extra)); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs: %w", err)
	}
	err := os.WriteFile(d.image(), nil, 0o600)
	if err == nil {
		err = os.Truncate(d.image(), imageSize)
	}
	if err == nil {
		err = run("mkfs.ext4", "-q", "-F", "-b", "4096", d.image())
	}
	if err == nil {
		err = d.mount()
	}
	if err != nil {
		return nil, errors.Join(err, unix.Unmount(d.backing, unix.MNT_DETACH))
	}
	return d, nil
}

func (d *Disk) image() string { return filepath.Join(d.backing, "image") }

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (d *Disk) mount() error {
	if err := run("mount", "-o", "loop,errors="+remountRO, d.image(), d.Dir); err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 4 && f[4] == d.Dir {
			i := slices.Index(f, "-") // and then: type, source
			d.device = filepath.Base(f[i+2])
			return nil
		}
	}
	return fmt.Errorf("%s isn't among the mounts", d.Dir)
}

// Fill leaves no byte free; Free gives them back.
func (d *Disk) Fill() error { return fill(filepath.Join(d.Dir, ballast)) }

// Free undoes Fill.
func (d *Disk) Free() error { return os.Remove(filepath.Join(d.Dir, ballast)) }

// Starve lets writes pass and syncs fail, as a thin-provisioned volume does
// whose pool is used up: what was written is lost.
func (d *Disk) Starve() error { return fill(filepath.Join(d.backing, room)) }

// Feed undoes Starve. What was lost stays lost, and as ext4 makes itself
// read-only where its journal was, nobody may have a file open there.
func (d *Disk) Feed() error {
	return errors.Join(os.Remove(filepath.Join(d.backing, room)), d.Remount())
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, n := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// Kill ends the file system at once: everything fails with EIO, and what wasn't
// synced is gone, as after a power cut. Remount brings the rest back.
func (d *Disk) Kill() error {
	return d.ioctl("shutdown", func(fd int) error { return unix.IoctlSetPointerInt(fd, shutdown, int(noFlush)) })
}

// ReadOnly has the kernel find an error, at which it makes the file system
// read-only. Remount undoes it.
func (d *Disk) ReadOnly() error {
	return os.WriteFile(filepath.Join("/sys/fs/ext4", d.device, "trigger_fs_error"), []byte("a test\n"), 0)
}

// Freeze has whoever writes wait until Thaw.
func (d *Disk) Freeze() error {
	d.frozen = true
	return d.ioctl("freeze", func(fd int) error { return unix.IoctlSetInt(fd, uint(iFreeze), 0) })
}

// Thaw undoes Freeze.
func (d *Disk) Thaw() error {
	d.frozen = false
	return d.ioctl("thaw", func(fd int) error { return unix.IoctlSetInt(fd, uint(iThaw), 0) })
}

func (d *Disk) ioctl(what string, do func(fd int) error) error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	if err := do(int(f.Fd())); err != nil {
		err = fmt.Errorf("%s of %s: %w", what, d.Dir, err)
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// Remount takes the file system out and in again, as a reboot does. Nobody may
// have a file open there.
func (d *Disk) Remount() error {
	if err := unix.Unmount(d.Dir, 0); err != nil {
		return fmt.Errorf("unmounting %s: %w", d.Dir, err)
	}
	return d.mount()
}

// Close gives everything back, whatever state it is in.
func (d *Disk) Close() error {
	var err error
	if d.frozen {
		err = d.Thaw()
	}
	return errors.Join(err, unix.Unmount(d.Dir, unix.MNT_DETACH), unix.Unmount(d.backing, unix.MNT_DETACH))
}
