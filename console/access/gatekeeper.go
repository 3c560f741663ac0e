package access

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"consentgate/console/access/attempts"
	"consentgate/console/access/oidc"
	"consentgate/console/access/passwords"
)

// User is somebody of the configuration who may log in.
type User struct {
	Name        string
	Role        Role
	Password    passwords.Hash // zero: none
	TokenSHA256 []byte         // of the bearer token; nil: none
}

// Config is what a Gatekeeper needs.
type Config struct {
	Users      []User
	Sessions   SessionLimits
	TLS        bool         // the console is served over TLS: cookies are Secure
	OIDC       *oidc.Config // nil: no provider of identities
	Trail      Trail
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Ways to prove who one is, as the audit log has them.
const (
	viaPassword = "password"
	viaToken    = "token"
	viaOIDC     = "oidc"
)

// Gatekeeper knows who somebody is: by bearer token, or by a session that began
// with a password or at a provider of identities. It is safe for concurrent use
// and has no goroutine.
type Gatekeeper struct {
	people   *atomic.Pointer[people]
	checker  *passwords.Checker
	attempts *attempts.Attempts
	sessions *sessions
	tokens   *tokens
	origins  http.CrossOriginProtection
	oidc     *oidc.Client // nil: none
	flows    flows
	trail    Trail
	failures failures
	log      *slog.Logger
	logins   *prometheus.CounterVec
}

// New makes a Gatekeeper.
func New(c Config) *Gatekeeper {
	who := &atomic.Pointer[people]{}
	who.Store(newPeople(c.Users))
	g := &Gatekeeper{people: who, checker: passwords.NewChecker(), attempts: attempts.New(),
		sessions: newSessions(c.Sessions, c.TLS, who), tokens: newTokens(), flows: newFlows(c.TLS), trail: c.Trail, failures: newFailures(), log: c.Log,
		logins: promauto.With(c.Registerer).NewCounterVec(prometheus.CounterOpts{Name: "consentgate_logins_total",
			Help: "Logins to the console, by how they ended. Bearer tokens count once an hour and address where they are good."}, []string{"outcome"})}
	if c.OIDC != nil {
		g.oidc = oidc.New(*c.OIDC)
	}
	for _, outcome := range outcomes {
		g.logins.WithLabelValues(outcome)
	}
	return g
}

// Authenticate says who makes a request. ErrNobody: it brings no proof;
// other errors: Refusal says what they are to the one who asked.
//
// What comes by a session and isn't a mere question (RFC 9110 section 9.2.1) must
// come from our own page and bring the session's CSRF token, in the form field
// CSRFField or the header CSRFHeader. Browsers add no bearer tokens by themselves,
// so requests with one need neither.
func (g *Gatekeeper) Authenticate(r *http.Request) (Principal, error) {
	if proof := r.Header.Get("Authorization"); proof != "" {
		return g.bearer(r, proof)
	}
	if err := g.origins.Check(r); err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	s, ok := g.sessions.of(r)
	if !ok {
		return Principal{}, ErrNobody
	}
	if !safe(r.Method) && !s.brings(r) {
		return Principal{}, fmt.Errorf("%w: the CSRF token is missing or another session's", ErrForged)
	}
	return s.principal, nil
}

// safe are the methods of mere questions.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// LogIn begins a session for who knows a user's password, and sets its cookie.
// The session that the request came by ends. Errors are for Refusal: ErrDenied
// without a word on whether there is such a user.
func (g *Gatekeeper) LogIn(w http.ResponseWriter, r *http.Request, name, password string) error {
	err := g.logIn(w, r, name, password)
	g.logins.WithLabelValues(outcome(err)).Inc()
	return err
}

func (g *Gatekeeper) logIn(w http.ResponseWriter, r *http.Request, name, password string) error {
	if err := g.fromOurPage(r); err != nil {
		return err
	}
	if name == "" || len(name) > MaxName || len(password) > passwords.MaxLength {
		return ErrDenied
	}
	try, wait := g.attempts.Begin(name, address(r))
	if wait > 0 {
		return &TooSoon{wait}
	}
	u, good, err := g.check(r.Context(), name, password, try.Acquainted)
	if err != nil {
		try.Void()
		return err
	}
	if !good {
		g.failed(r, u.Name, viaPassword)
		return ErrDenied
	}
	p := Principal{Name: u.Name, Role: u.Role, Via: viaPassword}
	if err := g.noted(r, p); err != nil {
		try.Void()
		return err
	}
	try.Void()
	g.attempts.Met(name, address(r))
	if !g.sessions.begin(w, r, p, u.Password) {
		return ErrDenied
	}
	return nil
}

// check finds who has the name and the password. Names that nobody has take the
// same work. The user is the zero one where nobody has the name.
func (g *Gatekeeper) check(ctx context.Context, name, password string, acquainted bool) (u User, good bool, err error) {
	people := g.people.Load()
	hash := people.unknown[g.attempts.Pick(name, len(people.unknown))]
	u, _ = people.named(name)
	if u.Password.Set() {
		hash = u.Password
	}
	good, err = g.checker.Matches(ctx, hash, password, acquainted)
	return u, good, err
}

// fromOurPage refuses forms of other pages. Every browser says where a form comes
// from; who doesn't isn't one, and programs have tokens.
func (g *Gatekeeper) fromOurPage(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return fmt.Errorf("%w: neither Sec-Fetch-Site nor Origin say where the form comes from", ErrForged)
	}
	if err := g.origins.Check(r); err != nil {
		return fmt.Errorf("%w: %w", ErrForged, err)
	}
	return nil
}

// LogOut ends the session that the request comes by, if any.
func (g *Gatekeeper) LogOut(w http.ResponseWriter, r *http.Request) { g.sessions.end(w, r) }

// CSRF is the token that forms and scripts of the session's pages send along; ""
// where the request comes by no session.
func (g *Gatekeeper) CSRF(r *http.Request) string {
	if s, ok := g.sessions.of(r); ok {
		return s.csrf
	}
	return ""
}

// address is where a request comes from. Headers that name others aren't
// believed: whoever tries passwords could write them.
func address(r *http.Request) netip.Addr {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}

// bearerToken splits an Authorization header.
func bearerToken(proof string) (string, bool) {
	scheme, token, ok := strings.Cut(proof, " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}
