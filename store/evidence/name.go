package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"

	"consentgate/consent"
)

// uuid8 makes a UUID of version 8 (RFC 9562 section 5.8): a time, and a hash
// instead of chance, so that the same thing has the same name each time it is
// written out. The parts must hold something that can't be guessed, where a
// part that is personal could be tried out.
func uuid8(at time.Time, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	sum := h.Sum(nil)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixMilli())<<16)
	copy(b[6:], sum)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// pseudonym names a party of this case, and of no other (GDPR Art. 4(5)): the
// grant's hash covers times and SSRCs that nobody outside has.
func (c *Case) pseudonym(p consent.Party) string {
	return uuid8(c.Started, "subject", c.grant().Hash().String(), p.String())
}

// shown is a party's number as a reader may see it.
func (c *Case) shown(r Reader, p consent.Party) string {
	switch {
	case c.shows(r, p):
		return visible(c.number(p))
	case c.withheld(p):
		return masked
	}
	return mask(c.number(p))
}

// masked stands for what isn't shown.
const masked = "•••"

// mask leaves of a telephone number its last two digits, so that people tell
// their calls apart; of short numbers and of names, nothing.
func mask(number string) string {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
	if !isNumber(number) || len(digits) < 7 {
		return masked
	}
	return masked + digits[len(digits)-2:]
}

// isNumber reports whether a party's identity is a telephone number.
func isNumber(s string) bool {
	rest := strings.TrimPrefix(s, "+")
	return rest != "" && strings.Trim(rest, "0123456789*#") == ""
}

// visible makes characters seen that change what is seen: controls, and those
// that turn the direction of writing (Unicode UAX 9), by which a name could show
// as another.
func visible(s string) string {
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			fmt.Fprintf(&out, "[U+%04X]", r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
