package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"mime"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"consentgate/console/access/passwords"
)

const (
	// CSRFField and CSRFHeader are where requests bring the session's CSRF token.
	CSRFField  = "csrf"
	CSRFHeader = "X-CSRF-Token"
	// UnattendedHeader, with any value, marks what a page asks by itself: it
	// doesn't keep a session from being idle.
	UnattendedHeader = "X-Unattended"

	// perPerson and inAll bound the sessions; one more ends the one that was idle
	// longest.
	perPerson = 10
	inAll     = 1000
	// maxForm bounds a form that brings a CSRF token, in bytes.
	maxForm = 64 << 10
)

// SessionLimits say when sessions end by themselves.
type SessionLimits struct {
	Idle    time.Duration // without requests
	Longest time.Duration // whatever comes
}

// sessions are those there are. They are in memory alone: a restart ends all of them.
type sessions struct {
	limits SessionLimits
	cookie http.Cookie             // but for its value
	people *atomic.Pointer[people] // who may have one

	mu sync.Mutex
	by map[[sha256.Size]byte]*session // by the hash of its id, which only the browser has
}

type session struct {
	principal Principal
	password  passwords.Hash // that it began with; zero: with none
	csrf      string
	began     time.Time
	used      time.Time // guarded by sessions.mu
}

func newSessions(l SessionLimits, secure bool, who *atomic.Pointer[people]) *sessions {
	c := http.Cookie{Name: "consentgate", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if secure { // the prefix has browsers take it from nobody else (RFC 6265bis section 4.1.3.2)
		c.Name, c.Secure = "__Host-consentgate", true
	}
	return &sessions{limits: l, cookie: c, people: who, by: map[[sha256.Size]byte]*session{}}
}

// token makes 256 random bits.
func token() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// begin makes a session under an id that nobody had before, and ends the one that
// the request came by. False: the users changed while the proof was looked at.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request, p Principal, password passwords.Hash) bool {
	id, now := token(), time.Now()
	s.mu.Lock()
	s.drop(r)
	good := s.people.Load().stand(p, password) // under mu: review has yet to come, or was before
	if good {
		s.makeRoom(p, now)
		s.by[sha256.Sum256([]byte(id))] = &session{principal: p, password: password, csrf: token(), began: now, used: now}
	}
	s.mu.Unlock()
	if !good {
		return false
	}
	c := s.cookie
	c.Value = id
	http.SetCookie(w, &c)
	return true
}

// review ends the sessions that the users of now don't stand for, and says how many.
func (s *sessions) review() (ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.people.Load()
	for key, x := range s.by {
		if !who.stand(x.principal, x.password) {
			delete(s.by, key)
			ended++
		}
	}
	return ended
}

// end ends the session that the request comes by, and has the browser forget it.
func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.drop(r)
	s.mu.Unlock()
	c := s.cookie
	c.MaxAge = -1
	http.SetCookie(w, &c)
}

// of finds the session that a request comes by, and counts the request as its use.
func (s *sessions) of(r *http.Request) (session, bool) {
	c, err := r.Cookie(s.cookie.Name)
	if err != nil {
		return session{}, false
	}
	key, now := sha256.Sum256([]byte(c.Value)), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.by[key]
	if found == nil {
		return session{}, false
	}
	if s.over(found, now) {
		delete(s.by, key)
		return session{}, false
	}
	if r.Header.Get(UnattendedHeader) == "" {
		found.used = now
	}
	return *found, true
}

func (s *sessions) over(x *session, now time.Time) bool {
	return now.Sub(x.used) >= s.limits.Idle || now.Sub(x.began) >= s.limits.Longest
}

// drop forgets the session that a request comes by. mu is held.
func (s *sessions) drop(r *http.Request) {
	if c, err := r.Cookie(s.cookie.Name); err == nil {
		delete(s.by, sha256.Sum256([]byte(c.Value)))
	}
}

// makeRoom forgets sessions that are over, and one more where there are too many.
// mu is held.
func (s *sessions) makeRoom(p Principal, now time.Time) {
	theirs := 0
	var oldest, theirOldest [sha256.Size]byte
	for key, x := range s.by {
		if s.over(x, now) {
			delete(s.by, key)
			continue
		}
		if old := s.by[oldest]; old == nil || x.used.Before(old.used) {
			oldest = key
		}
		if x.principal.Name != p.Name {
			continue
		}
		theirs++
		if old := s.by[theirOldest]; old == nil || x.used.Before(old.used) {
			theirOldest = key
		}
	}
	switch {
	case theirs >= perPerson:
		delete(s.by, theirOldest)
	case len(s.by) >= inAll:
		delete(s.by, oldest)
	}
}

// brings reports whether a request brings the session's CSRF token.
func (s session) brings(r *http.Request) bool {
	got := r.Header.Get(CSRFHeader)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); got == "" && err == nil && kind == "application/x-www-form-urlencoded" {
		r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
		if r.ParseForm() != nil {
			return false
		}
		got = r.PostForm.Get(CSRFField) // never of the query
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(s.csrf)) == 1
}
