package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"consentgate/console/access/attempts"
)

const (
	// tokenNoted is how long one entry in the audit log stands for a token's uses
	// from an address.
	tokenNoted = time.Hour
	// tokenPlaces are how many addresses of a token that is remembered for.
	tokenPlaces = 16
)

// tokens are the bearer tokens of users, and which uses were written down.
type tokens struct {
	users []User

	mu    sync.Mutex
	noted map[string][]use // by user, the latest last
}

type use struct {
	from netip.Addr
	at   time.Time
}

func newTokens(users []User) *tokens {
	return &tokens{users: slices.DeleteFunc(slices.Clone(users), func(u User) bool { return len(u.TokenSHA256) != sha256.Size }),
		noted: map[string][]use{}}
}

// owner finds whose token it is. It looks at all of them, so that the time it takes
// says nothing.
func (t *tokens) owner(token string) (u User, found bool) {
	sum := sha256.Sum256([]byte(token))
	for _, candidate := range t.users {
		if subtle.ConstantTimeCompare(sum[:], candidate.TokenSHA256) == 1 {
			u, found = candidate, true
		}
	}
	return u, found
}

// isNoted reports whether an entry stands for the token's use from there.
func (t *tokens) isNoted(name string, from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.noted[name], func(u use) bool { return u.from == from && time.Since(u.at) < tokenNoted })
}

func (t *tokens) note(name string, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	others := slices.DeleteFunc(t.noted[name], func(u use) bool { return u.from == from })
	t.noted[name] = append(others[max(0, len(others)-tokenPlaces+1):], use{from, time.Now()})
}

// bearer says whose the token is. A token's first use from an address, and one an
// hour from then on, is an entry in the audit log before it is good; failures
// are, as far as they aren't slowed down.
func (g *Gatekeeper) bearer(r *http.Request, proof string) (Principal, error) {
	token, ok := bearerToken(proof)
	u, found := g.tokens.owner(token)
	found = found && ok
	from := attempts.Place(address(r))
	p := Principal{Name: u.Name, Role: u.Role, Via: "token"}
	if found && g.tokens.isNoted(u.Name, from) {
		return p, nil
	}
	err := g.firstUse(r, found, p, from)
	g.logins.WithLabelValues(outcome(err)).Inc()
	if err != nil {
		return Principal{}, err
	}
	return p, nil
}

func (g *Gatekeeper) firstUse(r *http.Request, found bool, p Principal, from netip.Addr) error {
	try, wait := g.attempts.Begin("", from)
	if wait > 0 && !(found && g.attempts.Knows(p.Name, from)) {
		return &TooSoon{wait}
	}
	if !found {
		g.failed(r, "", "token")
		return ErrProof
	}
	defer try.Void()
	if err := g.noted(r, p); err != nil {
		return err
	}
	g.attempts.Met(p.Name, from)
	g.tokens.note(p.Name, from)
	return nil
}
