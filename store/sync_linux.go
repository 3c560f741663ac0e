package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes a file's data durable, and what of its metadata is needed to
// read it.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// syncfs makes all durable that was written to a file's file system. It fails for
// whatever failed since the last time that this open file was asked, or opened.
func syncfs(f *os.File) error {
	return unix.Syncfs(int(f.Fd()))
}

// spaceOf is what the file system of path has; free is what users other than
// root may use.
func spaceOf(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, err
	}
	return space{free: int64(st.Bavail) * st.Bsize, size: int64(st.Blocks) * st.Bsize,
		freeFiles: int64(st.Ffree), files: int64(st.Files)}, nil
}
