package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

// message is a SIP message as far as a party looks into it.
type message struct {
	text    string // all of it
	method  string // of a request
	status  int    // of a response
	vias    []string
	from    string
	to      string
	callID  string
	cseq    uint32
	of      string // CSeq's method
	contact string
	body    string
}

// parse reads a message; false if it isn't one.
func parse(text string) (*message, bool) {
	head, body, ok := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	first := strings.SplitN(lines[0], " ", 3)
	if !ok || len(first) != 3 {
		return nil, false
	}
	m := &message{text: text, body: body}
	if first[0] == "SIP/2.0" {
		n, err := strconv.Atoi(first[1])
		if err != nil {
			return nil, false
		}
		m.status = n
	} else {
		m.method = first[0]
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		m.take(name, strings.TrimSpace(value))
	}
	return m, m.callID != "" && len(m.vias) > 0
}

func (m *message) take(name, value string) {
	switch name {
	case "Via":
		m.vias = append(m.vias, value)
	case "From":
		m.from = value
	case "To":
		m.to = value
	case "Call-ID":
		m.callID = value
	case "Contact":
		m.contact = strings.Trim(value, "<>")
	case "CSeq":
		number, method, _ := strings.Cut(value, " ")
		n, err := strconv.ParseUint(number, 10, 32)
		if err == nil {
			m.cseq, m.of = uint32(n), method
		}
	}
}

// branch is that of the topmost Via.
func (m *message) branch() string {
	_, b, _ := strings.Cut(m.vias[0], "branch=")
	b, _, _ = strings.Cut(b, ";")
	return b
}

// tagged reports whether a From or To value has a tag.
func tagged(v string) bool { return strings.Contains(v, ";tag=") }

// reply makes a response. to is its To value, more are headers.
func (m *message) reply(status int, to, more, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", status, phrases[status])
	for _, v := range m.vias {
		b.WriteString("Via: " + v + "\r\n")
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n%s", m.from, to, m.callID, m.cseq, m.of, more)
	return b.String() + tail(body, "application/sdp")
}

var phrases = map[int]string{100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily",
	404: "Not Found", 407: "Proxy Authentication Required", 481: "Call/Transaction Does Not Exist", 486: "Busy Here",
	487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 503: "Service Unavailable"}

// tail is the end of a message, from its body's headers on.
func tail(body, kind string) string {
	if body == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body)
}

// mediaPort is the port that a description names, 0 for none.
func mediaPort(body string) int {
	_, rest, ok := strings.Cut(body, "m=audio ")
	if !ok {
		return 0
	}
	text, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
