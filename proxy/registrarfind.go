package proxy

import "strings"

// named returns whose Contact a URI at our address is, reserved ones as well.
// A spot has several only where they differ in parameters or address of record:
// those that the URI has decide.
func (r *registrations) named(a alias, uri, aor string) (Binding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.byAlias[a]
	if s == nil {
		return Binding{}, false
	}
	return s.choose(uriParams(splitURI(uri)), aor, false)
}

// called returns who is meant by a request to a user at our address. Only
// what the registrar has confirmed counts.
func (r *registrations) called(u uriParts) (Binding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	params := uriParams(u)
	for _, a := range []alias{{User: u.user}, {Bulk: true, Token: param(params, tokenParam)}} {
		if s := r.byAlias[a]; s != nil && s.last != nil && (u.user != "" || !a.Bulk) {
			return s.choose(params, s.last.AOR, true)
		}
	}
	return Binding{}, false
}

// choose prefers the binding whose parameters all came back, of that address of
// record, then the latest.
func (s *spot) choose(params, aor string, confirmed bool) (Binding, bool) {
	best, most := s.last, -1
	if s.last != nil && s.last.AOR == aor && s.last.matches(params) {
		return *s.last, true
	}
	for _, b := range s.bindings {
		points := 0
		if b.matches(params) {
			points += 2
		}
		if b.AOR == aor {
			points++
		}
		if (b.confirmed || !confirmed) && (points > most || points == most && best.Expires.Before(b.Expires)) {
			best, most = b, points
		}
	}
	if best == nil {
		return Binding{}, false
	}
	return *best, true
}

// matches tells whether all parameters that the far side got of a Contact's URI
// are among those.
func (b *Binding) matches(params string) bool {
	for _, p := range strings.Split(contactParams(b.Contact), ";") {
		k, v, _ := strings.Cut(p, "=")
		if k != "" && !strings.EqualFold(k, "bnc") && (!hasParam(params, k) || !strings.EqualFold(param(params, k), v)) {
			return false
		}
	}
	return true
}

// contactParams are the parameters that our Contact has of that URI.
func contactParams(uri string) string {
	return uriParams(splitURI(parseNameAddr(ourContact("<"+uri+">", "")).uri))
}
