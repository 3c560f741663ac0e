package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/console/access"
	"consentgate/console/access/passwords"
	"consentgate/store"
)

// sessionLimits say when somebody has to log in again.
var sessionLimits = access.SessionLimits{Idle: 30 * time.Minute, Longest: 12 * time.Hour}

// gatekeeper knows the users of the configuration.
func (a *App) gatekeeper(reg prometheus.Registerer) (*access.Gatekeeper, error) {
	c := a.cfg.Console
	var users []access.User
	for _, u := range c.Users {
		user := access.User{Name: u.Name, Role: access.Role(u.Role)}
		var err error
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
	return access.New(access.Config{Users: users, Sessions: sessionLimits, TLS: c.Cert != "", Trail: logins{a.store}, Log: a.log, Registerer: reg}), nil
}

// logins writes down who got in, and who didn't: access.Trail.
type logins struct{ at *opening }

// LoggedIn fails where the log can't be written: then nobody gets in.
func (l logins) LoggedIn(ctx context.Context, name, via string) error {
	return l.note(ctx, store.Login{By: name, Via: via})
}

// LoginFailed is of a name that no user has where it is "".
func (l logins) LoginFailed(ctx context.Context, name, reason string) error {
	return l.note(ctx, store.LoginFailed{As: name, Reason: reason})
}

func (l logins) note(ctx context.Context, e store.Event) error {
	s := l.at.store.Load()
	if s == nil {
		return errNoStore
	}
	return s.Audit().Note(ctx, e)
}
