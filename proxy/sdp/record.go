package sdp

import (
	"strconv"
	"strings"
)

// What a description says of recording (RFC 7866 section 9.1.2): a=record of
// who records, to a telephone that knows the attribute.
const (
	RecordOn     = "on"
	RecordPaused = "paused"
	RecordOff    = "off"
)

// What a telephone wants of recording (RFC 7866 section 9.2.2, a=recordpref).
const (
	PreferOff   = "off"
	PreferPause = "pause"
)

// RecordPref is the section's a=recordpref, or the session's; "" if there is none.
func (m *Media) RecordPref() string {
	v, _ := m.attribute("recordpref")
	return strings.ToLower(strings.TrimSpace(v))
}

// WithRecord says of the first audio section whether it is recorded. Where its
// owner says more, because it records itself, that stays.
func WithRecord(body []byte, state string) []byte {
	s, err := Parse(body)
	if err != nil || s.Audio() == nil {
		return body
	}
	m := s.Audio()
	if theirs, ok := m.attribute("record"); ok && (theirs == RecordOn || theirs == RecordPaused && state != RecordOn) {
		state = theirs
	}
	line := "a=record:" + state
	for i, l := range m.lines {
		if strings.HasPrefix(l, "a=record:") {
			m.lines[i] = line
			return s.bytes()
		}
	}
	m.lines = append(m.lines, line)
	return s.bytes()
}

// bytes are the lines of the description.
func (s *Session) bytes() []byte {
	var b strings.Builder
	put := func(lines []string) {
		for _, l := range lines {
			b.WriteString(l)
			b.WriteString(s.eol)
		}
	}
	put(s.lines)
	for _, m := range s.Media {
		put(m.lines)
	}
	return s.ended(b.String())
}

// originLine finds the o= line: from start to end of body, without its line end.
func originLine(body []byte) (start, end int, ok bool) {
	text := string(body)
	if start = strings.Index(text, "\no=") + 1; start == 0 {
		return 0, 0, false
	}
	if end = strings.IndexAny(text[start:], "\r\n"); end < 0 {
		return start, len(text), true
	}
	return start, start + end, true
}

// ReadOrigin returns who made a description, without the version, and the
// version (RFC 8866 section 5.2); false if there is no such line.
func ReadOrigin(body []byte) (who string, version uint64, ok bool) {
	start, end, ok := originLine(body)
	if !ok {
		return "", 0, false
	}
	f := strings.Fields(string(body[start+2 : end]))
	if len(f) != 6 {
		return "", 0, false
	}
	version, err := strconv.ParseUint(f[2], 10, 64)
	return f[0] + " " + f[1], version, err == nil
}

// WithVersion puts another version into the o= line (RFC 3264 section 8).
func WithVersion(body []byte, version uint64) []byte {
	start, end, ok := originLine(body)
	f := strings.Fields(string(body[start:end]))
	if !ok || len(f) != 6 {
		return body
	}
	f[2] = strconv.FormatUint(version, 10)
	return []byte(string(body[:start]) + strings.Join(f, " ") + string(body[end:]))
}

// SameBut reports whether two descriptions are the same but for their o= lines.
func SameBut(a, b []byte) bool {
	cut := func(body []byte) string {
		start, end, ok := originLine(body)
		if !ok {
			return string(body)
		}
		return string(body[:start]) + string(body[end:])
	}
	return cut(a) == cut(b)
}
