package redact

import (
	"fmt"
	"mime"
	"strings"
)

// boundary is the one of all multipart bodies: the peers' could hold anything.
const boundary = "part"

func isMultipart(kind string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(kind)), "multipart/")
}

// body renders a body: descriptions, alone or in a multipart body. Of others,
// keys and texts among them, only the length is told.
func (m *message) body(kind, body string) string {
	if body == "" {
		return ""
	}
	if isMultipart(kind) {
		return m.multipart(kind, body)
	}
	bare, _ := cut(kind, ';')
	if strings.EqualFold(strings.TrimSpace(bare), "application/sdp") {
		return m.sdp(body)
	}
	return gone(body)
}

func gone(body string) string { return fmt.Sprintf("(%d bytes taken out)\r\n", len(body)) }

// multipart keeps the parts' types and descriptions. One within another is taken
// out.
func (m *message) multipart(kind, body string) string {
	_, params, err := mime.ParseMediaType(kind)
	mark := params["boundary"]
	if err != nil || mark == "" {
		return gone(body)
	}
	out := ""
	parts := strings.Split("\r\n"+body, "\r\n--"+mark)
	for _, part := range parts[1:] { // the first is a preamble
		if strings.HasPrefix(part, "--") {
			break
		}
		head, inner, _ := strings.Cut(part, "\r\n\r\n")
		kind := typeIn(unfold(head))
		if isMultipart(kind) {
			inner, kind = gone(inner), "application/octet-stream"
		} else {
			inner = m.body(kind, inner)
		}
		out += "--" + boundary + "\r\nContent-Type: " + contentType(m, kind) + "\r\n\r\n" + strings.TrimSuffix(inner, "\r\n") + "\r\n"
	}
	return out + "--" + boundary + "--\r\n"
}

// keptAttributes of a description say how media goes, not whose it is. Of others
// the name is kept.
var keptAttributes = map[string]bool{"rtpmap": true, "fmtp": true, "ptime": true, "maxptime": true, "sendrecv": true,
	"sendonly": true, "recvonly": true, "inactive": true, "rtcp": true, "rtcp-mux": true, "rtcp-rsize": true, "rtcp-fb": true,
	"candidate": true, "end-of-candidates": true, "ice-lite": true, "setup": true, "fingerprint": true, "mid": true, "group": true,
	"record": true, "recordpref": true, "curr": true, "des": true, "conf": true, "silencesupp": true, "altc": true, "content": true,
	"label": true, "connection": true, "bundle-only": true, "direction": true}

// sdp keeps a description's lines.
func (m *message) sdp(body string) string {
	out := ""
	for _, line := range strings.Split(strings.ReplaceAll(body, "\r\n", "\n"), "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" {
			out += m.sdpLine(line) + "\r\n"
		}
	}
	return out
}

func (m *message) sdpLine(line string) string {
	kind, value, ok := strings.Cut(line, "=")
	if !ok || len(kind) != 1 {
		return "a=unreadable"
	}
	switch kind {
	case "v", "c", "b", "t", "r", "z", "m":
		return line
	case "o":
		f := strings.SplitN(value, " ", 2)
		if f[0] != "-" {
			f[0] = m.pseudonym("u", f[0])
		}
		return "o=" + strings.Join(f, " ")
	case "a":
		return "a=" + m.attribute(value)
	}
	return kind + "=" // s, i, u, e, p, k and what isn't known
}

func (m *message) attribute(v string) string {
	name, value, has := strings.Cut(v, ":")
	lower := strings.ToLower(name)
	f := strings.Fields(value)
	known := keptAttributes[lower] || strings.HasPrefix(lower, "t38")
	switch {
	case lower == "crypto" && len(f) > 2: // RFC 4568: tag, suite, keys
		return "crypto:" + m.plain(f[0]) + " " + suite(f[1]) + " inline:-"
	case lower == "key-mgmt" && len(f) > 0: // RFC 4567
		return "key-mgmt:" + m.plain(f[0]) + " -"
	case known:
		return v
	case len(digits(name)) > 4 || strings.Trim(lower, alphabet+"0123456789-_") != "":
		return m.pseudonym("h", v)
	case has:
		return name + ":-"
	}
	return name
}

// suite keeps the name of a cipher, which has digits.
func suite(v string) string {
	if len(v) > 40 || strings.Trim(v, upper+"0123456789_") != "" {
		return "-"
	}
	return v
}
