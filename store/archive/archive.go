// Package archive says what a second place for sealed recordings must be able to
// do, and how its objects are named. Package store decides what goes there and
// what is deleted; the drivers are beside this package.
package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"time"
)

// MostBytes is the largest object: what S3 takes in one request. Objects are never
// put in parts, so none is ever left half put.
const MostBytes = 5 << 30

var (
	// ErrNotFound means that there is no such object: none, or a delete marker.
	ErrNotFound = errors.New("there is no such object")
	// ErrAway means that the place can't be asked now, whatever for: what else is to
	// be done there needn't be tried before a while.
	ErrAway = errors.New("the object store can't be reached, or not work")
)

// Version is one version of an object.
type Version struct {
	Object string // its name, without what the place puts before all names
	ID     string
	Marker bool // it says that the object was deleted, and holds nothing
	Latest bool
	Bytes  int64
	At     time.Time // when it was made, by the place's clock
}

// Place is where objects are. What it does may take as long as ctx lets it; an
// error says nothing of whether it was done. Its methods are safe for concurrent
// use. None of them tries twice.
type Place interface {
	// Name is the place's in logs and certificates, for instance
	// https://s3.example.com/bucket/prefix/. It holds no secret.
	Name() string
	// Put makes the object's newest version, of so many bytes with that SHA-256.
	Put(ctx context.Context, object string, body io.ReadSeeker, bytes int64, sum [sha256.Size]byte) error
	// Get reads the newest version; to be closed. ErrNotFound.
	Get(ctx context.Context, object string) (io.ReadCloser, error)
	// List calls f with every version of every object whose name begins so, some at
	// a time, in the order of their names, and ends with f's error.
	List(ctx context.Context, begins string, f func([]Version) error) error
	// Delete deletes a version for good, or a marker. One that isn't there is none
	// less.
	Delete(ctx context.Context, v Version) error
}

// ending is that of a sealed recording's object.
const ending = ".rec"

// ObjectOf names a recording's object.
func ObjectOf(recording string) string { return recording + ending }

// RecordingOf is the inverse, as far as the name's form goes.
func RecordingOf(object string) (recording string, ok bool) { return strings.CutSuffix(object, ending) }
