package scenario

import (
	"fmt"
	"strconv"
	"strings"
)

// message is a SIP message, as it is on the wire (RFC 3261 section 7).
type message struct {
	start   string
	headers []header
	body    string
}

type header struct{ name, value string }

// long are the names behind the compact ones.
var long = map[string]string{"v": "via", "f": "from", "t": "to", "m": "contact", "i": "call-id", "c": "content-type",
	"l": "content-length", "k": "supported", "s": "subject", "e": "content-encoding", "x": "session-expires",
	"r": "refer-to", "b": "referred-by", "o": "event", "u": "allow-events"}

func (h header) is(name string) bool {
	have := strings.ToLower(h.name)
	if l, ok := long[have]; ok {
		have = l
	}
	return have == strings.ToLower(name)
}

// parse reads a datagram. It is strict: the gate must send sound messages.
func parse(raw string) (*message, error) {
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		return nil, fmt.Errorf("it has no end of headers")
	}
	lines := strings.Split(head, "\r\n")
	m := &message{start: lines[0], body: body}
	for _, l := range lines[1:] {
		name, value, ok := strings.Cut(l, ":")
		if !ok || name == "" || strings.TrimSpace(name) != name {
			return nil, fmt.Errorf("%q isn't a header", l)
		}
		m.headers = append(m.headers, header{name, strings.TrimSpace(value)})
	}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		if n := len(m.all(name)); n == 0 || n > 1 && name != "Via" {
			return nil, fmt.Errorf("%d headers %s", n, name)
		}
	}
	if f := strings.Fields(m.get("CSeq")); len(f) != 2 || m.request() && f[1] != m.method() {
		return nil, fmt.Errorf("the CSeq is %q", m.get("CSeq"))
	}
	if n := m.get("Content-Length"); n != "" && n != strconv.Itoa(len(body)) {
		return nil, fmt.Errorf("Content-Length is %s, the body has %d bytes", n, len(body))
	}
	return m, nil
}

func (m *message) all(name string) (values []string) {
	for _, h := range m.headers {
		if h.is(name) {
			values = append(values, h.value)
		}
	}
	return values
}

// get is the first header of a name, "" where there is none.
func (m *message) get(name string) string {
	if all := m.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (m *message) add(name, value string) { m.headers = append(m.headers, header{name, value}) }

// set replaces a header, or adds it.
func (m *message) set(name, value string) {
	for i, h := range m.headers {
		if h.is(name) {
			m.headers[i].value = value
			return
		}
	}
	m.add(name, value)
}

func (m *message) request() bool { return !strings.HasPrefix(m.start, "SIP/2.0 ") }

func (m *message) status() int {
	n, err := strconv.Atoi(strings.Fields(m.start + " - -")[1])
	if m.request() || err != nil {
		return 0
	}
	return n
}

func (m *message) method() string {
	if m.request() {
		return strings.Fields(m.start)[0]
	}
	return strings.Fields(m.get("CSeq"))[1]
}

func (m *message) uri() string { return strings.Fields(m.start + " -")[1] }

// kind names a message in a scenario: INVITE, or 200 INVITE.
func (m *message) kind() string {
	if m.request() {
		return m.method()
	}
	return strconv.Itoa(m.status()) + " " + m.method()
}

func (m *message) String() string {
	var b strings.Builder
	b.WriteString(m.start + "\r\n")
	for _, h := range m.headers {
		b.WriteString(h.name + ": " + h.value + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(m.body), m.body)
	return b.String()
}

// param is a header parameter's value, outside the angle brackets.
func param(value, name string) string {
	if i := strings.LastIndexByte(value, '>'); i >= 0 {
		value = value[i+1:]
	}
	for _, p := range strings.Split(value, ";")[1:] {
		if k, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// address is the URI of a Contact, From or To.
func address(value string) string {
	if _, rest, ok := strings.Cut(value, "<"); ok {
		uri, _, _ := strings.Cut(rest, ">")
		return uri
	}
	uri, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(uri)
}
