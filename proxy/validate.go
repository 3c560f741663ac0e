package proxy

import (
	"strconv"

	"github.com/emiago/sipgo/sip"
)

// problem is why a message isn't taken. Status 0: dropped without an answer.
type problem struct {
	reason string // a metric's label
	status int
	text   string
}

// once are the headers that a message has one of; those of the second list may
// be missing.
var (
	once   = []string{"from", "to", "call-id", "cseq"}
	atMost = []string{"content-length", "max-forwards"}
)

// validate refuses what would be ambiguous later (RFC 3261 section 8.2, RFC
// 4475): two readers of one message must not see two calls in it. What is
// merely wrong passes: the far end judges it as it would without us.
func validate(req *sip.Request) *problem {
	if bad := countOnce(req); bad != "" {
		return badRequest(bad)
	}
	if !viasRead(req) {
		return badRequest("Via")
	}
	if _, method, ok := splitCSeq(req); !ok || method != string(req.Method) {
		return badRequest("CSeq")
	}
	for _, name := range []string{"from", "to"} {
		if !unambiguous(header(req, name)) {
			return badRequest(name)
		}
	}
	for _, h := range headers(req, "contact") {
		for _, entry := range splitList(h.Value()) {
			if !unambiguous(entry) {
				return badRequest("contact")
			}
		}
	}
	if tagOf(header(req, "from")) == "" {
		return badRequest("From has no tag")
	}
	if mf := header(req, "max-forwards"); mf != "" {
		if n, err := strconv.ParseUint(mf, 10, 32); err != nil {
			return badRequest("Max-Forwards")
		} else if n == 0 && !isOurPing(req) && !req.IsAck() {
			return &problem{"max_forwards", sip.StatusTooManyHops, "Too Many Hops"}
		}
	}
	return nil
}

// countOnce says what is wrong with the number of a message's headers, "" if
// nothing is.
func countOnce(m message) string {
	var n [6]int
	for _, h := range m.Headers() {
		name := fullName(h)
		for i := range n {
			if name == nameAt(i) {
				n[i]++
			}
		}
	}
	for i := range n {
		switch {
		case i < len(once) && n[i] != 1:
			return nameAt(i) + " must be there once"
		case n[i] > 1:
			return nameAt(i) + " must not be repeated"
		}
	}
	return ""
}

func nameAt(i int) string {
	if i < len(once) {
		return once[i]
	}
	return atMost[i-len(once)]
}

// readable reports whether a response can be told whose it is.
func readable(res *sip.Response) bool {
	_, _, ok := splitCSeq(res)
	return ok && countOnce(res) == "" && viasRead(res)
}

// viasRead reports whether a message's Vias can be read, and so the way back.
func viasRead(m message) bool {
	entries := 0
	for _, h := range headers(m, "via") {
		for _, entry := range splitList(h.Value()) {
			entries++
			if _, ok := parseVia(entry); !ok {
				return false
			}
		}
	}
	return entries > 0
}

// unambiguous reports whether a From, To or Contact can be read in one way only:
// quotes and brackets are closed, and without brackets no comma or question mark
// (RFC 3261 section 20).
func unambiguous(v string) bool {
	quoted, open, bracketed, special := false, false, false, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			if open {
				return false
			}
			open, bracketed = true, true
		case c == '>':
			if !open {
				return false
			}
			open = false
		case (c == ',' || c == '?') && !open && !bracketed:
			special = true
		}
	}
	return v != "" && !quoted && !open && (bracketed || !special)
}

// maxHops is the Max-Forwards to send on (RFC 3261 section 16.6 item 3).
func maxHops(req *sip.Request) int {
	n, err := strconv.Atoi(header(req, "max-forwards"))
	if err != nil {
		return 70
	}
	return max(n-1, 0)
}
