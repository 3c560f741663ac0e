package access

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"consentgate/console/access/oidc"
	"consentgate/console/access/passwords"
)

// flowTime is how long a login at a provider may take.
const flowTime = 10 * time.Minute

// ErrProvider: the provider of identities can't be reached.
var ErrProvider = oidc.ErrProvider

// ErrNoRole: somebody proved who they are, and may do nothing here.
var ErrNoRole = oidc.ErrNoRole

var errNamesake = fmt.Errorf("%w: a user of the configuration has the same name", ErrNoRole)

// flows keeps logins at a provider in the browsers they began in, sealed in a
// cookie: nothing is held here for people who never come back.
type flows struct {
	cookie http.Cookie
	seal   cipher.AEAD // under a key of this process
}

// flow is what the cookie holds.
type flow struct {
	oidc.Flow
	Next  string
	Until time.Time
}

func newFlows(secure bool) flows {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has the right length
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	// Lax, as the provider's page is what leads back here.
	c := http.Cookie{Name: "consentgate-oidc", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(flowTime.Seconds())}
	if secure {
		c.Name, c.Secure = "__Host-consentgate-oidc", true
	}
	return flows{cookie: c, seal: seal}
}

func (f flows) set(w http.ResponseWriter, x flow) error {
	raw, err := json.Marshal(x)
	if err != nil {
		return err
	}
	c := f.cookie
	c.Value = base64.RawURLEncoding.EncodeToString(f.seal.Seal(nil, nil, raw, []byte(c.Name)))
	http.SetCookie(w, &c)
	return nil
}

// take opens the flow that a browser holds, and has the browser forget it.
func (f flows) take(w http.ResponseWriter, r *http.Request) (x flow, ok bool) {
	got, err := r.Cookie(f.cookie.Name)
	if err != nil {
		return flow{}, false
	}
	c := f.cookie
	c.MaxAge = -1
	http.SetCookie(w, &c)
	sealed, err := base64.RawURLEncoding.DecodeString(got.Value)
	if err != nil {
		return flow{}, false
	}
	raw, err := f.seal.Open(nil, nil, sealed, []byte(c.Name))
	if err != nil || json.Unmarshal(raw, &x) != nil {
		return flow{}, false
	}
	return x, time.Now().Before(x.Until)
}

// HasOIDC reports whether people may log in at a provider of identities.
func (g *Gatekeeper) HasOIDC() bool { return g.oidc != nil }

// BeginOIDC gives the address at the provider to send the browser to (303), and has
// the browser keep what FinishOIDC needs. next is where to go after the login.
func (g *Gatekeeper) BeginOIDC(w http.ResponseWriter, r *http.Request, next string) (address string, err error) {
	if g.oidc == nil {
		return "", fmt.Errorf("%w: none is configured", ErrProvider)
	}
	address, f, err := g.oidc.Begin(r.Context(), token(), token())
	if err != nil {
		g.logins.WithLabelValues(outcome(err)).Inc()
		g.log.Warn("the provider of identities can't be asked: passwords still work", "error", err)
		return "", err
	}
	return address, g.flows.set(w, flow{f, LocalPath(next), time.Now().Add(flowTime)})
}

// FinishOIDC begins a session for who comes back from the provider, and gives the
// path to go on to. Go there with Onward: the session's cookie isn't sent with
// redirects that the provider's page began.
func (g *Gatekeeper) FinishOIDC(w http.ResponseWriter, r *http.Request) (next string, err error) {
	next, err = g.finishOIDC(w, r)
	g.logins.WithLabelValues(outcome(err)).Inc()
	return next, err
}

func (g *Gatekeeper) finishOIDC(w http.ResponseWriter, r *http.Request) (next string, err error) {
	x, ok := g.flows.take(w, r)
	if g.oidc == nil || !ok || !x.Returned(r.URL.Query()) {
		return "", fmt.Errorf("%w: no login of this browser's leads here", ErrForged)
	}
	try, wait := g.attempts.Begin("", address(r))
	if wait > 0 {
		return "", &TooSoon{wait}
	}
	who, err := g.oidc.Finish(r.Context(), x.Flow, r.URL.Query())
	if err == nil {
		err = g.mayBe(who.Name)
	}
	if err != nil {
		return "", g.oidcFailed(r, err)
	}
	defer try.Void()
	p := Principal{Name: who.Name, Role: Role(who.Role), Via: viaOIDC}
	if err := g.noted(r, p); err != nil {
		return "", err
	}
	if !g.sessions.begin(w, r, p, passwords.Hash{}) {
		return "", g.oidcFailed(r, errNamesake)
	}
	return x.Next, nil
}

// mayBe refuses names that the configuration's users have: entries in the audit log
// have one meaning.
func (g *Gatekeeper) mayBe(name string) error {
	if _, known := g.people.Load().named(name); known {
		return errNamesake
	}
	return nil
}

func (g *Gatekeeper) oidcFailed(r *http.Request, err error) error {
	reason := viaOIDC
	if errors.Is(err, ErrNoRole) {
		reason = "oidc: no role"
	}
	g.log.Warn("a login at the provider of identities failed", "error", err)
	g.failed(r, "", reason)
	return err
}
