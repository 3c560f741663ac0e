package srtp

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	pion "github.com/pion/srtp/v3"
)

// suite is a crypto-suite and the lengths of its master key and salt, in bytes.
type suite struct {
	name      string
	profile   pion.ProtectionProfile
	key, salt int
	offered   bool // by us; the others are accepted
}

// suites are those of RFC 4568 section 6.2, RFC 6188 section 5.1 and RFC 7714
// section 14, in the order that they are offered in. Those with tags of four
// bytes aren't offered, for who has them has their siblings with ten as well.
var suites = []suite{
	{"AEAD_AES_256_GCM", pion.ProtectionProfileAeadAes256Gcm, 32, 12, true},
	{"AEAD_AES_128_GCM", pion.ProtectionProfileAeadAes128Gcm, 16, 12, true},
	{"AES_256_CM_HMAC_SHA1_80", pion.ProtectionProfileAes256CmHmacSha1_80, 32, 14, true},
	{"AES_CM_128_HMAC_SHA1_80", pion.ProtectionProfileAes128CmHmacSha1_80, 16, 14, true},
	{"AES_256_CM_HMAC_SHA1_32", pion.ProtectionProfileAes256CmHmacSha1_32, 32, 14, false},
	{"AES_CM_128_HMAC_SHA1_32", pion.ProtectionProfileAes128CmHmacSha1_32, 16, 14, false},
	// As peers from before RFC 6188 write them.
	{"AES_CM_256_HMAC_SHA1_80", pion.ProtectionProfileAes256CmHmacSha1_80, 32, 14, false},
	{"AES_CM_256_HMAC_SHA1_32", pion.ProtectionProfileAes256CmHmacSha1_32, 32, 14, false},
}

func suiteOf(name string) (suite, bool) {
	for _, s := range suites {
		if strings.EqualFold(s.name, name) {
			return s, true
		}
	}
	return suite{}, false
}

// Crypto is an a=crypto attribute: a suite, and the key that its owner sends
// with. It shows its key to nobody but Attribute's caller: printed or logged, by
// whatever verb and within whatever it is part of, there is no key in it.
type Crypto struct {
	Tag   int
	Suite string
	key   func() secret // a function, for package fmt looks behind anything else; nil: none
}

type secret struct{ key, salt, mki []byte }

func crypto(tag int, s suite, k secret) Crypto {
	return Crypto{tag, s.name, func() secret { return k }}
}

// New makes a key of our own; the suite must be one of ours.
func New(tag int, suiteName string) Crypto {
	s, ok := suiteOf(suiteName)
	if !ok {
		panic("srtp: a key for a suite that we don't have")
	}
	k := secret{key: make([]byte, s.key), salt: make([]byte, s.salt)}
	rand.Read(k.key)
	rand.Read(k.salt)
	return crypto(tag, s, k)
}

// Offer makes a key for each suite that we offer, with the tags 1 and so on.
func Offer() []Crypto {
	var out []Crypto
	for _, s := range suites {
		if s.offered {
			out = append(out, New(len(out)+1, s.name))
		}
	}
	return out
}

// Zero reports whether there is no key.
func (c Crypto) Zero() bool { return c.key == nil }

// WithTag is the same key under another tag.
func (c Crypto) WithTag(tag int) Crypto { return Crypto{tag, c.Suite, c.key} }

// SameKey reports whether two attributes say the same but for the tag.
func (c Crypto) SameKey(o Crypto) bool {
	if c.Zero() || o.Zero() {
		return c.Zero() == o.Zero()
	}
	a, b := c.key(), o.key()
	return c.Suite == o.Suite && bytes.Equal(a.key, b.key) && bytes.Equal(a.salt, b.salt) && bytes.Equal(a.mki, b.mki)
}

// Attribute is the value of the a=crypto line. It holds the key.
func (c Crypto) Attribute() string {
	k := c.key()
	inline := base64.StdEncoding.EncodeToString(append(bytes.Clone(k.key), k.salt...))
	return fmt.Sprintf("%d %s inline:%s", c.Tag, c.Suite, inline)
}

// Format prints the suite alone, whatever the verb.
func (c Crypto) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// String has no key in it.
func (c Crypto) String() string { return c.Suite + " key" }

// LogValue has no key in it.
func (c Crypto) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Parse reads the value of an a=crypto line (RFC 4568 section 9.1). It errs
// where we couldn't do what the attribute asks for; errors have no key in them.
func Parse(value string) (Crypto, error) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return Crypto{}, errors.New("srtp: an a=crypto of fewer than three fields")
	}
	tag, err := strconv.ParseUint(f[0], 10, 30)
	if err != nil {
		return Crypto{}, errors.New("srtp: an a=crypto without a tag")
	}
	s, ok := suiteOf(f[1])
	if !ok {
		return Crypto{}, errors.New("srtp: a suite that we don't have") // what stands there may be a misplaced key
	}
	for _, param := range f[3:] {
		// Unencrypted or unauthenticated streams, key derivation rates, FEC. A
		// window size is a hint, and "-" marks what may be passed over (section 6.3).
		if !strings.HasPrefix(param, "WSH=") && !strings.HasPrefix(param, "-") {
			return Crypto{}, errors.New("srtp: a session parameter that isn't supported")
		}
	}
	k, err := parseInline(f[2], s)
	if err != nil {
		return Crypto{}, err
	}
	return crypto(int(tag), s, k), nil
}

// parseInline reads a key-param (section 6.1). The lifetime is not ours to
// watch: it bounds what its owner may send with the key.
func parseInline(v string, s suite) (k secret, err error) {
	if strings.Contains(v, ";") {
		return k, errors.New("srtp: several master keys in one a=crypto aren't supported")
	}
	method, info, _ := strings.Cut(v, ":")
	if !strings.EqualFold(method, "inline") {
		return k, errors.New("srtp: the key method isn't inline")
	}
	parts := strings.Split(info, "|")
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil {
		return k, errors.New("srtp: the key isn't base64") // the library's error would quote from it
	}
	if len(raw) != s.key+s.salt {
		return k, fmt.Errorf("srtp: a key of %d bytes, %s needs %d", len(raw), s.name, s.key+s.salt)
	}
	k.key, k.salt = raw[:s.key:s.key], raw[s.key:]
	for _, p := range parts[1:] {
		if !strings.Contains(p, ":") {
			continue
		}
		if k.mki, err = parseMKI(p); err != nil {
			return secret{}, err
		}
	}
	return k, nil
}

// parseMKI reads a master key identifier, value:length. It stands in each of its
// owner's packets.
func parseMKI(v string) ([]byte, error) {
	number, length, _ := strings.Cut(v, ":")
	n, err1 := strconv.ParseUint(number, 10, 64)
	size, err2 := strconv.ParseUint(length, 10, 8)
	if err1 != nil || err2 != nil || size == 0 || size > 128 || size < 8 && n>>(8*size) != 0 {
		return nil, errors.New("srtp: the master key identifier can't be read")
	}
	out := make([]byte, size)
	for i := range min(8, int(size)) {
		out[int(size)-1-i] = byte(n >> (8 * i))
	}
	return out, nil
}
