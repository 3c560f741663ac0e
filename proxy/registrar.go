package proxy

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"sync"
	"time"

	"consentgate/consent"
)

const (
	// maxBindings bounds the registrations of one side. Those beyond it pass as
	// they are and aren't known here: calls to them go to the side's first peer.
	maxBindings = 10000
	// maxBinding bounds what is remembered of one, in bytes of its URI, address
	// of record and Path.
	maxBinding = 2048
	// reserved is how long a Contact that is being registered keeps its alias:
	// a challenge and its answer take two transactions.
	reserved = 4 * lifetime
	// maxExpires caps what a registrar may say, against overflow.
	maxExpires = 30 * 24 * time.Hour
	// defaultExpires is used where nobody says (RFC 3261 section 10.2.1.1).
	defaultExpires = time.Hour
)

// Binding is a Contact that was registered through the gate (RFC 3261 section
// 10): who calls it at our address is led to the registrant's own.
type Binding struct {
	Trunk   string        `json:"trunk"`
	Party   consent.Party `json:"party"`   // who is behind the side that registered
	AOR     string        `json:"aor"`     // what was registered, without parameters
	Contact string        `json:"contact"` // URI, as the registrant wrote it
	Alias   alias         `json:"alias"`
	Source  Place         `json:"source"`         // where the REGISTER came from
	Path    []string      `json:"path,omitempty"` // of the registrant's side (RFC 3327)
	Expires time.Time     `json:"expires"`

	// Series and Instance tell who registers: the Call-ID of a user agent's
	// REGISTERs (RFC 3261 section 10.2), and its name with that of the flow where
	// it has one (RFC 5626 section 4.1).
	Series   string `json:"series"`
	Instance string `json:"instance,omitempty"`

	confirmed bool // the registrar said so; before that the alias is only reserved
}

// alias is by which name at our address the far side knows a registrant.
type alias struct {
	User  string `json:"user,omitempty"`
	Bulk  bool   `json:"bulk,omitempty"`  // every user that isn't another's (RFC 6140)
	Token string `json:"token,omitempty"` // tells bulk registrants apart, in URI parameter "cg"
}

// origin is where a registrant is. Contacts at one origin share an alias: their
// parameters alone tell them apart, on either side.
type origin struct{ user, at string }

// bulkUser stands for the user of a bulk registrant, which has none.
const bulkUser = ";bnc"

// tokenParam is a URI parameter of ours. Bulk Contacts have no user part that
// could tell two apart.
const tokenParam = "cg"

type bindingKey struct{ aor, contact string }

// spot joins an alias and a place, one to one.
type spot struct {
	alias    alias
	origin   origin
	bindings map[bindingKey]*Binding
	last     *Binding // confirmed last; nil: none
}

// registrations are those of one side's users. All methods are safe for
// concurrent use and none does I/O.
type registrations struct {
	changed func(Binding) // told of what must be kept, with zero Expires of what is gone; must not block

	mu       sync.Mutex
	byAlias  map[alias]*spot
	byOrigin map[origin]*spot
	count    int // bindings, reserved ones as well
	live     int // confirmed ones
}

func newRegistrations(changed func(Binding)) *registrations {
	return &registrations{changed: changed, byAlias: map[alias]*spot{}, byOrigin: map[origin]*spot{}}
}

// originOf is where a Contact's URI leads.
func originOf(uri string) origin {
	u := splitURI(uri)
	if isBulk(u) {
		u.user = bulkUser
	}
	at := strings.ToLower(u.scheme + ":" + u.hostport)
	for _, name := range []string{"transport", "maddr"} {
		at += ";" + strings.ToLower(param(u.rest, name))
	}
	return origin{u.user, at}
}

func isBulk(u uriParts) bool { return u.user == "" && hasParam(uriParams(u), "bnc") }

// uriParams are a URI's parameters without its headers.
func uriParams(u uriParts) string {
	params, _, _ := strings.Cut(u.rest, "?")
	return params
}

// reserve gives a Contact that is to be registered its alias. False: the table
// is full and the Contact passes without one. beside are the other Contacts of
// the same REGISTER.
func (r *registrations) reserve(b Binding, now time.Time, beside map[origin]bool) (alias, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := originOf(b.Contact)
	plain := at.alias()
	if holder := r.byAlias[plain]; r.byOrigin[at] == nil && holder != nil && !beside[holder.origin] && holder.isOf(&b) {
		return plain, true // it moved, and takes its alias along when that is confirmed
	}
	b.Expires = now.Add(reserved)
	if s := r.hold(b); s != nil {
		return s.alias, true
	}
	return alias{}, false
}

// hold makes sure that a binding is there, unconfirmed if it is new, and returns
// its spot; nil if the table is full, or the binding too long for it. The lock
// is held.
func (r *registrations) hold(b Binding) *spot {
	at, k := originOf(b.Contact), bindingKey{b.AOR, b.Contact}
	s := r.byOrigin[at]
	if s != nil && s.bindings[k] != nil {
		return s
	}
	if r.count >= maxBindings || len(b.Contact)+len(b.AOR)+len(strings.Join(b.Path, "")) > maxBinding {
		return nil
	}
	if s == nil {
		s = r.newSpot(r.newAlias(at), at)
	}
	b.Alias, b.confirmed = s.alias, false
	s.bindings[k] = &b
	r.count++
	return s
}

func (r *registrations) newSpot(a alias, at origin) *spot {
	s := &spot{alias: a, origin: at, bindings: map[bindingKey]*Binding{}}
	r.byAlias[a], r.byOrigin[at] = s, s
	return s
}

// alias is a registrant's own, without a mark.
func (o origin) alias() alias {
	if o.user == bulkUser {
		return alias{Bulk: true}
	}
	return alias{User: o.user}
}

// isOf tells whether a spot is of nobody but the user agent that registers b: the
// same series, or the same instance, for the same address of record.
func (s *spot) isOf(b *Binding) bool {
	for _, own := range s.bindings {
		if own.AOR != b.AOR || own.Series != b.Series && (b.Instance == "" || own.Instance != b.Instance) {
			return false
		}
	}
	return true
}

// newAlias is the registrant's own user part, unless another registrant has it:
// then it gets a mark behind it. A URI parameter wouldn't do, for one that only
// one of two URIs has doesn't make them different (RFC 3261 section 19.1.4), and
// the registrar would take the second for the first. The mark is a digest of the
// place, so that it is the same again after the table was lost.
func (r *registrations) newAlias(at origin) alias {
	digest := sha256.Sum256([]byte(at.user + "\x00" + at.at))
	text := strings.ToLower(base32.StdEncoding.EncodeToString(digest[:]))
	a := at.alias()
	for n := 8; r.byAlias[a] != nil; n++ {
		mark := text[:min(n, len(text))]
		if n > len(text) { // somebody took them all on purpose
			mark = randomToken()
		}
		if a.Bulk {
			a.Token = mark
		} else {
			a.User = at.user + "~" + mark
		}
	}
	return a
}

// confirm notes that a registrar has a binding, under that alias and until then.
func (r *registrations) confirm(b Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.adopt(b); s != nil {
		s.last = s.bindings[bindingKey{b.AOR, b.Contact}]
		r.changed(b)
	}
}

// adopt confirms a binding under the alias that it has; nil if the table is full
// or another has the alias. A user agent that moved has it no more where it was.
// The lock is held.
func (r *registrations) adopt(b Binding) *spot {
	at := originOf(b.Contact)
	if holder := r.byAlias[b.Alias]; r.byOrigin[at] == nil && holder != nil && holder.isOf(&b) {
		for k := range holder.bindings {
			r.drop(holder, k)
		}
	}
	if r.byOrigin[at] == nil && r.byAlias[b.Alias] == nil && r.count < maxBindings {
		r.newSpot(b.Alias, at)
	}
	s := r.byOrigin[at]
	if s == nil || s.alias != b.Alias || r.hold(b) == nil {
		return nil
	}
	held := s.bindings[bindingKey{b.AOR, b.Contact}]
	if !held.confirmed {
		r.live++
	}
	b.confirmed = true
	*held = b
	return s
}

// restore takes a binding that was kept, unless more is known by now: it may be
// read late.
func (r *registrations) restore(b Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := originOf(b.Contact)
	if s := r.byAlias[b.Alias]; s != nil && s.origin != at { // it moved
		return
	}
	if s := r.byOrigin[at]; s != nil {
		if now := s.bindings[bindingKey{b.AOR, b.Contact}]; now != nil && now.confirmed && now.Expires.After(b.Expires) {
			return
		}
	}
	if s := r.adopt(b); s != nil && (s.last == nil || s.last.Expires.Before(b.Expires)) {
		s.last = s.bindings[bindingKey{b.AOR, b.Contact}]
	}
}

// remove forgets one Contact of an address of record, or with "" all of them.
func (r *registrations) remove(aor, contact string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if contact != "" {
		if s := r.byOrigin[originOf(contact)]; s != nil {
			r.drop(s, bindingKey{aor, contact})
		}
		return
	}
	for _, s := range r.byOrigin {
		for k := range s.bindings {
			if k.aor == aor {
				r.drop(s, k)
			}
		}
	}
}

// expire forgets what ended before then.
func (r *registrations) expire(then time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.byOrigin {
		for k, b := range s.bindings {
			if b.Expires.Before(then) {
				r.drop(s, k)
			}
		}
	}
}

// drop forgets a binding; the lock is held.
func (r *registrations) drop(s *spot, k bindingKey) {
	b := s.bindings[k]
	if b == nil {
		return
	}
	delete(s.bindings, k)
	r.count--
	if b.confirmed {
		r.live--
		gone := *b
		gone.Expires = time.Time{}
		r.changed(gone)
	}
	if s.last == b {
		s.last = nil
		for _, other := range s.bindings {
			if other.confirmed && (s.last == nil || s.last.Expires.Before(other.Expires)) {
				s.last = other
			}
		}
	}
	if len(s.bindings) == 0 {
		delete(r.byAlias, s.alias)
		delete(r.byOrigin, s.origin)
	}
}

// registered is the number of confirmed bindings.
func (r *registrations) registered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}
