// Package redact takes numbers, names, words and keys out of a SIP message so
// that it may be shown to somebody who looks for a fault. What it doesn't know
// it takes out. The same number, name or identifier becomes the same pseudonym
// as long as the process runs, so dialogs can still be followed.
package redact

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Redactor holds the key of the pseudonyms. Its methods may be called by several
// goroutines at once.
type Redactor struct{ key []byte }

// New draws a key that is never stored: pseudonyms of two processes have nothing
// in common.
func New() *Redactor {
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil { // documented never to fail
		panic(err)
	}
	return &Redactor{key}
}

// letters write pseudonyms: without digits none looks like a part of a number.
const letters = "abcdefghjkmnprst"

// pseudonym is short: 32 bits tell the numbers of a trace apart.
func (r *Redactor) pseudonym(kind, of string) string {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(of))
	sum := mac.Sum(nil)
	out := []byte(kind + "-")
	for _, b := range sum[:4] {
		out = append(out, letters[b>>4], letters[b&15])
	}
	return string(out)
}

// CallID is the pseudonym of a Call-ID. All of it is hashed: telephones put names
// of machines and people into both its parts.
func (r *Redactor) CallID(v string) string { return r.pseudonym("c", v) }

// Message is a message that may be shown, with line ends of CRLF and a
// Content-Length that fits. Folds and spaces between a header's parts aren't
// kept, and a message that is none becomes one line.
func (r *Redactor) Message(raw []byte) []byte {
	m := &message{Redactor: r}
	m.render(string(raw)) // to learn what the message says of people
	return []byte(m.render(string(raw)))
}

// message is what is known of one message. It is rendered twice: what one header
// says of a person is looked for in all others.
type message struct {
	*Redactor
	numbers map[string]string // digits to pseudonyms
	names   map[string]bool   // in lower case
}

// learn notes a number, or a name, that must stand nowhere else.
func (m *message) learn(v string) {
	if m.numbers == nil {
		m.numbers, m.names = map[string]string{}, map[string]bool{}
	}
	if d := digits(v); len(d) >= 5 {
		m.numbers[d] = m.pseudonym("n", d)
		if len(d) > 8 { // elsewhere it may begin otherwise: +49 30 and 030
			d = d[len(d)-7:]
			m.numbers[d] = m.pseudonym("n", d)
		}
	}
	for _, word := range strings.Fields(v) {
		if len(word) > 2 {
			m.names[strings.ToLower(word)] = true
		}
	}
}

// sweep is the second net: numbers of this message where its grammar has no place
// for them.
func (m *message) sweep(text string) string {
	known := slices.SortedFunc(maps.Keys(m.numbers), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, d := range known {
		text = strings.ReplaceAll(text, d, m.numbers[d])
	}
	return printable(text)
}

// printable keeps what a message says from a terminal that would obey it.
func printable(text string) string {
	out := []byte(text)
	for i, c := range out {
		switch {
		case c == '\n' || c == '\t' || c == '\r' && i+1 < len(out) && out[i+1] == '\n':
		case c < ' ' || c > '~':
			out[i] = '?'
		}
	}
	return string(out)
}

func (m *message) render(text string) string {
	text = strings.TrimLeft(text, "\r\n")
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := unfold(head)
	start, ok := m.startLine(lines[0])
	if !ok {
		return "(" + strconv.Itoa(len(text)) + " bytes that are no SIP)\r\n"
	}
	body = m.sweep(m.body(typeIn(lines[1:]), body))
	out := []string{start}
	for _, line := range lines[1:] {
		out = append(out, m.header(line, len(body)))
	}
	return m.sweep(strings.Join(out, "\r\n")) + "\r\n\r\n" + body
}

// typeIn is the Content-Type that these headers give.
func typeIn(lines []string) (kind string) {
	for _, line := range lines {
		if name, value, _ := strings.Cut(line, ":"); fullName(name) == "content-type" {
			kind = strings.TrimSpace(value)
		}
	}
	return kind
}

// unfold joins what RFC 3261 section 7.3.1 lets a header be spread over.
func unfold(head string) []string {
	var out []string
	for _, line := range strings.Split(strings.ReplaceAll(head, "\r\n", "\n"), "\n") {
		if len(out) > 0 && line != "" && strings.ContainsAny(line[:1], " \t") {
			out[len(out)-1] += " " + strings.TrimSpace(line)
			continue
		}
		out = append(out, line)
	}
	return out
}

func (m *message) startLine(line string) (string, bool) {
	f := strings.SplitN(line, " ", 3)
	switch {
	case len(f) < 2:
		return "", false
	case strings.EqualFold(f[0], "SIP/2.0"):
		if _, err := strconv.ParseUint(f[1], 10, 10); err != nil {
			return "", false
		}
		if len(f) < 3 {
			return f[0] + " " + f[1], true
		}
		return f[0] + " " + f[1] + " " + m.phrase(f[2]), true
	case len(f) < 3 || strings.Trim(f[0], upper) != "" || len(f[0]) > 20:
		return "", false
	case strings.EqualFold(f[2], "SIP/2.0"):
		return f[0] + " " + m.uri(f[1]) + " SIP/2.0", true
	}
	// Spaces within the Request-URI, or another version.
	return f[0] + " " + m.pseudonym("h", f[1]+" "+f[2]) + " SIP/2.0", true
}

const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// phrase is words for people to read: kept where they hold neither digits nor a
// name from elsewhere in the message.
func (m *message) phrase(v string) string {
	for _, word := range strings.FieldsFunc(v, func(c rune) bool { return c == ' ' || c == '-' || c == '_' || c == '/' || c == '\'' }) {
		if strings.Trim(strings.ToLower(word), alphabet) != "" || m.names[strings.ToLower(word)] {
			return m.pseudonym("h", v)
		}
	}
	return v
}

const alphabet = "abcdefghijklmnopqrstuvwxyz"

// digits are a text's digits, with escapes undone.
func digits(v string) string {
	var b strings.Builder
	for _, c := range unescape(v) {
		if c >= '0' && c <= '9' {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// unescape undoes %xx; what is no escape stands for itself.
func unescape(v string) string {
	if !strings.Contains(v, "%") {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			if n, err := strconv.ParseUint(v[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(v[i])
	}
	return b.String()
}
