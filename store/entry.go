package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Types of audit entries.
const (
	TypeConsent  = "consent"             // a consent.Record
	TypeStarted  = "recording.started"   // a recorder was made for a grant
	TypeAnchor   = "recording.anchor"    // how far the running recordings have come
	TypeSealed   = "recording.sealed"    // a recording is complete, or as complete as it gets
	TypeFailed   = "recording.failed"    // a grant that led to no recording
	TypeErased   = "recording.erased"    // a recording's key and file are gone
	TypeDiskLow  = "disk.low"            // the disk has less room than it should
	TypeDiskOK   = "disk.ok"             // it has enough again
	TypeNodeUp   = "node.start"          // the gate started
	TypeNodeDown = "node.stop"           // the gate stopped in order
	leafMagic    = "consentgate-audit-1" // first word of every leaf
	saltSize     = 32
)

// leaf is what the Merkle tree holds of an entry: nothing personal, and a
// commitment that nobody can guess the payload from without the salt.
type leaf struct {
	Seq        int64
	At         time.Time // to the millisecond
	Type       string
	Commitment [sha256.Size]byte // SHA-256(salt | payload)
}

// text is the leaf's bytes, as they are hashed.
func (l leaf) text() []byte {
	return fmt.Appendf(nil, "%s %d %d %s %x\n", leafMagic, l.Seq, l.At.UnixMilli(), l.Type, l.Commitment)
}

var errLeaf = errors.New("not an audit leaf")

// parseLeaf reads text strictly: there is one way to write a leaf.
func parseLeaf(text []byte) (leaf, error) {
	if len(text) > 256 {
		return leaf{}, errLeaf
	}
	f := strings.Split(strings.TrimSuffix(string(text), "\n"), " ")
	if len(f) != 5 || f[0] != leafMagic {
		return leaf{}, errLeaf
	}
	seq, err1 := strconv.ParseInt(f[1], 10, 64)
	ms, err2 := strconv.ParseInt(f[2], 10, 64)
	c, err3 := hex.DecodeString(f[4])
	if err1 != nil || err2 != nil || err3 != nil || len(c) != sha256.Size {
		return leaf{}, errLeaf
	}
	l := leaf{Seq: seq, At: time.UnixMilli(ms).UTC(), Type: f[3], Commitment: [sha256.Size]byte(c)}
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

// recordingEvent is the payload of the recording.* entries but the anchor.
type recordingEvent struct {
	Recording string  `json:"recording,omitempty"`
	Grant     string  `json:"grant"`
	Call      string  `json:"call,omitempty"`
	Frames    uint64  `json:"frames,omitempty"`
	Bytes     int64   `json:"bytes,omitempty"`
	Hash      string  `json:"hash,omitempty"` // running SHA-256 over the frames
	Seconds   float64 `json:"seconds,omitempty"`
	Reason    string  `json:"reason,omitempty"`
	Truncated bool    `json:"truncated,omitempty"`
	Payloads  []int64 `json:"payloads,omitempty"` // of recording.erased: the entries whose payloads went with it
}

// nodeEvent is the payload of node.start and node.stop.
type nodeEvent struct {
	Node string `json:"node"`
}

// anchorEvent is the payload of recording.anchor.
type anchorEvent struct {
	Running []anchored `json:"running"`
}

type anchored struct {
	Recording string `json:"recording"`
	Frames    uint64 `json:"frames"`
	Hash      string `json:"hash"`
}
