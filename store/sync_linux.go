package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes a file's data durable, and what of its metadata is needed to
// read it.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// freeBytes is what is left on the file system of path.
func freeBytes(path string) (float64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return float64(st.Bavail) * float64(st.Bsize), nil
}
