package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/console/access"
	"consentgate/console/access/oidc"
	"consentgate/console/access/passwords"
	"consentgate/store"
)

// gatekeeper knows the users of the configuration.
func (a *App) gatekeeper(reg prometheus.Registerer) (*access.Gatekeeper, error) {
	c := a.cfg.Console
	users, err := c.people()
	if err != nil {
		return nil, err
	}
	conf := access.Config{Users: users, Sessions: c.Session, TLS: c.Cert != "", Trail: logins{a.store}, Log: a.log, Registerer: reg}
	conf.OIDC = a.provider()
	return access.New(conf), nil
}

// people are the users as the gatekeeper has them.
func (c *ConsoleConfig) people() (users []access.User, err error) {
	for _, u := range c.Users {
		user := access.User{Name: u.Name, Role: access.Role(u.Role)}
		if u.Password != "" {
			if user.Password, err = passwords.Parse(u.Password); err != nil {
				return nil, fmt.Errorf("the password of user %s: %w", u.Name, err)
			}
		}
		if u.TokenSHA256 != "" {
			if user.TokenSHA256, err = hex.DecodeString(u.TokenSHA256); err != nil {
				return nil, fmt.Errorf("the token of user %s: %w", u.Name, err)
			}
		}
		users = append(users, user)
	}
	return users, nil
}

// provider is the one of identities, or nil: passwords and tokens work without.
func (a *App) provider() *oidc.Config {
	c := a.cfg.Console
	if c.OIDC.Issuer == "" {
		return nil
	}
	secret, err := secretIn(c.OIDCSecret)
	if err != nil {
		a.log.Error("nobody can log in at the provider of identities", "error", err)
		return nil
	}
	c.OIDC.Secret = secret
	return &c.OIDC
}

// logins writes down who got in, and who didn't: access.Trail.
type logins struct{ at *opening }

// LoggedIn fails where the log can't be written: then nobody gets in.
func (l logins) LoggedIn(ctx context.Context, name, via string, from netip.Addr) error {
	return l.note(ctx, store.Login{By: name, Via: via, From: fromText(from)})
}

// LoginFailed is of a name that no user has where it is "".
func (l logins) LoginFailed(ctx context.Context, name string, from netip.Addr, reason string) error {
	return l.note(ctx, store.LoginFailed{As: name, From: fromText(from), Reason: reason})
}

// fromText is an address as the log has it: "" where it isn't known.
func fromText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (l logins) note(ctx context.Context, e store.Event) error {
	s := l.at.store.Load()
	if s == nil {
		return errNoStore
	}
	return s.Audit().Note(ctx, e)
}
