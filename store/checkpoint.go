package store

import (
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/store/checkpoint"
)

// Checkpoint is a signed statement of the log's size and root hash.
type Checkpoint = checkpoint.Checkpoint

// ParseCheckpoint checks the signature with the log's verifier key and reads
// the checkpoint.
func ParseCheckpoint(signed []byte, vkey string) (Checkpoint, error) {
	return checkpoint.Parse(signed, vkey)
}

// frontier is the right edge of a growing Merkle tree (RFC 6962 section 2.1):
// enough to know the root at any size, in a few hashes of memory.
type frontier struct {
	size  int64
	roots []tlog.Hash // of the complete subtrees, largest first
}

// add appends a leaf and returns the hashes that it completes, lowest first: in
// the order in which tlog stores them.
func (f *frontier) add(leaf []byte) []tlog.Hash {
	h := tlog.RecordHash(leaf)
	done := []tlog.Hash{h}
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		h = tlog.NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
		done = append(done, h)
	}
	f.roots = append(f.roots, h)
	f.size++
	return done
}

func (f *frontier) root() tlog.Hash {
	if len(f.roots) == 0 {
		h, err := tlog.TreeHash(0, nil)
		if err != nil { // the empty tree needs no hashes
			panic("store: internal error: " + err.Error())
		}
		return h
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}
