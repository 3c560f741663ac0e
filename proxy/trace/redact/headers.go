package redact

import (
	"strconv"
	"strings"
)

// compact is RFC 3261 section 7.3.3 and the registry of short names, as far as
// headers are treated here.
var compact = map[string]string{"b": "referred-by", "c": "content-type", "e": "content-encoding", "f": "from", "i": "call-id",
	"k": "supported", "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "t": "to", "u": "allow-events",
	"v": "via", "x": "session-expires", "y": "identity"}

func fullName(name string) string {
	lower := strings.ToLower(strings.TrimSpace(name))
	if full, ok := compact[lower]; ok {
		return full
	}
	return lower
}

// treatment renders a header's value.
type treatment func(m *message, v string) string

// treatments are the headers of which anything is kept. Others become a
// pseudonym: nobody knows what is in them.
var treatments = map[string]treatment{
	"from": addresses, "to": addresses, "contact": addresses, "p-asserted-identity": addresses,
	"p-preferred-identity": addresses, "remote-party-id": addresses, "diversion": addresses, "history-info": addresses,
	"refer-to": addresses, "referred-by": addresses, "p-called-party-id": addresses, "reply-to": addresses,
	"p-associated-uri": addresses, "route": addresses, "record-route": addresses, "path": addresses, "service-route": addresses,

	"call-id": callID, "in-reply-to": callIDs, "replaces": dialog, "target-dialog": dialog, "join": dialog,
	"authorization": credentials, "proxy-authorization": credentials, "www-authenticate": credentials,
	"proxy-authenticate": credentials, "authentication-info": credentials,
	"identity": removed, "via": vias, "reason": parameters, "warning": warning, "content-type": contentType,

	"cseq": counts, "rack": counts, "rseq": counts, "max-forwards": plainWords, "expires": plainWords,
	"min-expires": plainWords, "session-expires": plainWords, "min-se": plainWords, "retry-after": plainWords,
	"allow": plainWords, "allow-events": plainWords, "supported": plainWords, "require": plainWords, "proxy-require": plainWords,
	"unsupported": plainWords, "accept": plainWords, "accept-encoding": plainWords, "accept-language": plainWords,
	"content-encoding": plainWords, "content-disposition": plainWords, "event": plainWords, "subscription-state": plainWords,
	"privacy": plainWords, "user-agent": plainWords, "server": plainWords, "date": plainWords, "mime-version": plainWords,
	"recv-info": plainWords, "info-package": plainWords, "answer-mode": plainWords, "p-early-media": plainWords,
	"timestamp": plainWords, "priority": plainWords,
}

// header renders one line; length is that of the body as it will be.
func (m *message) header(line string, length int) string {
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimSpace(name)
	if !ok || name == "" || len(digits(name)) > 0 || strings.Trim(strings.ToLower(name), alphabet+"-_") != "" {
		return "X-Unreadable: " + m.pseudonym("h", line)
	}
	value = strings.TrimSpace(value)
	full := fullName(name)
	if full == "content-length" {
		return name + ": " + strconv.Itoa(length)
	}
	if value == "" {
		return name + ":"
	}
	if treat := treatments[full]; treat != nil {
		return name + ": " + treat(m, value)
	}
	return name + ": " + m.pseudonym("h", value)
}

func removed(*message, string) string { return "-" }

func callID(m *message, v string) string { return m.CallID(v) }

func callIDs(m *message, v string) string { return each(v, m.CallID) }

// dialog is a Call-ID and tags (RFC 3891).
func dialog(m *message, v string) string {
	id, params := cut(v, ';')
	return m.CallID(strings.TrimSpace(id)) + m.params(params)
}

// plainWords keeps each word that can be no number and no name of the message's.
// A number may be spread over several.
func plainWords(m *message, v string) string {
	all := digits(v)
	for d := range m.numbers {
		if strings.Contains(all, d) {
			return m.pseudonym("h", v)
		}
	}
	words := strings.Fields(v)
	for i, w := range words {
		words[i] = m.plain(w)
	}
	return strings.Join(words, " ")
}

// counts keeps numbers of up to 32 bits, too.
func counts(m *message, v string) string {
	words := strings.Fields(v)
	for i, w := range words {
		if _, err := strconv.ParseUint(w, 10, 32); err != nil {
			words[i] = m.plain(w)
		}
	}
	return strings.Join(words, " ")
}

// plain keeps a word of letters, signs and few digits. An escape or quotes could
// hide anything.
func (m *message) plain(w string) string {
	if bare := strings.ToLower(strings.Trim(w, "(),;")); m.names[bare] || len(digits(w)) > 6 || strings.ContainsAny(w, "%\"@<>") {
		return m.pseudonym("h", w)
	}
	return w
}

// parameters is a word with parameters, as Reason's.
func parameters(m *message, v string) string {
	return each(v, func(entry string) string {
		first, params := cut(entry, ';')
		return m.plain(strings.TrimSpace(first)) + m.params(params)
	})
}

// warning keeps the code and who warns.
func warning(m *message, v string) string {
	f := strings.SplitN(v, " ", 3)
	if len(f) < 3 {
		return m.pseudonym("h", v)
	}
	return m.plain(f[0]) + " " + m.hostPort(f[1]) + " \"" + m.phrase(strings.Trim(f[2], "\"")) + "\""
}

// contentType keeps the type; a boundary is made anew.
func contentType(m *message, v string) string {
	kind, _ := cut(v, ';')
	kind = m.plain(strings.TrimSpace(kind))
	if isMultipart(v) {
		return kind + ";boundary=" + boundary
	}
	return kind
}

func vias(m *message, v string) string {
	return each(v, func(entry string) string {
		first, params := cut(entry, ';')
		f := strings.Fields(first)
		if len(f) != 2 {
			return m.pseudonym("h", entry)
		}
		return m.plain(f[0]) + " " + m.hostPort(f[1]) + m.params(params)
	})
}

// keptCredentials are the parameters of a digest that say nothing of the
// password.
var keptCredentials = map[string]bool{"nonce": true, "algorithm": true, "qop": true, "nc": true, "stale": true}

// credentials keeps of a digest what a fault can be found by.
func credentials(m *message, v string) string {
	scheme, rest, _ := strings.Cut(v, " ")
	prefix := "Digest "
	if !strings.EqualFold(scheme, "Digest") {
		if !strings.Contains(scheme, "=") { // Authentication-Info has no scheme
			return m.pseudonym("h", scheme) + " -"
		}
		rest, prefix = v, ""
	}
	return prefix + each(rest, func(param string) string {
		k, val, _ := strings.Cut(param, "=")
		k, val = strings.ToLower(strings.TrimSpace(k)), strings.Trim(strings.TrimSpace(val), "\"")
		switch {
		case k == "username":
			return "username=\"" + m.user(val) + "\""
		case k == "realm":
			return "realm=\"" + m.hostPort(val) + "\""
		case k == "uri":
			return "uri=\"" + m.uri(val) + "\""
		case keptCredentials[k]:
			return k + "=\"" + strings.Map(token, val) + "\""
		case strings.Trim(k, alphabet) == "":
			return k + "=\"-\""
		}
		return m.pseudonym("h", k)
	})
}

// token drops what could end a quoted string, or a line.
func token(c rune) rune {
	if c < ' ' || c == '"' || c == '\\' || c > '~' {
		return -1
	}
	return c
}
