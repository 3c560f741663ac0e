// Package passwords keeps passwords as argon2id hashes and compares with them,
// within bounds: neither a configuration nor a crowd that logs in may take the
// memory and the processors that calls need.
package passwords

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MinLength is of a new password, in bytes.
const MinLength = 12

// MaxLength is of any password, in bytes: longer ones match nothing.
const MaxLength = 1024

// Parameters of new hashes: the memory and passes of RFC 9106 section 4, second
// recommended option, with one lane in place of four. Who guesses pays the same;
// who logs in keeps one processor busy and not all of them.
const (
	newMemory = 64 << 10 // KiB
	newPasses = 3
	newLanes  = 1
)

// Bounds of the parameters that a configuration may ask for. Below the lower ones
// guessing is cheaper than OWASP's password storage cheat sheet allows; the upper
// ones bound what one login costs: 256 MiB and some seconds.
const (
	minMemory, maxMemory = 7 << 10, 256 << 10 // KiB
	minWork              = 5 * minMemory      // memory times passes
	maxPasses            = 8
	maxLanes             = 8
	minBytes, maxBytes   = 16, 64 // of salt and sum
)

// Hash is one password's, with its parameters. The zero Hash is nobody's: nothing
// matches it.
type Hash struct {
	cost
	salt, sum []byte
}

// cost is what one comparison takes.
type cost struct {
	memory, passes uint32
	lanes          uint8
}

// New makes the hash of a password, in the PHC string format.
func New(password string) (string, error) {
	if len(password) < MinLength || len(password) > MaxLength {
		return "", fmt.Errorf("a password has at least %d characters, and at most %d", MinLength, MaxLength)
	}
	h := Hash{cost: cost{newMemory, newPasses, newLanes}, salt: make([]byte, 16)}
	rand.Read(h.salt)
	h.sum = h.of(password, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes, b64(h.salt), b64(h.sum)), nil
}

// Parse reads a hash; errors say what is wrong with it and never quote it.
func Parse(phc string) (h Hash, err error) {
	f := strings.Split(phc, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" {
		return Hash{}, errors.New("a hash made by 'consentgate passwd', never the password itself")
	}
	if f[2] != "v="+strconv.Itoa(argon2.Version) {
		return Hash{}, errors.New("a hash of another version of argon2id: make a new one with 'consentgate passwd'")
	}
	if h.cost, err = parseCost(f[3]); err != nil {
		return Hash{}, err
	}
	var saltErr, sumErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(f[4])
	h.sum, sumErr = base64.RawStdEncoding.DecodeString(f[5])
	for _, b := range [][]byte{h.salt, h.sum} {
		if len(b) < minBytes || len(b) > maxBytes || saltErr != nil || sumErr != nil {
			return Hash{}, errors.New("salt or sum of the hash are cut or changed: make a new one with 'consentgate passwd'")
		}
	}
	return h, nil
}

// parseCost reads m=65536,t=3,p=1, in this order and with nothing else.
func parseCost(s string) (cost, error) {
	f := strings.Split(s, ",")
	var n [3]uint64
	for i, key := range []string{"m=", "t=", "p="} {
		digits, ok := "", false
		if len(f) == 3 {
			digits, ok = strings.CutPrefix(f[i], key)
		}
		v, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil {
			return cost{}, errors.New("the hash's parameters aren't of the form m=65536,t=3,p=1")
		}
		n[i] = v
	}
	switch {
	case n[0] > maxMemory || n[1] > maxPasses || n[2] < 1 || n[2] > maxLanes:
		return cost{}, fmt.Errorf("the hash asks for more than m=%d,t=%d,p=%d, which a login may cost", maxMemory, maxPasses, maxLanes)
	case n[0] < minMemory || n[1] < 1 || n[0]*n[1] < minWork:
		return cost{}, fmt.Errorf("the hash is too cheap to guess: at least m=%d,t=5 or m=19456,t=2", minMemory)
	}
	return cost{uint32(n[0]), uint32(n[1]), uint8(n[2])}, nil
}

// of computes a password's sum by this hash's parameters.
func (h Hash) of(password string, length uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, length)
}

func (h Hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password, uint32(len(h.sum))), h.sum) == 1
}

// Set reports whether there is a password at all.
func (h Hash) Set() bool { return h.sum != nil }

// Equal reports whether two are the same hash: of the same password, unless they are of
// none.
func (h Hash) Equal(o Hash) bool {
	return h.cost == o.cost && bytes.Equal(h.salt, o.salt) && bytes.Equal(h.sum, o.sum)
}

// Nobodys is a hash that costs as much to compare with as h, and that no password
// matches. It is for names that nobody has, so that they can't be told from others
// by the time it takes. Of the zero Hash it is as dear as new ones.
func (h Hash) Nobodys() Hash {
	n := Hash{cost: h.cost, salt: make([]byte, 16), sum: make([]byte, 32)}
	if !h.Set() {
		n.cost = cost{newMemory, newPasses, newLanes}
	}
	rand.Read(n.salt)
	rand.Read(n.sum)
	return n
}
