package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a signed statement of the log's size and root hash (C2SP
// tlog-checkpoint: origin, size, root, a blank line, signatures).
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

func checkpointText(origin string, size int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)
}

var errCheckpoint = errors.New("not a checkpoint")

// ParseCheckpoint checks the signature with the log's verifier key and reads
// the checkpoint.
func ParseCheckpoint(signed []byte, vkey string) (Checkpoint, error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the log's verifier key: %w", err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint's signature: %w", err)
	}
	strict := base64.StdEncoding.Strict() // one way to write it: no byte can be changed unnoticed
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := strict.DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("the checkpoint's signature: %w", err)
		}
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, errCheckpoint
	}
	raw, err := strict.DecodeString(lines[2])
	if err != nil || len(raw) != tlog.HashSize {
		return Checkpoint{}, errCheckpoint
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(raw)}, nil
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
