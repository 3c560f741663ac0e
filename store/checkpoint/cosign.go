package checkpoint

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the byte that marks the key of a witness which signs with
// Ed25519 and a time (C2SP tlog-cosignature; ML-DSA-44 is 0x06, and not known here).
const algCosignature = 0x04

var errCosigner = errors.New("a witness's verifier key is NAME+HASH+KEY, of an Ed25519 key that cosigns (type 0x04)")

// Cosigner verifies a witness's cosignatures. It is a note.Verifier.
type Cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewCosigner reads a witness's verifier key.
func NewCosigner(vkey string) (*Cosigner, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(vkey), "+")
	hash, key, _ := strings.Cut(rest, "+")
	id, err1 := strconv.ParseUint(hash, 16, 32)
	raw, err2 := base64.StdEncoding.Strict().DecodeString(key)
	if err1 != nil || len(hash) != 8 || err2 != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algCosignature || name == "" {
		return nil, errCosigner
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	if binary.BigEndian.Uint32(sum[:]) != uint32(id) {
		return nil, fmt.Errorf("%w: its hash isn't that of its key", errCosigner)
	}
	return &Cosigner{name: name, hash: uint32(id), key: raw[1:]}, nil
}

func (c *Cosigner) Name() string    { return c.name }
func (c *Cosigner) KeyHash() uint32 { return c.hash }

// Verify is note.Verifier's: sig is the time, eight bytes, and the signature.
func (c *Cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if at > 1<<63-1 {
		return false
	}
	signed := append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
	return ed25519.Verify(c.key, signed, sig[8:])
}

// Find looks for this witness's signature on a checkpoint and returns the time
// at which the witness says that it saw nothing longer.
func (c *Cosigner) Find(signed []byte) (at time.Time, ok bool) {
	n, err := note.Open(signed, note.VerifierList(c))
	if err != nil || len(n.Sigs) == 0 {
		return time.Time{}, false
	}
	raw, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(raw) < 12 {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC(), true
}

// WithSignatures puts a witness's answer under a checkpoint: those of its lines
// that are this witness's signatures. It is an error if none is.
func (c *Cosigner) WithSignatures(signed, lines []byte) ([]byte, error) {
	out := signed
	for line := range strings.Lines(string(lines)) {
		if _, ok := c.Find(append(signed[:len(signed):len(signed)], line...)); ok && strings.HasPrefix(line, "— "+c.name+" ") {
			out = append(out[:len(out):len(out)], line...)
		}
	}
	if len(out) == len(signed) {
		return nil, fmt.Errorf("there is no cosignature of %s in the witness's answer", c.name)
	}
	return out, nil
}
