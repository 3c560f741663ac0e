package proxy

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// numbers are the CSeq numbers that a leg's peer gets. They are the far end's
// own, until the gate has sent requests of its own in the far end's name: from
// then on they are higher by as many (RFC 3261 section 12.2.1.1).
type numbers struct {
	sent  uint32 // the highest so far
	shift uint32 // requests of our own
}

// pass returns the number by which a request of the far end is passed on.
func (n *numbers) pass(m message) uint32 {
	out := cseqOf(m) + n.shift
	n.sent = max(n.sent, out)
	return out
}

// next is the number of a request of our own.
func (n *numbers) next() uint32 {
	n.sent++
	n.shift++
	return n.sent
}

// numbered is a CSeq header with that number. It is the same header where the
// number is the same, so its spelling stays.
func numbered(h sip.Header, n uint32) sip.Header {
	was, method, ok := parseCSeq(h.Value())
	if n == 0 || ok && was == n {
		return h
	}
	return spelled(h, strconv.FormatUint(uint64(n), 10)+" "+method)
}

// renumberRAck gives a PRACK's RAck the number that its receiver knows the INVITE
// by (RFC 3262 section 7.2).
func renumberRAck(out *sip.Request, was, is uint32) {
	f := strings.Fields(header(out, "rack"))
	if was == is || len(f) != 3 || f[1] != strconv.FormatUint(uint64(was), 10) {
		return
	}
	f[1] = strconv.FormatUint(uint64(is), 10)
	takes(out, ownNumbers)
	out.ReplaceHeader(spelled(headers(out, "rack")[0], strings.Join(f, " ")))
}
