package proxy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// registering is a REGISTER on its way (RFC 3261 section 10).
type registering struct {
	table   *registrations
	base    Binding  // what all Contacts of this REGISTER have in common
	ours    []string // host:port by which the far side knows us
	now     time.Time
	expires time.Duration // the request's Expires
	asked   []asked
	all     bool            // Contact: *
	beside  map[origin]bool // where this REGISTER's Contacts are
	beyond  func()
}

// asked is one Contact that is to be registered.
type asked struct {
	contact  string // URI, as the registrant wrote it
	alias    alias
	instance string
	expires  time.Duration
	listed   bool // the 2xx names it
}

// passRegister passes a REGISTER on with our address in place of each Contact's,
// and its responses back with the registrants' own.
func (t *transport) passRegister(tx *serverTx, w way) {
	req, registrar := tx.req, t.side.gate.registrar
	r := &registering{table: registrar.of(t.side), ours: t.side.other.addresses(), now: time.Now(),
		expires: seconds(header(req, "expires"), defaultExpires), beyond: registrar.beyond.Inc,
		base: Binding{Trunk: t.side.trunk.Name, Party: t.side.party, AOR: recordOf(header(req, "to")),
			Source: Place{Transport: t.transport, Addr: tx.from}, Path: list(req, "path"), Series: header(req, "call-id")}, beside: origins(list(req, "contact"))}
	// A Path behind us leads nowhere from the far side: like a Record-Route it
	// stays on its side, and we are the registrar's next hop.
	paths := headers(req, "path")
	t.passOn(tx, onward{way: w, uri: req.Recipient, routes: t.routesOn(req), without: "path",
		asking: r.asking, telling: eachContact(r.tell),
		heard: func(res, back *sip.Response) {
			if res == nil || !res.IsSuccess() {
				return
			}
			r.learn(res)
			for _, p := range paths { // RFC 3327 section 5.3
				back.AppendHeader(p)
			}
		}})
}

// origins are where Contacts are.
func origins(contacts []string) map[origin]bool {
	out := map[origin]bool{}
	for _, entry := range contacts {
		out[originOf(parseNameAddr(entry).uri)] = true
	}
	return out
}

// addresses are the host:port by which a side's peers may know us.
func (s *side) addresses() (out []string) {
	for _, t := range s.endpoints {
		out = append(out, t.hostport, t.local.String())
	}
	return out
}

// recordOf is an address of record without what may differ between two
// REGISTERs of it (RFC 3261 section 10.3 item 5).
func recordOf(to string) string {
	u := splitURI(parseNameAddr(to).uri)
	return strings.ToLower(u.scheme) + ":" + u.user + "@" + strings.ToLower(u.hostport)
}

// seconds reads an Expires value; what can't be read is as if it weren't there.
func seconds(v string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
	if err != nil {
		return otherwise
	}
	return min(time.Duration(n)*time.Second, maxExpires)
}

// eachContact changes every entry of a Contact header's value.
func eachContact(change func(string) string) func(string) string {
	return func(v string) string {
		all := splitList(v)
		for i, entry := range all {
			all[i] = change(entry)
		}
		return strings.Join(all, ", ")
	}
}

// asking makes the Contacts for the registrar with our address. It may be called
// again with another.
func (r *registering) asking(contact string) func(string) string {
	r.asked, r.all = nil, false
	return eachContact(func(entry string) string { return r.ask(entry, contact) })
}

// ask is a Contact as the registrar gets it.
func (r *registering) ask(entry, contact string) string {
	na := parseNameAddr(entry)
	u := splitURI(na.uri)
	switch {
	case strings.TrimSpace(entry) == "*":
		r.all = r.expires == 0
		return entry
	case u.hostport == "": // tel and the like: not reached through us
		return entry
	}
	b := r.base
	b.Contact, b.Instance = na.uri, instanceOf(na.params)
	a, ok := r.table.reserve(b, r.now, r.beside)
	if !ok {
		r.beyond()
		a = aliasIn(u)
	}
	r.asked = append(r.asked, asked{contact: na.uri, alias: a, instance: b.Instance, expires: seconds(param(na.params, "expires"), r.expires)})
	return a.contact(entry, contact)
}

// contact is a Contact's value with the alias for a user, at our address.
func (a alias) contact(entry, ours string) string {
	na := parseNameAddr(entry)
	u := splitURI(na.uri)
	params := uriParams(u)
	if a.Token != "" {
		params += ";" + tokenParam + "=" + a.Token
	}
	return ourContact(na.display+"<"+joinURI(u.scheme, a.User, u.hostport, params)+">"+na.params, ours)
}

func joinURI(scheme, user, hostport, rest string) string {
	if user != "" {
		user += "@"
	}
	return scheme + ":" + user + hostport + rest
}

// aliasIn is the alias that a URI at our address names.
func aliasIn(u uriParts) alias {
	if isBulk(u) {
		return alias{Bulk: true, Token: param(uriParams(u), tokenParam)}
	}
	return alias{User: u.user}
}

// tell is a Contact of a response as the registrant gets it: its own, and that of
// others that are registered through us, exactly as they were written. Whose
// else it may be passes as it is.
func (r *registering) tell(entry string) string {
	na := parseNameAddr(entry)
	if b, _ := r.whose(na.uri); b != "" {
		return na.display + "<" + b + ">" + na.params
	}
	return entry
}

// whose returns the Contact that a URI stands for, "" if it isn't one of ours,
// and its place in what was asked, -1 if it wasn't.
func (r *registering) whose(uri string) (string, int) {
	u := splitURI(uri)
	if !isOneOf(u, r.ours) {
		return "", -1
	}
	a := aliasIn(u)
	for i, c := range r.asked {
		if c.alias == a && (&Binding{Contact: c.contact}).matches(uriParams(u)) {
			return c.contact, i
		}
	}
	b, _ := r.table.named(a, uri, r.base.AOR)
	return b.Contact, -1
}

// isOneOf tells whether a URI is at one of those host:port.
func isOneOf(u uriParts, ours []string) bool {
	return u.hostport != "" && slices.ContainsFunc(ours, func(o string) bool { return withPort(o) == withPort(u.hostport) })
}

// withPort gives a host the port that it has where none is said.
func withPort(hostport string) string {
	if !hasPort(hostport) {
		hostport += ":5060"
	}
	return strings.ToLower(hostport)
}

// learn takes what the registrar has from its 2xx. It should name all bindings of
// the address of record; many name only the one that was asked for, or none, so
// what isn't named stays until it expires.
func (r *registering) learn(res *sip.Response) {
	if r.all {
		r.table.remove(r.base.AOR, "")
	}
	granted := header(res, "expires")
	for _, entry := range list(res, "contact") {
		na := parseNameAddr(entry)
		contact, i := r.whose(na.uri)
		switch {
		case i >= 0:
			r.asked[i].listed = true
			r.note(r.asked[i], seconds(param(na.params, "expires"), seconds(granted, r.asked[i].expires)))
		case contact != "":
			r.noteOther(contact, aliasIn(splitURI(na.uri)), seconds(param(na.params, "expires"), seconds(granted, r.expires)))
		}
	}
	for _, c := range r.asked {
		switch {
		case c.listed:
		case c.expires == 0:
			r.note(c, 0)
		default:
			r.note(c, seconds(granted, c.expires))
		}
	}
}

// note takes what became of a Contact of this REGISTER.
func (r *registering) note(c asked, expires time.Duration) {
	b := r.base
	b.Contact, b.Alias, b.Instance = c.contact, c.alias, c.instance
	r.until(b, expires)
}

// noteOther takes what the registrar says of another's Contact. Where that one
// is it said itself; for this address of record perhaps before we were here.
func (r *registering) noteOther(contact string, a alias, expires time.Duration) {
	if b, ok := r.table.named(a, contact, r.base.AOR); ok {
		b.AOR = r.base.AOR
		r.until(b, expires)
	}
}

func (r *registering) until(b Binding, expires time.Duration) {
	if expires == 0 {
		r.table.remove(b.AOR, b.Contact)
		return
	}
	b.Expires = r.now.Add(expires)
	r.table.confirm(b)
}

// instanceOf names a user agent and its flow, "" if it has no name (RFC 5626
// section 4.2).
func instanceOf(params string) string {
	name := param(params, "+sip.instance")
	if name == "" {
		return ""
	}
	return name + ";" + param(params, "reg-id")
}
