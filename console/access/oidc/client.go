// Package oidc lets people prove who they are at a provider of identities, by
// OpenID Connect's authorization code flow with PKCE.
package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// What a login fails by.
var (
	// ErrProvider: the provider can't be asked.
	ErrProvider = errors.New("the provider of identities can't be reached")
	// ErrAnswer: what came back isn't a proof.
	ErrAnswer = errors.New("the provider's answer isn't good")
	// ErrNoRole: somebody proved who they are, and has no role here.
	ErrNoRole = errors.New("no role at this gate")
)

const (
	// patience is for one request to the provider.
	patience = 10 * time.Second
	// defaultAgain is how long after a failure the provider's description is asked for
	// anew.
	defaultAgain = 10 * time.Second
)

// Config is how the gate is known to a provider, and what it takes from it.
type Config struct {
	Issuer      string // URL, as the provider writes it
	ClientID    string
	Secret      string
	RedirectURL string // of the console: where the provider sends people back to
	NameClaim   string // is stamped on audit entries
	RolesClaim  string // a text or a list of texts; a dot leads into an object
	Roles       []Mapping
}

// Mapping gives a role to who has a value in the claim of roles. Of several that
// somebody has the first counts.
type Mapping struct{ Value, Role string }

// Identity is who somebody proved to be.
type Identity struct{ Name, Role string }

// Flow is one login under way. It belongs to the browser in which it began, and
// to nobody else.
type Flow struct{ State, Nonce, Verifier string }

// Client talks to a provider. It is safe for concurrent use and has no goroutine:
// the provider is asked what it offers at the first login.
type Client struct {
	conf   Config
	client *http.Client
	again  time.Duration

	asking chan struct{} // its holder has what follows
	found  *oidc.Provider
	failed time.Time
	why    error
}

// New makes a Client and asks nobody: a provider that is down keeps no gate from
// starting.
func New(c Config) *Client {
	return &Client{conf: c, client: &http.Client{Timeout: patience}, again: defaultAgain, asking: make(chan struct{}, 1)}
}

// provider asks the provider what it offers, unless that is known.
func (c *Client) provider(ctx context.Context) (*oidc.Provider, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.found != nil {
		return c.found, nil
	}
	if time.Since(c.failed) < c.again {
		return nil, c.why
	}
	// The provider keeps the context for its keys, so it isn't the request's.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), c.client), c.conf.Issuer)
	if err != nil {
		c.failed, c.why = time.Now(), fmt.Errorf("%w: %w", ErrProvider, err)
		return nil, c.why
	}
	c.found = found
	return found, nil
}

func (c *Client) oauth(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: c.conf.ClientID, ClientSecret: c.conf.Secret, Endpoint: p.Endpoint(), RedirectURL: c.conf.RedirectURL,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
}

// Begin gives the address at the provider to send somebody to, and what Finish
// needs to know that they came back.
func (c *Client) Begin(ctx context.Context, state, nonce string) (address string, f Flow, err error) {
	p, err := c.provider(ctx)
	if err != nil {
		return "", Flow{}, err
	}
	f = Flow{State: state, Nonce: nonce, Verifier: oauth2.GenerateVerifier()}
	return c.oauth(p).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

// Returned reports whether what the provider sent somebody back with belongs to
// the flow. What doesn't is somebody else's, or made up.
func (f Flow) Returned(query url.Values) bool {
	return f.State != "" && subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.State)) == 1
}

// Finish finds out who came back from the provider.
func (c *Client) Finish(ctx context.Context, f Flow, query url.Values) (Identity, error) {
	if !f.Returned(query) {
		return Identity{}, fmt.Errorf("%w: it belongs to no login that began here", ErrAnswer)
	}
	if iss := query.Get("iss"); iss != "" && iss != c.conf.Issuer { // RFC 9207
		return Identity{}, fmt.Errorf("%w: it comes from another provider", ErrAnswer)
	}
	code := query.Get("code")
	if code == "" { // what stands there instead is anybody's text
		return Identity{}, fmt.Errorf("%w: it is a refusal", ErrAnswer)
	}
	p, err := c.provider(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, c.client)
	got, err := c.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return Identity{}, exchangeFailed(err)
	}
	raw, _ := got.Extra("id_token").(string)
	proof, err := p.Verifier(&oidc.Config{ClientID: c.conf.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if subtle.ConstantTimeCompare([]byte(proof.Nonce), []byte(f.Nonce)) != 1 {
		return Identity{}, fmt.Errorf("%w: its nonce is another login's", ErrAnswer)
	}
	claims := map[string]any{}
	if err := proof.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if err := c.further(ctx, p, got, proof.Subject, claims); err != nil {
		return Identity{}, err
	}
	return c.conf.identity(claims)
}

// further asks for claims that the proof lacks: many providers put names, or roles,
// into the answer to that question alone (OpenID Connect Core section 5.4).
func (c *Client) further(ctx context.Context, p *oidc.Provider, t *oauth2.Token, subject string, claims map[string]any) error {
	if lookUp(claims, c.conf.NameClaim) != nil && lookUp(claims, c.conf.RolesClaim) != nil || p.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(t))
	if err != nil {
		return fmt.Errorf("%w: asking for further claims", ErrProvider)
	}
	if info.Subject != subject { // section 5.3.2
		return fmt.Errorf("%w: its further claims are of somebody else", ErrAnswer)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	maps.Copy(more, claims)
	maps.Copy(claims, more)
	return nil
}

// exchangeFailed tells a provider that refuses from one that isn't there. The
// provider's words stay out: they may hold the code.
func exchangeFailed(err error) error {
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
		return fmt.Errorf("%w: no token for the code (%s)", ErrAnswer, refused.Response.Status)
	}
	return fmt.Errorf("%w: asking for a token", ErrProvider)
}
