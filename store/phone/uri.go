package phone

import (
	"net/url"
	"strings"
	"unicode"
)

// inside takes a number, or a name, out of what a SIP message wraps it in: a name
// and address (RFC 3261 section 20.10), a sip:, sips: or tel: URI with its host
// and parameters. What is wrapped twice is unwrapped twice, so that the result is
// never wrapped.
func inside(s string) string {
	for {
		inner := unwrap(strings.TrimSpace(folded(s)))
		if inner == s {
			return s
		}
		s = inner
	}
}

func unwrap(s string) string {
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		s, _, _ = strings.Cut(s[i+1:], ">")
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if ok {
		switch strings.ToLower(scheme) {
		case "sip", "sips", "tel":
			s = rest
		}
	}
	// The user part of a SIP URI may bear the parameters of a telephone number
	// (RFC 3261 section 19.1.6), so it is taken before them.
	s, _, _ = strings.Cut(s, "@")
	number, params, _ := strings.Cut(s, ";")
	if context := globalContext(params); context != "" && !strings.HasPrefix(number, "+") {
		number = context + number
	}
	number, _, _ = strings.Cut(number, ":") // a password
	return decoded(number)
}

// globalContext is the beginning of a global number that a local one belongs
// behind (RFC 3966 section 5.1.5); a domain says nothing of the kind.
func globalContext(params string) string {
	for p := range strings.SplitSeq(params, ";") {
		if name, value, ok := strings.Cut(p, "="); ok && strings.EqualFold(name, "phone-context") && strings.HasPrefix(value, "+") {
			return value
		}
	}
	return ""
}

// decoded undoes %HH, unless that would make a URI of what is none.
func decoded(s string) string {
	if d, err := url.PathUnescape(s); err == nil && !strings.ContainsAny(d, "<>@;:%") {
		return d
	}
	return s
}

// folded is text with the digits of all scripts as ASCII ones, each plus as +,
// each space and dash as one kind, in small letters, and without what can't be
// seen.
func folded(s string) string {
	return strings.Map(func(r rune) rune {
		if ' ' < r && r < unicode.MaxASCII {
			return unicode.ToLower(r)
		}
		switch {
		case r == unicode.ReplacementChar, unicode.Is(unicode.Cf, r), unicode.IsControl(r) && !unicode.IsSpace(r):
			return -1
		case unicode.IsDigit(r):
			return '0' + digit(r)
		case r == '＋', r == '﹢', r == '⁺':
			return '+'
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Pd, r), r == '−', r == '‐', r == '‑':
			return '-'
		case r == '（':
			return '('
		case r == '）':
			return ')'
		case r == '．', r == '·', r == '•':
			return '.'
		case r == '／':
			return '/'
		}
		return unicode.ToLower(r)
	}, s)
}

// digit is a decimal digit's value: Unicode has them in runs from zero to nine.
func digit(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	panic("phone: internal error: not a digit")
}
