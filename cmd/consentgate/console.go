package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/console"
	"consentgate/console/access"
	"consentgate/console/api"
	"consentgate/console/certificate"
	"consentgate/console/office"
	"consentgate/console/page"
	"consentgate/store"
)

// consoleFarewell bounds how long answers under way may take at the end.
const consoleFarewell = 5 * time.Second

// openConsole serves people and their programs, if anybody may log in. The gate goes on
// without where that fails: a port that is taken mustn't take the trunk down (law 2).
func (a *App) openConsole(reg prometheus.Registerer) {
	if len(a.cfg.Console.Users) == 0 && a.cfg.Console.OIDC.Issuer == "" {
		return
	}
	door, err := a.gatekeeper(reg)
	if err != nil {
		a.log.Error("there is no console: calls go on", "error", err)
		return
	}
	s, err := a.newConsole(door)
	if err != nil {
		a.log.Error("there is no console: calls go on", "error", err)
		return
	}
	a.console, a.door = s, door
}

func (a *App) newConsole(door *access.Gatekeeper) (*console.Server, error) {
	c := a.cfg.Console
	o := office.New(office.Config{Store: a.store.store.Load, Calls: liveCalls{a.gate}, Controller: a.cfg.Controller, Setting: a.cfg.setting(), FourEyes: c.FourEyes,
		AtOnce: a.cfg.Erasure.AtOnce, Node: a.cfg.Node, Version: programVersion(), Verify: verifyExport, Found: a.alarms.Touched, Log: a.log})
	served := api.New(api.Config{Office: o, URL: c.URL, Log: a.log})
	pages := page.New(a.pageConfig(o, door))
	conf := console.Config{Listen: c.Listen, Who: door, Log: a.log, API: console.Part{Routes: served.Routes(), Deny: served.Deny},
		Page: console.Part{Routes: pages.Routes(), Deny: pages.Deny}}
	if c.Cert != "" {
		shown, err := certificate.Serve(c.Cert, c.Key, a.log)
		if err != nil {
			return nil, err
		}
		conf.TLS = shown
	}
	return console.New(conf)
}

// pageConfig tells the page what one may search by, in an order that stays.
func (a *App) pageConfig(o *office.Office, door *access.Gatekeeper) page.Config {
	c := page.Config{Office: o, Door: door, Controller: a.cfg.Controller, Version: programVersion(), HasURL: a.cfg.Console.URL != "", Log: a.log}
	for _, name := range slices.Sorted(maps.Keys(a.cfg.Purposes)) {
		c.Purposes = append(c.Purposes, a.cfg.Purposes[name])
	}
	for _, t := range a.cfg.Trunks {
		c.Trunks = append(c.Trunks, t.Name)
	}
	return c
}

func stopConsole(s *console.Server) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), consoleFarewell)
	defer cancel()
	return s.Stop(ctx)
}

// verifyExport checks an export of the log in a process of its own, as verify does.
func verifyExport(ctx context.Context, export func(io.Writer) error) (r store.Report, err error) {
	in, out := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		err := export(out)
		out.CloseWithError(err)
		exported <- err
	}()
	var said, failed strings.Builder
	code := runConfined(ctx, []string{"verify", "--json", "--export", "/dev/stdin"}, in, &said, &failed)
	in.Close() // the exporter ends
	// Half an export isn't a log that is wrong.
	if err := <-exported; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return r, fmt.Errorf("exporting the log to be verified: %w", err)
	}
	if code == exitUsage || said.Len() == 0 {
		return r, fmt.Errorf("verifying the log: %s", strings.TrimSpace(failed.String()))
	}
	if err := json.Unmarshal([]byte(said.String()), &r); err != nil {
		return r, fmt.Errorf("verifying the log: %w", err)
	}
	return r, nil
}
