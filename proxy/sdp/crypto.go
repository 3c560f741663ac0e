package sdp

import (
	"slices"
	"strings"
)

// Protection is what a description says of how its audio is sealed: its profile,
// and the values of its a=crypto lines (RFC 4568), which hold keys.
type Protection struct {
	Proto   string // RTP/AVP, RTP/SAVP, ...
	Crypto  []string
	Refused bool // port 0: there is nothing to be sealed
}

// sealedProfiles are the profiles with SRTP by those without (RFC 3711 section
// 12, RFC 5124).
var sealedProfiles = map[string]string{"RTP/AVP": "RTP/SAVP", "RTP/AVPF": "RTP/SAVPF"}

// Sealed reports whether the profile itself demands SRTP with keys in SDP.
func (p Protection) Sealed() bool { return p.Proto == "RTP/SAVP" || p.Proto == "RTP/SAVPF" }

// Clear reports whether the profile is RTP without SRTP. With a=crypto lines it
// is an offer of SRTP to who knows them (RFC 8643).
func (p Protection) Clear() bool { return sealedProfiles[p.Proto] != "" }

// Clear reports whether the section is RTP without SRTP.
func (m *Media) Clear() bool { return sealedProfiles[m.Proto] != "" }

// Seal is the profile with SRTP of one without.
func Seal(proto string) string {
	if sealed := sealedProfiles[proto]; sealed != "" {
		return sealed
	}
	return proto
}

// Protection is the first audio section's; false where there is none.
func (s *Session) Protection() (p Protection, ok bool) {
	m := s.firstAudio()
	if m == nil {
		return p, false
	}
	p.Proto, p.Refused = m.Proto, m.Port == 0
	for _, l := range m.lines {
		if v, ok := strings.CutPrefix(l, "a=crypto:"); ok {
			p.Crypto = append(p.Crypto, v)
		}
	}
	return p, true
}

// firstAudio is the first audio section that isn't refused, else the first.
func (s *Session) firstAudio() (first *Media) {
	for _, m := range s.Media {
		switch {
		case m.Kind != "audio":
		case m.Port != 0:
			return m
		case first == nil:
			first = m
		}
	}
	return first
}

// Unseal makes the first audio section one without SRTP, for who stands between
// it and the others: neither the profile, nor keys, nor what leads to DTLS-SRTP.
func (s *Session) Unseal() {
	m := s.firstAudio()
	if m == nil {
		return
	}
	m.setProto(unsealed(m.Proto))
	m.lines, s.lines = withoutKeys(m.lines), withoutKeys(s.lines)
	s.audio = slices.IndexFunc(s.Media, (*Media).audible)
}

func unsealed(proto string) string {
	for clear, sealed := range sealedProfiles {
		if proto == sealed {
			return clear
		}
	}
	return proto
}

func withoutKeys(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return slices.ContainsFunc([]string{"a=crypto:", "a=fingerprint:", "a=setup:", "a=tls-id:"},
			func(prefix string) bool { return strings.HasPrefix(l, prefix) })
	})
}

// WithKeys puts a=crypto lines into the first audio section of a description,
// and another profile; nil leaves the profile.
func WithKeys(body []byte, profile func(string) string, crypto []string) []byte {
	s, err := Parse(body)
	if err != nil || s.firstAudio() == nil {
		return body
	}
	m := s.firstAudio()
	if profile != nil {
		m.setProto(profile(m.Proto))
	}
	for _, v := range crypto {
		m.lines = append(m.lines, "a=crypto:"+v)
	}
	return s.bytes()
}

func (m *Media) setProto(proto string) {
	if proto == m.Proto {
		return
	}
	f := strings.Fields(m.lines[0])
	f[2] = proto
	m.Proto, m.lines[0] = proto, strings.Join(f, " ")
}
