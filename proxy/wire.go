package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// This file reads messages and writes them. sipgo's types carry them, but its
// parser and writer would change them: upper-case methods, quoted parameters,
// schemes, folded lines. It also has no answer to a request that it can't read.

// field is a header as it came.
type field struct {
	sip.Header        // its name, and its value in one line without spaces around
	full       string // its name in full and lower case
	raw        string // its lines, folds included, without the last CRLF
	at         int    // where in raw the value begins
}

// fullName is a header's name in full and lower case.
func fullName(h sip.Header) string {
	if f, ok := h.(*field); ok {
		return f.full
	}
	return canonical(h.Name())
}

// spelled puts another value into a header and keeps the name and the colon as
// they were written.
func spelled(h sip.Header, value string) sip.Header {
	was, ok := h.(*field)
	switch {
	case !ok:
		return sip.NewHeader(h.Name(), value)
	case value == was.Value():
		return was
	}
	return &field{sip.NewHeader(was.Name(), value), was.full, was.raw[:was.at] + value, was.at}
}

// opaque makes a Request-URI that is written as it is. sipgo takes URIs of
// schemes that it doesn't know for text: so it reads every URI as such a one,
// and its scheme is put back afterwards.
func opaque(uri string) (sip.Uri, bool) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || rest == "" || !isScheme(scheme) || strings.ContainsAny(rest, "<>") || strings.ContainsFunc(rest, isControl) {
		return sip.Uri{}, false
	}
	var u sip.Uri
	if err := sip.ParseUri("opaque:"+rest, &u); err != nil {
		return sip.Uri{}, false
	}
	u.Scheme = scheme
	return u, true
}

func isControl(c rune) bool { return c <= ' ' || c == 0x7f }

// isScheme: RFC 3261 section 25.1.
func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("+-.", rune(s[i]))) {
			return false
		}
	}
	return s != ""
}

// isToken: RFC 3261 section 25.1.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') && !strings.ContainsRune("-.!%*_+`'~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func badRequest(text string) *problem {
	return &problem{"malformed", sip.StatusBadRequest, "Bad Request - " + text}
}

// parseMessage reads one message. With a problem the message has what could be
// read of it, so that a request can be answered; nil is no SIP at all.
func parseMessage(data []byte) (message, *problem) {
	text := strings.TrimLeft(string(data), "\r\n") // RFC 3261 section 7.5
	line, rest, ok := strings.Cut(text, "\r\n")
	msg, bad := parseStart(line)
	if msg == nil {
		return nil, &problem{reason: "malformed"}
	}
	rest, wrong := parseFields(msg, rest)
	head := text[:len(text)-len(rest)]
	if bad == nil {
		bad = wrong
	}
	if !ok && bad == nil {
		bad = badRequest("no line end")
	}
	body, wrong := bodyOf(msg, rest)
	if bad == nil {
		bad = wrong
	}
	if len(body) > 0 {
		msg.SetBody([]byte(body))
	}
	msg.AppendHeader(&ancestor{Header: ancestorHeader, head: head, body: body})
	return msg, bad
}

// parseStart reads a start line; nil if it isn't one.
func parseStart(line string) (message, *problem) {
	first, rest, _ := strings.Cut(line, " ")
	if isVersion(first) {
		code, reason, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(code)
		if !strings.EqualFold(first, "SIP/2.0") || err != nil || len(code) != 3 || n < 100 || n > 699 || hasLineEnd(reason) {
			return nil, nil
		}
		return sip.NewResponse(n, reason), nil
	}
	if !isToken(first) {
		return nil, nil
	}
	target, version, _ := strings.Cut(rest, " ")
	uri, ok := opaque(target)
	req := sip.NewRequest(sip.RequestMethod(first), uri)
	switch {
	case !isVersion(version) || hasLineEnd(version):
		return req, badRequest("Request-Line")
	case !strings.EqualFold(version, "SIP/2.0"):
		return req, &problem{"version", sip.StatusVersionNotSupported, "Version Not Supported"}
	case !ok:
		return req, badRequest("Request-URI")
	}
	return req, nil
}

func isVersion(s string) bool {
	return len(s) > 4 && strings.EqualFold(s[:4], "SIP/") && !strings.ContainsAny(s, " \t")
}

// hasLineEnd finds half a line end. One reader would see one line in it, another
// two.
func hasLineEnd(s string) bool { return strings.ContainsAny(s, "\r\n") }

// parseFields reads headers up to the empty line and returns what follows it.
func parseFields(msg message, text string) (rest string, bad *problem) {
	for {
		raw, after, ok := cutField(text)
		switch {
		case !ok:
			return "", badRequest("the headers don't end")
		case raw == "":
			return after, bad
		}
		if f := parseField(raw); f != nil {
			msg.AppendHeader(f)
		} else if bad == nil {
			bad = badRequest("a header that is none")
		}
		text = after
	}
}

// cutField cuts the first header off, with its folds and without its CRLF.
func cutField(text string) (raw, rest string, ok bool) {
	for at := 0; ; {
		end := strings.Index(text[at:], "\r\n")
		if end < 0 {
			return text, "", false
		}
		end += at
		at = end + 2
		if end == 0 || at >= len(text) || text[at] != ' ' && text[at] != '\t' {
			return text[:end], text[at:], true
		}
	}
}

// parseField reads one header; nil if it isn't one.
func parseField(raw string) *field {
	colon := strings.IndexByte(raw, ':')
	if colon < 0 {
		return nil
	}
	name := strings.TrimRight(raw[:colon], " \t")
	value := raw[colon+1:]
	if !isToken(name) {
		return nil
	}
	at := len(raw) - len(strings.TrimLeft(value, " \t\r\n"))
	if strings.Contains(value, "\r\n") {
		var lines []string
		for _, line := range strings.Split(value, "\r\n") {
			lines = append(lines, strings.Trim(line, " \t"))
		}
		value = strings.Join(lines, " ")
	}
	value = strings.Trim(value, " \t")
	if hasLineEnd(value) {
		return nil
	}
	return &field{sip.NewHeader(name, value), canonical(name), raw, at}
}

// bodyOf cuts the body out of what follows the headers (RFC 3261 section 18.3).
func bodyOf(msg message, rest string) (string, *problem) {
	declared := headers(msg, "content-length")
	switch len(declared) {
	case 0:
		return rest, nil
	case 1:
	default:
		return "", badRequest("content-length must not be repeated")
	}
	n, err := strconv.Atoi(declared[0].Value())
	switch {
	case err != nil, n < 0:
		return "", badRequest("Content-Length")
	case n > maxBody:
		return "", &problem{"malformed", sip.StatusMessageTooLarge, "Message Too Large"}
	case n > len(rest):
		return "", badRequest("the body is shorter than its Content-Length")
	}
	return rest[:n], nil
}

// wire is a message as it is sent.
func wire(msg sip.Message) []byte {
	var b bytes.Buffer
	b.Grow(2048)
	var all []sip.Header
	switch m := msg.(type) {
	case *sip.Request:
		m.StartLineWrite(&b)
		all = m.Headers()
	case *sip.Response:
		m.StartLineWrite(&b)
		all = m.Headers()
	}
	b.WriteString("\r\n")
	for _, h := range all {
		switch h := h.(type) {
		case *field:
			b.WriteString(h.raw)
		case *ancestor:
			continue
		default:
			b.WriteString(h.Name())
			b.WriteString(": ")
			b.WriteString(h.Value())
		}
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	b.Write(msg.Body())
	return b.Bytes()
}
