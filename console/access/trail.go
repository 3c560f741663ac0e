package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// Trail is where it is written down who got in and who didn't: the audit log.
type Trail interface {
	// LoggedIn returns once the entry is durable. Without it nobody gets in.
	LoggedIn(ctx context.Context, name, via string, from netip.Addr) error
	// LoginFailed has an empty name where no user has the one that was given.
	LoginFailed(ctx context.Context, name string, from netip.Addr, reason string) error
}

// noted writes down that somebody got in. Without the entry nobody does: access to
// personal data leaves a trace, or there is none (GDPR Art. 5(2), 32).
func (g *Gatekeeper) noted(r *http.Request, p Principal) error {
	if err := g.trail.LoggedIn(r.Context(), p.Name, p.Via, address(r)); err != nil {
		g.log.Error("a login is refused: it can't be written down", "via", p.Via, "error", err)
		return errors.Join(ErrNoTrail, err)
	}
	return nil
}

// failed writes down that somebody didn't get in. They don't either where that
// can't be.
func (g *Gatekeeper) failed(r *http.Request, name, reason string) {
	now, before := g.failures.another()
	if !now {
		return
	}
	if before > 0 {
		reason = fmt.Sprintf("%s; %d more since the last entry", reason, before)
	}
	if err := g.trail.LoginFailed(r.Context(), name, address(r), reason); err != nil {
		g.log.Error("a failed login can't be written down", "error", err)
	}
}

// failures bound how fast failed logins fill the log. Above that an entry stands for
// several. Names don't matter for it: who watches how long an answer takes would
// learn which exist.
type failures struct {
	limit  *rate.Limiter
	unsaid *atomic.Int64
}

func newFailures() failures { return failures{rate.NewLimiter(1, 100), new(atomic.Int64)} }

// another counts a failure; now: it gets an entry, which stands for before others.
func (f failures) another() (now bool, before int64) {
	if !f.limit.Allow() {
		f.unsaid.Add(1)
		return false, 0
	}
	return true, f.unsaid.Swap(0)
}
