package proxy

import (
	"html"
	"regexp"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// reginfoURI finds the URIs of a registration's state (RFC 3680 section 5.4).
var reginfoURI = regexp.MustCompile(`(<(?:[\w.-]+:)?uri>\s*)([^<\s]*)(\s*</)`)

// registrantsIn is a request's body for the other side. In the state of a
// registration a registrant looks for its own Contact: there the URIs that we
// registered for it are its own again.
func (t *transport) registrantsIn(req *sip.Request) []byte {
	kind, _, _ := strings.Cut(header(req, "content-type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/reginfo+xml") {
		return req.Body()
	}
	ours, table := t.side.addresses(), t.side.gate.registrar.of(t.side.other)
	return reginfoURI.ReplaceAllFunc(req.Body(), func(element []byte) []byte {
		part := reginfoURI.FindSubmatch(element)
		uri := html.UnescapeString(string(part[2]))
		u := splitURI(uri)
		if !isOneOf(u, ours) {
			return element
		}
		b, ok := table.named(aliasIn(u), uri, "")
		if !ok {
			return element
		}
		return []byte(string(part[1]) + html.EscapeString(b.Contact) + string(part[3]))
	})
}
