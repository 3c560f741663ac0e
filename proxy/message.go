package proxy

import (
	"crypto/rand"
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// compact is RFC 3261 section 7.3.3 and the registry of short names.
var compact = map[string]string{"a": "accept-contact", "b": "referred-by", "c": "content-type",
	"d": "request-disposition", "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact",
	"k": "supported", "l": "content-length", "m": "contact", "n": "identity-info", "o": "event",
	"r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires",
	"y": "identity"}

// known holds the names of headers as nearly everybody spells them: looking for
// one in a message costs no new strings.
var known = map[string]string{}

func init() {
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Content-Type",
		"Content-Length", "Record-Route", "Route", "Allow", "Supported", "Require", "User-Agent", "Server", "Expires",
		"Session-Expires", "Min-SE", "Accept", "Reason", "P-Asserted-Identity", "Remote-Party-ID", "Privacy", "Diversion",
		"Authorization", "Proxy-Authorization", "Replaces", "Refer-To", "Event", "Date"} {
		known[name] = strings.ToLower(name)
	}
}

// canonical is a header's name in full and lower case.
func canonical(name string) string {
	if lower, ok := known[name]; ok {
		return lower
	}
	lower := strings.ToLower(name)
	if full, ok := compact[lower]; ok {
		return full
	}
	return lower
}

// message is what sip.Request and sip.Response have in common and we use.
type message interface {
	sip.Message
	Headers() []sip.Header
	ReplaceHeader(sip.Header) // the first of that name
}

// header returns the first header of that full lower-case name, "" if none.
func header(m message, name string) string {
	for _, h := range m.Headers() {
		if fullName(h) == name {
			return h.Value()
		}
	}
	return ""
}

// headers returns all headers of that full lower-case name, as they stand.
func headers(m message, name string) []sip.Header {
	var out []sip.Header
	for _, h := range m.Headers() {
		if fullName(h) == name {
			out = append(out, h)
		}
	}
	return out
}

// splitList cuts a header value at its top-level commas: not those in quotes or
// in angle brackets (RFC 3261 section 7.3.1).
func splitList(v string) []string {
	var out []string
	for {
		entry, rest, more := cutEntry(v)
		out = append(out, strings.TrimSpace(entry))
		if !more {
			return out
		}
		v = rest
	}
}

// cutEntry cuts the first entry off a list, as it is.
func cutEntry(v string) (entry, rest string, more bool) {
	quoted, angle := false, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			return v[:i], v[i+1:], true
		}
	}
	return v, "", false
}

// list returns every value of a list header, over all its lines.
func list(m message, name string) []string {
	var out []string
	for _, h := range headers(m, name) {
		for _, v := range splitList(h.Value()) {
			if v != "" {
				out = append(out, v)
			}
		}
	}
	return out
}

// nameAddr is a header value of the form "display" <uri>;params or uri;params
// (RFC 3261 section 20.10), cut but not changed.
type nameAddr struct{ display, uri, params string }

func parseNameAddr(v string) nameAddr {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			end := strings.IndexByte(v[i:], '>')
			if end < 0 {
				return nameAddr{uri: strings.TrimSpace(v[i+1:])}
			}
			return nameAddr{display: v[:i], uri: strings.TrimSpace(v[i+1 : i+end]), params: v[i+end+1:]}
		}
	}
	uri, params, found := strings.Cut(v, ";")
	if found {
		params = ";" + params
	}
	return nameAddr{uri: strings.TrimSpace(uri), params: params}
}

// splitParams cuts ;a=b;c at its semicolons, but for those in quotes.
func splitParams(params string) (out []string) {
	quoted, start := false, 0
	for i := 0; i < len(params); i++ {
		switch c := params[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			out = append(out, params[start:i])
			start = i + 1
		}
	}
	return append(out, params[start:])
}

// param returns a parameter of ;a=b;c, names compared without case.
func param(params, name string) string {
	for _, p := range splitParams(params) {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func tagOf(v string) string { return param(parseNameAddr(v).params, "tag") }

// splitURI cuts sip:user@host:port;params?headers. Other schemes come back in
// user, with no host.
type uriParts struct{ scheme, user, hostport, rest string }

func splitURI(uri string) uriParts {
	scheme, rest, ok := strings.Cut(uri, ":")
	if s := strings.ToLower(scheme); !ok || s != "sip" && s != "sips" {
		return uriParts{scheme: scheme, user: rest}
	}
	p := uriParts{scheme: scheme}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		p.user, rest = rest[:at], rest[at+1:]
	}
	if i := strings.IndexAny(rest, ";?"); i >= 0 {
		p.hostport, p.rest = rest[:i], rest[i:]
	} else {
		p.hostport = rest
	}
	return p
}

// address is where a URI points, if it names an IP address, and whether it names
// the port, too.
func (p uriParts) address() (at netip.AddrPort, explicit, ok bool) {
	host, port := p.hostport, uint16(5060)
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		n, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil {
			return netip.AddrPort{}, false, false
		}
		host, port, explicit = host[:i], uint16(n), true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return netip.AddrPortFrom(a.Unmap(), port), explicit, err == nil
}

// ourContact puts our address in place of a Contact's; hostport may have our
// transport behind it. The user part, the URI's
// parameters and the header's (feature tags, RFC 3840) stay: the far end knows
// its party by them.
func ourContact(v, hostport string) string {
	if strings.TrimSpace(v) == "*" {
		return v
	}
	na := parseNameAddr(v)
	u := splitURI(na.uri)
	user := ""
	if u.hostport != "" && u.user != "" {
		user = u.user + "@"
	}
	params, _, _ := strings.Cut(u.rest, "?")
	kept := ""
	for _, p := range strings.Split(params, ";") {
		k, _, _ := strings.Cut(p, "=")
		switch strings.ToLower(k) {
		case "", "transport", "maddr", "ttl": // of the peer's address, not of ours
		default:
			kept += ";" + p
		}
	}
	scheme := "sip:"
	if strings.EqualFold(u.scheme, "sips") && strings.HasSuffix(hostport, ";transport=tls") {
		scheme = "sips:" // RFC 3261 section 8.1.1.8
	}
	return na.display + "<" + scheme + user + hostport + kept + ">" + na.params
}

// newBranch makes a Via branch, RFC 3261 section 8.1.1.7.
func newBranch() string { return sip.RFC3261BranchMagicCookie + randomToken() }

// randomToken is 13 or more characters that nobody can guess.
func randomToken() string { return strings.ToLower(rand.Text()) }

// newResponse makes a response of our own to a request from that address: what
// RFC 3261 section 8.2.6 wants copied, as it stood. tag is the To tag where the
// request has none; "" makes one.
func newResponse(req *sip.Request, from netip.AddrPort, status int, reason, tag string) *sip.Response {
	res := sip.NewResponse(status, reason)
	for _, v := range received(req, from) {
		res.AppendHeader(v)
	}
	for _, h := range req.Headers() {
		switch fullName(h) {
		case "to":
			v := h.Value()
			if status > 100 && tagOf(v) == "" {
				if tag == "" {
					tag = randomToken()
				}
				v += ";tag=" + tag
			}
			res.AppendHeader(spelled(h, v))
		case "from", "call-id", "cseq":
			res.AppendHeader(h)
		}
	}
	res.SetBody(nil)
	return res
}

// hop is what changes from one side's message to the other's.
type hop struct {
	via      string              // our own Via, in a request
	contact  string              // our address towards the receiver, host:port
	contacts func(string) string // makes a Contact value; nil puts contact into it
	routes   []string
	maxHops  int
	cseq     uint32       // its number for the receiver
	vias     []sip.Header // in a response: the request's own
	recorded []sip.Header // in a response: the request's Record-Route
	body     []byte
}

func (h hop) contactOf(v string) string {
	if h.contacts != nil {
		return h.contacts(v)
	}
	return ourContact(v, h.contact)
}

// relayRequest makes the other side's request of one that came in: everything
// passes in its order but what belongs to a hop.
func relayRequest(in *sip.Request, uri sip.Uri, h hop) *sip.Request {
	out := sip.NewRequest(in.Method, uri)
	out.AppendHeader(sip.NewHeader("Via", h.via))
	for _, r := range h.routes {
		out.AppendHeader(sip.NewHeader("Route", r))
	}
	hops := false
	for _, x := range in.Headers() {
		switch fullName(x) {
		case "via", "route", "record-route":
		case "max-forwards":
			hops = true
			out.AppendHeader(spelled(x, strconv.Itoa(h.maxHops)))
		case "cseq":
			out.AppendHeader(numbered(x, h.cseq))
		case "contact":
			out.AppendHeader(spelled(x, h.contactOf(x.Value())))
		case "content-length":
			out.AppendHeader(spelled(x, strconv.Itoa(len(h.body))))
		default:
			out.AppendHeader(x)
		}
	}
	if !hops {
		out.AppendHeader(sip.NewHeader("Max-Forwards", strconv.Itoa(h.maxHops)))
	}
	h.finish(in, out)
	return out
}

// finish puts the body in, with a Content-Length if there was none.
func (h hop) finish(in, out message) {
	out.SetBody(h.body)
	if h.contacts != nil {
		takes(out, mapsContacts)
	}
	if cseqOf(in) != cseqOf(out) {
		takes(out, ownNumbers)
	}
}

// relayResponse makes the first side's response of one that came in from the
// other side.
func relayResponse(in *sip.Response, h hop) *sip.Response {
	out := sip.NewResponse(in.StatusCode, in.Reason)
	for _, v := range h.vias {
		out.AppendHeader(v)
	}
	for _, r := range h.recorded {
		out.AppendHeader(r)
	}
	for _, x := range in.Headers() {
		switch fullName(x) {
		case "via", "record-route":
		case "cseq":
			out.AppendHeader(numbered(x, h.cseq))
		case "contact":
			v := x.Value()
			if in.StatusCode < 300 || h.contacts != nil { // a redirection's Contacts are the message (RFC 3261 section 21.3)
				v = h.contactOf(v)
			}
			out.AppendHeader(spelled(x, v))
		case "content-length":
			out.AppendHeader(spelled(x, strconv.Itoa(len(h.body))))
		default:
			out.AppendHeader(x)
		}
	}
	h.finish(in, out)
	return out
}

func hasParam(params, name string) bool {
	for _, p := range splitParams(params) {
		if k, _, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(k), name) {
			return true
		}
	}
	return false
}
