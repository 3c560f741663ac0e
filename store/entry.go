package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"consentgate/consent"
)

const (
	leafMagic = "consentgate-audit-1" // first word of every leaf
	saltSize  = 32
)

// leaf is what the Merkle tree holds of an entry: nothing personal, and a
// commitment that nobody can guess the payload from without the salt.
type leaf struct {
	Seq        int64
	At         time.Time // to the millisecond
	Type       string
	Commitment [sha256.Size]byte // SHA-256(salt | payload)
	Scope      scope             // of the grant whose erasure takes the payload away; zero: none; of payloads.erased: markBefore
}

// scope marks the leaves of one grant, so that an erasure can be checked when
// the payloads that named the grant are gone.
type scope [16]byte

// marksKept is the mark on a log's first entry: from here on every entry that
// goes with a grant bears its mark. Logs that version 1 began don't have it.
var marksKept = scopeOf(consent.Hash{})

// scopeOf is derived from the grant, so that an erasure that names one can't
// list entries of another.
func scopeOf(grant consent.Hash) scope {
	sum := sha256.Sum256(append([]byte("consentgate/1/audit-scope\x00"), grant[:]...))
	return scope(sum[:])
}

// markBefore is the mark of a payloads.erased: where it stops, in the clear, so
// that what is missing can be checked by leaves alone.
func markBefore(seq int64) (m scope) {
	binary.BigEndian.PutUint64(m[8:], uint64(seq))
	return m
}

// before is where a payloads.erased stops; false where that can't be meant.
func (l leaf) before() (seq int64, ok bool) {
	seq = int64(binary.BigEndian.Uint64(l.Scope[8:]))
	return seq, l.Scope == markBefore(seq) && seq > 0 && seq <= l.Seq
}

// text is the leaf's bytes, as they are hashed.
func (l leaf) text() []byte {
	text := fmt.Appendf(nil, "%s %d %d %s %x", leafMagic, l.Seq, l.At.UnixMilli(), l.Type, l.Commitment)
	if l.Scope != (scope{}) {
		text = fmt.Appendf(text, " %x", l.Scope)
	}
	return append(text, '\n')
}

var errLeaf = errors.New("not an audit leaf")

// parseLeaf reads text strictly: there is one way to write a leaf.
func parseLeaf(text []byte) (leaf, error) {
	if len(text) > 256 {
		return leaf{}, errLeaf
	}
	f := strings.Split(strings.TrimSuffix(string(text), "\n"), " ")
	if len(f) < 5 || len(f) > 6 || f[0] != leafMagic {
		return leaf{}, errLeaf
	}
	seq, err1 := strconv.ParseInt(f[1], 10, 64)
	ms, err2 := strconv.ParseInt(f[2], 10, 64)
	c, err3 := hex.DecodeString(f[4])
	if err1 != nil || err2 != nil || err3 != nil || len(c) != sha256.Size {
		return leaf{}, errLeaf
	}
	l := leaf{Seq: seq, At: time.UnixMilli(ms).UTC(), Type: f[3], Commitment: [sha256.Size]byte(c)}
	if len(f) == 6 {
		mark, err := hex.DecodeString(f[5])
		if err != nil || len(mark) != len(scope{}) {
			return leaf{}, errLeaf
		}
		l.Scope = scope(mark)
	}
	if string(l.text()) != string(text) {
		return leaf{}, errLeaf
	}
	return l, nil
}

// commitTo makes a salt and the commitment to a payload.
func commitTo(payload []byte) (salt []byte, sum [sha256.Size]byte) {
	salt = make([]byte, saltSize)
	rand.Read(salt)
	return salt, digest(salt, payload)
}

func digest(salt, payload []byte) [sha256.Size]byte {
	return sha256.Sum256(append(append(make([]byte, 0, len(salt)+len(payload)), salt...), payload...))
}

// Entry is an audit entry as it is read. Payload is nil where it can't be
// opened: without the root, or erased.
type Entry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Type    string    `json:"type"`
	Leaf    string    `json:"leaf"`
	Salt    []byte    `json:"salt,omitempty"`    // base64 in JSON
	Payload []byte    `json:"payload,omitempty"` // base64 in JSON: the very bytes committed to
}
