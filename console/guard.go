package console

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"consentgate/console/access"
)

// Routes are handlers by the pattern they serve (net/http.ServeMux).
type Routes = map[string]http.Handler

// Authenticator knows who makes a request.
type Authenticator interface {
	// Authenticate returns who the request comes from. access.ErrNobody: it brings no
	// proof at all; other errors: it brings one that isn't good, or is forged.
	// access.Refusal says what answers them.
	Authenticate(r *http.Request) (access.Principal, error)
}

// Denier answers a request that may not pass, or can't be served, in the way of
// those who ask: a problem to programs, a page to people.
type Denier func(w http.ResponseWriter, r *http.Request, status int)

// guard joins the handlers of both parts into one, in front of which everybody
// proves who they are. What the table doesn't have isn't served, and what it has
// must be there.
func guard(c Config) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	served := map[string]bool{}
	var errs []error
	for _, part := range []Part{c.API, c.Page} {
		for pattern, h := range part.Routes {
			if _, ok := access.Table[pattern]; !ok || served[pattern] {
				errs = append(errs, fmt.Errorf("route %q isn't in the table of roles, or is there twice", pattern))
				continue
			}
			served[pattern] = true
			mux.Handle(pattern, admit(pattern, c, h))
		}
	}
	for pattern := range access.Table {
		if !served[pattern] && (c.Page.Routes != nil || strings.Contains(pattern, " /api/")) {
			errs = append(errs, fmt.Errorf("nothing serves route %q", pattern))
		}
	}
	return mux, errors.Join(errs...)
}

// admit lets those pass to h whom the table lets use its route.
func admit(pattern string, c Config, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := c.Who.Authenticate(r)
		switch {
		case err == nil && access.May(pattern, p.Role):
			r = r.WithContext(access.With(r.Context(), p))
		case access.Public(pattern):
		case err != nil:
			c.denier(r)(w, r, access.Refusal(w, err))
			return
		default:
			c.denier(r)(w, r, http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
