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

// tokens are which uses of bearer tokens were written down.
type tokens struct {
	mu    sync.Mutex
	noted map[[sha256.Size]byte][]use // by the token's hash, the latest last
}

type use struct {
	from netip.Addr
	at   time.Time
}

func newTokens() *tokens { return &tokens{noted: map[[sha256.Size]byte][]use{}} }

// owner finds who has the token of a hash. It looks at all of them, so that the time
// it takes says nothing.
func (p *people) owner(sum [sha256.Size]byte) (u User, found bool) {
	for _, candidate := range p.users {
		if subtle.ConstantTimeCompare(sum[:], candidate.TokenSHA256) == 1 {
			u, found = candidate, true
		}
	}
	return u, found
}

// isNoted reports whether an entry stands for the token's use from there.
func (t *tokens) isNoted(sum [sha256.Size]byte, from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.noted[sum], func(u use) bool { return u.from == from && time.Since(u.at) < tokenNoted })
}

func (t *tokens) note(sum [sha256.Size]byte, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	others := slices.DeleteFunc(t.noted[sum], func(u use) bool { return u.from == from })
	t.noted[sum] = append(others[max(0, len(others)-tokenPlaces+1):], use{from, time.Now()})
}

// forget drops the uses of tokens that nobody has any more.
func (t *tokens) forget(p *people) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for sum := range t.noted {
		if _, found := p.owner(sum); !found {
			delete(t.noted, sum)
		}
	}
}

// bearer says whose the token is. A token's first use from an address, and one an
// hour from then on, is an entry in the audit log before it is good; failures
// are, as far as they aren't slowed down.
func (g *Gatekeeper) bearer(r *http.Request, proof string) (Principal, error) {
	token, ok := bearerToken(proof)
	sum := sha256.Sum256([]byte(token))
	u, found := g.people.Load().owner(sum)
	found = found && ok
	from := attempts.Place(address(r))
	p := Principal{Name: u.Name, Role: u.Role, Via: viaToken}
	if found && g.tokens.isNoted(sum, from) {
		return p, nil
	}
	err := g.firstUse(r, found, p, from)
	if err == nil {
		g.tokens.note(sum, from)
	}
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
		g.failed(r, "", viaToken)
		return ErrProof
	}
	defer try.Void()
	if err := g.noted(r, p); err != nil {
		return err
	}
	g.attempts.Met(p.Name, from)
	return nil
}
