package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"consentgate/console"
	"consentgate/console/access"
	"consentgate/console/api"
	"consentgate/console/office"
	"consentgate/store"
)

// consoleFarewell bounds how long answers under way may take at the end.
const consoleFarewell = 5 * time.Second

// openConsole serves people and their programs, if anybody may log in. The gate goes on
// without where that fails: a port that is taken mustn't take the trunk down (law 2).
func (a *App) openConsole() {
	if len(a.cfg.Console.Users) == 0 {
		return
	}
	s, err := a.newConsole()
	if err != nil {
		a.log.Error("there is no console: calls go on", "error", err)
		return
	}
	a.console = s
}

func (a *App) newConsole() (*console.Server, error) {
	c := a.cfg.Console
	o := office.New(office.Config{Store: a.store.store.Load, Calls: liveCalls{a.gate}, Controller: a.cfg.Controller, FourEyes: c.FourEyes, Node: a.cfg.Node,
		Version: programVersion(), Verify: verifyExport, Log: a.log})
	served := api.New(api.Config{Office: o, Log: a.log})
	conf := console.Config{Listen: c.Listen, Who: bearers(c.Users), Log: a.log, API: console.Part{Routes: served.Routes(), Deny: served.Deny}}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("the console's certificate: %w", err)
		}
		conf.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	return console.New(conf)
}

func stopConsole(s *console.Server) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), consoleFarewell)
	defer cancel()
	return s.Stop(ctx)
}

// tokens are the users by the SHA-256 of their tokens, which nobody can guess, so
// that how long it takes to find one says nothing.
type tokens map[[sha256.Size]byte]access.Principal

func bearers(users []UserConfig) tokens {
	out := tokens{}
	for _, u := range users {
		if sum, err := hex.DecodeString(u.TokenSHA256); err == nil && len(sum) == sha256.Size {
			out[[sha256.Size]byte(sum)] = access.Principal{Name: u.Name, Role: access.Role(u.Role), Via: "token"}
		}
	}
	return out
}

// Authenticate is console.Authenticator.
func (t tokens) Authenticate(r *http.Request) (access.Principal, error) {
	given := r.Header.Get("Authorization")
	if given == "" {
		return access.Principal{}, access.ErrNobody
	}
	scheme, token, _ := strings.Cut(given, " ")
	if p, ok := t[sha256.Sum256([]byte(token))]; ok && strings.EqualFold(scheme, "Bearer") {
		return p, nil
	}
	return access.Principal{}, access.ErrProof
}

// verifyExport checks an export of the log in a process of its own, as verify does.
func verifyExport(ctx context.Context, export func(io.Writer) error) (r store.Report, err error) {
	in, out := io.Pipe()
	go func() { out.CloseWithError(export(out)) }()
	defer in.Close() // the writer ends
	var said, failed strings.Builder
	if code := runConfined(ctx, []string{"verify", "--json", "--export", "/dev/stdin"}, in, &said, &failed); code == exitUsage || said.Len() == 0 {
		return r, fmt.Errorf("verifying the log: %s", strings.TrimSpace(failed.String()))
	}
	if err := json.Unmarshal([]byte(said.String()), &r); err != nil {
		return r, fmt.Errorf("verifying the log: %w", err)
	}
	return r, nil
}
