package proxy

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// problem is why a message isn't taken. Status 0: dropped without an answer.
type problem struct {
	reason string // a metric's label
	status int
	text   string
}

// validate refuses what would be ambiguous later (RFC 3261 section 8.2, RFC
// 4475): two readers of one message must not see two calls in it.
func validate(req *sip.Request) *problem {
	bad := func(text string) *problem {
		return &problem{"malformed", sip.StatusBadRequest, "Bad Request - " + text}
	}
	if !strings.EqualFold(req.SipVersion, "SIP/2.0") {
		return &problem{"version", sip.StatusVersionNotSupported, "Version Not Supported"}
	}
	for _, name := range []string{"from", "to", "call-id", "cseq"} {
		if n := len(headers(req, name)); n != 1 {
			return bad(name + " must be there once")
		}
	}
	for _, name := range []string{"content-length", "max-forwards"} {
		if len(headers(req, name)) > 1 {
			return bad(name + " must not be repeated")
		}
	}
	if len(headers(req, "via")) == 0 {
		return &problem{reason: "malformed"} // nowhere to answer to
	}
	number, method, ok := strings.Cut(strings.TrimSpace(header(req, "cseq")), " ")
	method = strings.TrimSpace(method)
	seq, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || method != string(req.Method) {
		return bad("CSeq")
	}
	if tagOf(header(req, "from")) == "" {
		return bad("From has no tag")
	}
	// sipgo reads CSeq by a single space; make it so.
	if canonicalCSeq := strconv.FormatUint(seq, 10) + " " + method; canonicalCSeq != header(req, "cseq") {
		req.ReplaceHeader(sip.NewHeader(headers(req, "cseq")[0].Name(), canonicalCSeq))
	}
	if mf := header(req, "max-forwards"); mf != "" {
		if n, err := strconv.ParseUint(mf, 10, 32); err != nil {
			return bad("Max-Forwards")
		} else if n == 0 && req.Method != sip.OPTIONS && req.Method != sip.ACK {
			return &problem{"max_forwards", sip.StatusTooManyHops, "Too Many Hops"}
		}
	}
	return nil
}

// maxHops is the Max-Forwards to send on (RFC 3261 section 16.6 item 3).
func maxHops(req *sip.Request) int {
	n, err := strconv.Atoi(header(req, "max-forwards"))
	if err != nil {
		return 70
	}
	return max(n-1, 0)
}

// cseqOf is the number of a message's CSeq.
func cseqOf(m message) uint32 {
	number, _, _ := strings.Cut(header(m, "cseq"), " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
