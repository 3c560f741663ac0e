// Command oidcserver is a provider of identities made of zitadel/oidc, a certified
// OpenID Connect library: what logins at a provider are tested with. It is a module
// of its own, so that nothing of it is among the gate's.
//
//	oidcserver ADDRESS REDIRECT_URL USERS
//
// serves HTTP at ADDRESS. The client is consentgate, its secret is "secret". USERS
// is a JSON file: {"dana": {"password": "...", "roles": ["..."], "email": "...", "verified": true}}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: oidcserver ADDRESS REDIRECT_URL USERS")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "oidcserver:", err)
		os.Exit(1)
	}
}

func serve(addr, redirect, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	people := people{}
	if err := json.Unmarshal(raw, &people); err != nil {
		return err
	}
	storage.RegisterClients(storage.WebClient("consentgate", "secret", redirect))
	quiet := slog.New(slog.DiscardHandler)
	h := exampleop.SetupServer("http://"+addr, &claims{storage.NewStorage(people), people}, quiet, false)
	s := http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return s.ListenAndServe()
}

// people are those who can log in, by name, which is also their subject.
type people map[string]struct {
	Password string
	Roles    []string
	Email    string
	Verified bool
}

func (p people) GetUserByID(id string) *storage.User {
	who, ok := p[id]
	if !ok {
		return nil
	}
	return &storage.User{ID: id, Username: id, Password: who.Password, Email: who.Email, EmailVerified: who.Verified}
}

func (p people) GetUserByUsername(name string) *storage.User { return p.GetUserByID(name) }

func (p people) ExampleClientID() string { return "none" }

// claims adds somebody's roles to the identity token, as Keycloak writes them. The name
// is in the answer to a further question only, as with many providers.
type claims struct {
	*storage.Storage
	people people
}

func (c *claims) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if err := c.Storage.SetUserinfoFromRequest(ctx, info, request, scopes); err != nil {
		return err
	}
	info.AppendClaims("realm_access", map[string]any{"roles": c.people[request.GetSubject()].Roles})
	return nil
}
