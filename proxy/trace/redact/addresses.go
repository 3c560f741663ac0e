package redact

import (
	"net/netip"
	"strings"
)

// cut cuts at the first such character outside of quotes and angle brackets; the
// rest begins with it.
func cut(v string, at byte) (before, rest string) {
	quoted, angle := false, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == at && !angle:
			return v[:i], v[i:]
		}
	}
	return v, ""
}

// each renders the entries of a list.
func each(v string, render func(string) string) string {
	var out []string
	for {
		entry, rest := cut(v, ',')
		if entry = strings.TrimSpace(entry); entry != "" {
			out = append(out, render(entry))
		}
		if rest == "" {
			return strings.Join(out, ", ")
		}
		v = rest[1:]
	}
}

// addresses renders name-addr and addr-spec (RFC 3261 section 25.1).
func addresses(m *message, v string) string {
	return each(v, func(entry string) string {
		if entry == "*" { // Contact of a deregistration
			return entry
		}
		before, rest := cutAngle(entry)
		if rest == "" { // the parameters are the header's (section 20.10)
			uri, params := cut(entry, ';')
			return m.uri(strings.TrimSpace(uri)) + m.params(params)
		}
		inner, after, closed := strings.Cut(rest[1:], ">")
		if !closed {
			return m.pseudonym("h", entry)
		}
		out := "<" + m.uri(strings.TrimSpace(inner)) + ">"
		if name := strings.TrimSpace(before); name != "" {
			name = strings.ReplaceAll(strings.Trim(name, "\""), "\\", "")
			m.learn(name)
			out = "\"" + m.pseudonym("d", strings.ToLower(name)) + "\" " + out
		}
		if _, params := cut(after, ';'); params != "" {
			out += m.params(params)
		}
		return out
	})
}

// cutAngle cuts at the first < outside of quotes.
func cutAngle(v string) (before, rest string) {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch {
		case quoted && v[i] == '\\':
			i++
		case v[i] == '"':
			quoted = !quoted
		case v[i] == '<' && !quoted:
			return v[:i], v[i:]
		}
	}
	return v, ""
}

// uri keeps scheme and host.
func (m *message) uri(v string) string {
	scheme, rest, ok := strings.Cut(v, ":")
	scheme = strings.ToLower(scheme)
	switch {
	case ok && scheme == "tel":
		number, params := cut(rest, ';')
		return "tel:" + m.user(number) + m.params(params)
	case ok && scheme == "urn" && strings.HasPrefix(strings.ToLower(rest), "service:"):
		return "urn:" + m.plain(rest)
	case !ok || scheme != "sip" && scheme != "sips":
		return m.pseudonym("h", v)
	}
	rest, headers, asked := strings.Cut(rest, "?")
	user, host, both := lastCut(rest)
	if !both {
		host = rest
	}
	host, params, _ := strings.Cut(host, ";")
	out := scheme + ":"
	if both {
		out += m.user(user) + "@"
	}
	out += m.hostPort(host)
	if params != "" {
		out += m.params(";" + params)
	}
	if asked {
		out += "?" + m.pseudonym("h", headers)
	}
	return out
}

// lastCut cuts at the last @: a peer that writes more than one may mean any.
func lastCut(v string) (user, host string, ok bool) {
	if i := strings.LastIndexByte(v, '@'); i >= 0 {
		return v[:i], v[i+1:], true
	}
	return v, "", false
}

// user is the pseudonym of a user part. How a number begins is kept: whether the
// plus is there is what many faults are about. Its parameters (RFC 3398, RFC
// 4694) and a password become another pseudonym.
func (m *message) user(v string) string {
	user, more := v, ""
	if i := strings.IndexAny(v, ";:"); i >= 0 {
		user, more = v[:i], ";"+m.pseudonym("h", v[i:])
	}
	plain := unescape(user)
	number := strings.Map(func(c rune) rune {
		if strings.ContainsRune("-.() ", c) { // visual separators, RFC 3966
			return -1
		}
		return c
	}, plain)
	m.learn(plain)
	if d := strings.TrimPrefix(number, "+"); d != "" && strings.Trim(d, "0123456789*#abcdABCD") == "" && digits(d) != "" {
		switch {
		case d != number:
			return "+" + m.pseudonym("n", d) + more
		case strings.HasPrefix(d, "00"):
			return "00" + m.pseudonym("n", d[2:]) + more
		}
		return m.pseudonym("n", d) + more
	}
	return m.pseudonym("u", strings.ToLower(plain)) + more
}

// hostPort keeps an IP address, and a domain that can't be a number.
func (m *message) hostPort(v string) string {
	host, port := v, ""
	if i := strings.LastIndexByte(v, ':'); i > strings.LastIndexByte(v, ']') {
		host, port = v[:i], v[i:]
	}
	if port != "" && (len(port) > 6 || strings.Trim(port, ":0123456789") != "") {
		return m.pseudonym("h", v)
	}
	if isAddress(host) {
		return v
	}
	if strings.Trim(strings.ToLower(host), alphabet+"0123456789.-_") != "" || strings.Trim(host, "0123456789.-_") == "" || len(digits(host)) > 4 {
		return m.pseudonym("h", host) + port
	}
	return v
}

func isAddress(host string) bool {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && a.Zone() == ""
}

// keptParams are parameters whose values are words of the protocol, counts or
// addresses of machines.
var keptParams = map[string]bool{"transport": true, "lr": true, "user": true, "ob": true, "maddr": true, "ttl": true, "q": true,
	"expires": true, "reason": true, "counter": true, "privacy": true, "screen": true, "party": true, "id-type": true,
	"index": true, "rc": true, "mp": true, "np": true, "rport": true, "received": true, "alias": true, "keep": true, "cause": true,
	"method": true, "npdi": true, "noa": true, "early-only": true, "refresher": true, "reg-id": true, "limit": true, "bnc": true}

// params renders ;name=value and so on.
func (m *message) params(v string) string {
	out := ""
	for v != "" {
		var p string
		p, v = cut(v[1:], ';')
		name, value, has := strings.Cut(p, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case name == "":
		case name == "tag" || name == "from-tag" || name == "to-tag" || name == "local-tag" || name == "remote-tag":
			out += ";" + name + "=" + m.pseudonym("t", value)
		case name == "branch":
			cookie := ""
			if strings.HasPrefix(value, "z9hG4bK") { // RFC 3261 section 8.1.1.7
				cookie = "z9hG4bK"
			}
			out += ";branch=" + cookie + m.pseudonym("b", value)
		case name == "text":
			out += ";text=\"" + m.phrase(strings.Trim(value, "\"")) + "\""
		case !keptParams[name]:
			out += ";" + m.pseudonym("h", p)
		case !has:
			out += ";" + name
		case isAddress(value):
			out += ";" + name + "=" + value
		default:
			out += ";" + name + "=" + m.plain(value)
		}
	}
	return out
}
