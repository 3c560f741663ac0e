package proxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// via is one entry of a Via header (RFC 3261 section 20.42).
type via struct {
	front  string // up to the parameters, as it came
	params string // as they came, without the first semicolon
	sentBy string // host[:port]
	host   string
	port   uint16 // 0: none said
}

// parseVia reads an entry; false if it has no protocol, or nobody who sent it.
func parseVia(entry string) (via, bool) {
	front, params, _ := strings.Cut(entry, ";")
	v := via{front: front, params: params}
	protocol := strings.Split(front, "/")
	if len(protocol) != 3 {
		return v, false
	}
	f := strings.Fields(protocol[2]) // the transport, who sent it
	if len(f) != 2 || strings.TrimSpace(protocol[0]) == "" || strings.TrimSpace(protocol[1]) == "" {
		return v, false
	}
	v.sentBy, v.host = f[1], f[1]
	if hasPort(v.sentBy) {
		at := strings.LastIndexByte(v.sentBy, ':')
		v.host = v.sentBy[:at]
		n, err := strconv.ParseUint(v.sentBy[at+1:], 10, 16)
		if err != nil {
			return v, false
		}
		v.port = uint16(n)
	}
	return v, v.host != ""
}

// topVia is the first entry of all: who sent the request last.
func topVia(m message) (via, bool) {
	for _, h := range m.Headers() {
		if fullName(h) == "via" {
			entry, _, _ := cutEntry(h.Value())
			return parseVia(entry)
		}
	}
	return via{}, false
}

// serverKey tells a request's transaction (RFC 3261 section 17.2.3), the method
// last. An ACK has its INVITE's.
func serverKey(req *sip.Request) string {
	method := string(req.Method)
	if req.IsAck() {
		method = string(sip.INVITE)
	}
	v, _ := topVia(req)
	if branch := param(v.params, "branch"); strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) && branch != sip.RFC3261BranchMagicCookie {
		return strings.Join([]string{branch, withPort(v.sentBy), method}, "\n")
	}
	number, _, _ := splitCSeq(req)
	return strings.Join([]string{req.Recipient.String(), tagOf(header(req, "from")), header(req, "call-id"),
		strconv.FormatUint(uint64(number), 10), v.front, v.params, method}, "\n")
}

// clientKey tells the transaction of a request of ours, or of its response, by
// the branch that we made (RFC 3261 section 17.1.3).
func clientKey(m message, method string) string {
	v, _ := topVia(m)
	return param(v.params, "branch") + "\n" + method
}

// splitCSeq reads CSeq: a number below 2^31 and a method (RFC 3261 section
// 8.1.1.5).
func splitCSeq(m message) (number uint32, method string, ok bool) {
	return parseCSeq(header(m, "cseq"))
}

func parseCSeq(v string) (number uint32, method string, ok bool) {
	f := strings.Fields(v)
	if len(f) != 2 {
		return 0, "", false
	}
	n, err := strconv.ParseUint(f[0], 10, 31)
	return uint32(n), f[1], err == nil
}

// cseqOf is the number of a message's CSeq.
func cseqOf(m message) uint32 {
	n, _, _ := splitCSeq(m)
	return n
}

// received adds received and rport to the sender's Via (RFC 3261 section
// 18.2.1, RFC 3581 section 4), as the responses will carry it.
func received(req *sip.Request, from netip.AddrPort) []sip.Header {
	vias := headers(req, "via")
	if len(vias) == 0 {
		return nil
	}
	entry, others, more := cutEntry(vias[0].Value())
	if more {
		others = "," + others
	}
	v, _ := parseVia(entry)
	if strings.Trim(v.host, "[]") == from.Addr().String() && !hasParam(v.params, "rport") {
		return vias
	}
	var kept []string
	for _, p := range splitParams(v.params) {
		k, _, _ := strings.Cut(p, "=")
		switch k = strings.TrimSpace(k); {
		case strings.EqualFold(k, "rport"):
			p = fmt.Sprintf("rport=%d", from.Port())
		case strings.EqualFold(k, "received"), p == "" && v.params == "":
			continue
		}
		kept = append(kept, p)
	}
	top := v.front + ";" + strings.Join(append(kept, "received="+from.Addr().String()), ";")
	return append([]sip.Header{spelled(vias[0], top+others)}, vias[1:]...)
}
