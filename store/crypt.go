package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// key is an AES-256 key.
type key [32]byte

func newKey() (k key) {
	rand.Read(k[:]) // never fails: the program ends if the system has no randomness
	return k
}

// What is sealed says what it is, so that a box of one kind can't be passed off
// as one of another. The version goes up with the format.
const (
	asBucketKey    = "consentgate/1/bucket-key"
	asRecordingKey = "consentgate/1/recording-key"
	asSystemKey    = "consentgate/1/system-key"
	asEntry        = "consentgate/1/audit-entry"
	asSummary      = "consentgate/1/summary"
	asBinding      = "consentgate/1/binding"
	asGrantKey     = "consentgate/2/grant-key"
	asRights       = "consentgate/2/rights"
	asRequest      = "consentgate/2/request"
	asFileKey      = "consentgate/2/file-key"
)

// All that is kept of a grant is under keys derived from the grant's own, by
// these labels: when that one is gone so is everything.
const (
	forLiveFile   = "consentgate/2/live-file"
	forSealedFile = "consentgate/2/sealed-file" // wraps age's file key
	forSummary    = "consentgate/2/summary"
	forAudit      = "consentgate/2/audit-entry"
	forRights     = "consentgate/2/rights"
	forOldKey     = "consentgate/2/version-1-key" // wraps the file key of a recording that version 1 made
)

// derive makes the key for one use (HKDF-SHA-256, RFC 5869). A salt makes it the
// key of one file; nil where there is one such use.
func derive(k key, label string, salt []byte) key {
	b, err := hkdf.Key(sha256.New, k[:], salt, label, len(key{}))
	if err != nil { // the length is right
		panic("store: internal error: " + err.Error())
	}
	return key(b)
}

var errSealed = errors.New("it doesn't open: another key, or it was changed")

func aead(k key) cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil { // the key's length is right
		panic("store: internal error: " + err.Error())
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic("store: internal error: " + err.Error())
	}
	return a
}

// seal encrypts under a random nonce, which stands in front (AES-256-GCM). The
// context and what it is about must be given again to open.
func seal(k key, context, about string, plain []byte) []byte {
	a := aead(k)
	nonce := make([]byte, a.NonceSize(), a.NonceSize()+len(plain)+a.Overhead())
	rand.Read(nonce)
	return a.Seal(nonce, nonce, plain, associated(context, about))
}

func open(k key, context, about string, box []byte) ([]byte, error) {
	a := aead(k)
	if len(box) < a.NonceSize() {
		return nil, errSealed
	}
	plain, err := a.Open(nil, box[:a.NonceSize()], box[a.NonceSize():], associated(context, about))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func openKey(k key, context, about string, box []byte) (key, error) {
	plain, err := open(k, context, about, box)
	if err != nil {
		return key{}, err
	}
	if len(plain) != len(key{}) {
		return key{}, fmt.Errorf("a key of %d bytes", len(plain))
	}
	return key(plain), nil
}

func associated(context, about string) []byte { return []byte(context + "\x00" + about) }
