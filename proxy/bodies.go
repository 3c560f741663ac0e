package proxy

import (
	"bytes"
	"mime"
	"regexp"
	"strconv"
	"strings"
)

// A message's session description is its body, or a part of it: multipart bodies
// carry ISUP (RFC 3204) or a caller's location (RFC 6442) beside it. Everything
// but the description itself stays byte for byte.

// maxNesting bounds multiparts within multiparts.
const maxNesting = 4

// span is where a body's description lies: what stands before and behind it
// isn't ours.
type span struct{ start, end int }

// hasSDP reports whether a message brings a session description.
func hasSDP(m message) bool {
	_, ok := findSDP(m)
	return ok
}

// sdpOf is the description that a message brings, nil if none.
func sdpOf(m message) []byte {
	at, ok := findSDP(m)
	if !ok {
		return nil
	}
	return m.Body()[at.start:at.end]
}

// withSDP is a message's body with another description in it.
func withSDP(m message, description []byte) []byte {
	at, ok := findSDP(m)
	if !ok {
		return description
	}
	body := m.Body()
	before := body[:at.start]
	if len(before) > 0 {
		before = withLength(before, len(description))
	}
	return bytes.Join([][]byte{before, description, body[at.end:]}, nil)
}

func findSDP(m message) (span, bool) {
	return descriptionIn(header(m, "content-type"), m.Body(), maxNesting)
}

func descriptionIn(contentType string, body []byte, depth int) (span, bool) {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	switch {
	case kind == "application/sdp":
		return span{0, len(body)}, len(body) > 0
	case !strings.HasPrefix(kind, "multipart/") || depth == 0:
		return span{}, false
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return span{}, false
	}
	for _, part := range partsOf(body, params["boundary"]) {
		h, at := headOf(body[part.start:part.end])
		if h == nil || !ofSession(h) {
			continue
		}
		if in, ok := descriptionIn(h["content-type"], body[part.start+at:part.end], depth-1); ok {
			return span{part.start + at + in.start, part.start + at + in.end}, true
		}
	}
	return span{}, false
}

// partsOf finds the parts of a multipart body (RFC 2046 section 5.1.1). The line
// end before a delimiter belongs to the delimiter.
func partsOf(body []byte, boundary string) (out []span) {
	delimiter := regexp.MustCompile(`(?:^|\r?\n)--` + regexp.QuoteMeta(boundary) + `(--)?[ \t]*(?:\r?\n|$)`)
	start := -1
	for at := 0; at <= len(body); {
		m := delimiter.FindSubmatchIndex(body[at:])
		if m == nil {
			if start >= 0 { // cut off, or never closed
				out = append(out, span{start, len(body)})
			}
			break
		}
		if start >= 0 {
			out = append(out, span{start, at + m[0]})
		}
		if m[2] >= 0 { // the closing one
			break
		}
		start = at + m[1]
		at = start
	}
	return out
}

// headOf reads a part's headers, names in lower case, and says where its content
// begins; nil if it has no end of headers.
func headOf(part []byte) (map[string]string, int) {
	h := map[string]string{}
	at, last := 0, ""
	for {
		n := bytes.IndexByte(part[at:], '\n')
		if n < 0 {
			return nil, 0
		}
		line := strings.TrimRight(string(part[at:at+n]), "\r")
		at += n + 1
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "":
			return h, at
		case line[0] == ' ' || line[0] == '\t': // folded
			h[last] += " " + strings.TrimSpace(line)
		case ok:
			last = strings.ToLower(strings.TrimSpace(name))
			h[last] = strings.TrimSpace(value)
		}
	}
}

// ofSession reports whether a part is the session's, and written as it is: early
// media's own session (RFC 3959) and encoded parts aren't.
func ofSession(h map[string]string) bool {
	encoding := strings.ToLower(h["content-transfer-encoding"])
	disposition, _, _ := strings.Cut(h["content-disposition"], ";")
	disposition = strings.ToLower(strings.TrimSpace(disposition))
	return (encoding == "" || encoding == "7bit" || encoding == "8bit" || encoding == "binary") &&
		h["content-encoding"] == "" && disposition != "early-session"
}

var (
	partLength = regexp.MustCompile(`(?i)((?:^|\n)content-length[ \t]*:[ \t]*)\d+([ \t]*\r?\n)`)
	headEnd    = regexp.MustCompile(`\r?\n\r?\n`)
)

// withLength puts the length of a part's new content into its headers, which
// before ends with, if they say one.
func withLength(before []byte, n int) []byte {
	all := partLength.FindAllSubmatchIndex(before, -1)
	if len(all) == 0 {
		return before
	}
	m := all[len(all)-1]
	if blank := headEnd.FindIndex(before[m[1]-1:]); blank != nil && m[1]-1+blank[1] != len(before) {
		return before // another part's
	}
	return bytes.Join([][]byte{before[:m[3]], []byte(strconv.Itoa(n)), before[m[4]:]}, nil)
}
