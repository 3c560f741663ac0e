package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/consent"
	"consentgate/processing"
	"consentgate/proxy"
	"consentgate/store/evidence"
)

// RecordConfig is what the record of processing (GDPR Art. 30) has to say and the
// gate can't know.
type RecordConfig struct {
	Joint, Representative, DPO string
	Recipients                 []string
	Transfers                  []processing.Transfer
	Measures                   []string
}

func (p *parser) record(n *yaml.Node, path string) {
	r := &p.config.Record
	texts := func(to *[]string) func(*yaml.Node, string) {
		return func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var v string
				if parsed(p.reader, &v, notEmpty)(n, path); v != "" {
					*to = append(*to, v)
				}
			})
		}
	}
	p.mapping(n, path, fields{
		"joint_controller": p.text(&r.Joint),
		"representative":   p.text(&r.Representative),
		"dpo":              p.text(&r.DPO),
		"recipients":       func(n *yaml.Node, path string) { texts(&r.Recipients)(n, path) },
		"measures":         func(n *yaml.Node, path string) { texts(&r.Measures)(n, path) },
		"transfers": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var t processing.Transfer
				p.mapping(n, path, fields{"to": parsed(p.reader, &t.To, notEmpty), "safeguard": parsed(p.reader, &t.Safeguard, notEmpty)})
				if t.To == "" || t.Safeguard == "" {
					p.errorf(n, path, "to and safeguard are both needed: to whom in which country, and by what of GDPR Art. 45 to 49")
					return
				}
				r.Transfers = append(r.Transfers, t)
			})
		},
	})
}

func recordCommand(_ context.Context, args []string, out, errs io.Writer) int {
	f := flags("record", errs)
	path := f.String("config", "", "the configuration `file`")
	lang := f.String("lang", "en", "`language` of the record: "+strings.Join(processing.Languages, ", "))
	asJSON := f.Bool("json", false, "for machines")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	if !slices.Contains(processing.Languages, *lang) {
		fmt.Fprintf(errs, "consentgate record: --lang is one of %s\n", strings.Join(processing.Languages, ", "))
		return exitUsage
	}
	c, code, ok := loadFor(*path, errs)
	if !ok {
		return code
	}
	record, err := c.processing(time.Now()), error(nil)
	if *asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(record)
	} else {
		err = record.Markdown(out, *lang)
	}
	if err != nil {
		return fail(errs, fmt.Errorf("writing the record: %w", err))
	}
	return exitOK
}

// processing is the record of what this configuration has the gate do.
func (c *Config) processing(now time.Time) processing.Record {
	r := processing.Record{Format: processing.Format, Made: now.UTC().Truncate(time.Second), Node: c.Node, Version: programVersion(), Config: c.hash(),
		Controller: processing.Controller{Name: c.Controller.Name, Contact: c.Controller.Contact, Joint: c.Record.Joint,
			Representative: c.Record.Representative, DPO: c.Record.DPO},
		Data:     []processing.Category{"voice", "numbers", "consents", "uses", "rights", "registrations"},
		Subjects: []processing.Category{"callers", "staff", "users"}, Recipients: c.recipients(), Transfers: c.Record.Transfers, Measures: c.measures()}
	for _, name := range slices.Sorted(maps.Keys(c.Purposes)) {
		r.Activities = append(r.Activities, c.activity(name, c.Purposes[name]))
	}
	r.Periods = append(r.Periods, processing.Period{What: "consent_log"}, period("log", c.Audit.Retention), period("requests", c.Retention.Requests))
	if c.Trace.Calls > 0 {
		r.Periods = append(r.Periods, processing.Period{What: "traces", Seconds: seconds(24 * time.Hour)})
	}
	return r
}

// setting is what receipts and bundles say of the controller.
func (c *Config) setting() evidence.Setting {
	s := c.Stated
	s.Recipients = c.Record.Recipients
	texts := make([]string, 0, len(c.Record.Transfers))
	for _, t := range c.Record.Transfers {
		texts = append(texts, t.To+": "+t.Safeguard)
	}
	s.Transfers = strings.Join(texts, "; ")
	return s
}

// period is how long something is kept; 0: for good.
func period(what string, d time.Duration) processing.Period {
	if d == 0 {
		return processing.Period{What: what + "_ever"}
	}
	return processing.Period{What: what, Seconds: seconds(d)}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (c *Config) activity(name string, p consent.Purpose) processing.Activity {
	a := processing.Activity{Purpose: name, Texts: p.Text, Basis: processing.Basis, Retention: seconds(p.Retention)}
	for _, pol := range c.Policies {
		if pol.Action != consent.Ask || pol.Purpose.Name != name {
			continue
		}
		asked := make([]string, 0, len(pol.Parties))
		for _, party := range pol.Parties {
			asked = append(asked, party.String())
		}
		a.Policies = append(a.Policies, processing.Policy{Name: pol.Name, Direction: string(pol.Direction), Asked: asked,
			Withdraw: pol.Withdraw != "", Erases: pol.OnWithdrawal == consent.Erase})
	}
	return a
}

func (c *Config) recipients() (all []processing.Recipient) {
	add := func(kind, name string) { all = append(all, processing.Recipient{Kind: kind, Name: name}) }
	for _, t := range c.Trunks {
		peers := make([]string, 0, len(t.Carrier.Peers))
		for _, p := range t.Carrier.Peers {
			peers = append(peers, p.String())
		}
		add("carrier", t.Name+" ("+strings.Join(peers, ", ")+")")
	}
	add("subjects", "")
	for _, w := range c.Audit.Witnesses {
		add("witness", w.Name())
	}
	if c.Trace.HEP.IsValid() {
		add("hep", c.Trace.HEP.String())
	}
	if c.Alarms.Hook.URL != "" {
		add("webhook", c.Alarms.Hook.URL)
	}
	for _, r := range append([]RootConfig{c.Root}, c.Root.Replicas...) {
		if r.Driver == "vault" {
			add("vault", r.Vault.Address)
		}
	}
	if place, err := c.openArchive(); err == nil && place != nil {
		add("archive", place.Name())
	}
	if c.Console.OIDC.Issuer != "" {
		add("identity", c.Console.OIDC.Issuer)
	}
	if program := strings.Fields(c.TTS); len(program) > 0 {
		add("tts", program[0])
	}
	for _, name := range c.Record.Recipients {
		add("stated", name)
	}
	return all
}

// measures are those of Art. 32(1) that the configuration decides, and those that
// the program always takes.
func (c *Config) measures() (all []processing.Measure) {
	add := func(key, detail string) { all = append(all, processing.Measure{Key: key, Detail: detail}) }
	either := func(key, detail string) {
		all = append(all, processing.Measure{Key: key, Detail: detail, Missing: detail == ""})
	}
	lacking := func(key, detail string) {
		if detail != "" {
			all = append(all, processing.Measure{Key: key, Detail: detail, Missing: true})
		}
	}
	add("gate", "")
	add("encryption", "")
	cells := []string{c.Root.Driver}
	for _, r := range c.Root.Replicas {
		cells = append(cells, r.Driver)
	}
	add("root_key", strings.Join(cells, ", "))
	every := "0s"
	if c.Erasure.Every > 0 {
		every = c.Erasure.Every.String()
	}
	add("erasure", every)
	all = append(all, processing.Measure{Key: "root_backup", Missing: !c.Erasure.RequireBackup})
	add("audit_log", "")
	witnesses := make([]string, 0, len(c.Audit.Witnesses))
	for _, w := range c.Audit.Witnesses {
		witnesses = append(witnesses, w.Name())
	}
	either("witnesses", strings.Join(witnesses, ", "))
	t := c.transports()
	either("tls", strings.Join(t.tls, ", "))
	lacking("clear", strings.Join(t.clear, ", "))
	either("srtp", strings.Join(t.srtp, ", "))
	lacking("clear_media", strings.Join(t.clearMedia, ", "))
	either("roles", c.usersByRole())
	add("console_tls", c.Console.Listen)
	add("retention", fmt.Sprintf("%.0f %%", 100*c.Retention.Brake))
	either("alarms", strings.Join(c.alarmRules(), ", "))
	add("logs", "")
	add("availability", "")
	for _, m := range c.Record.Measures {
		add("stated_measure", m)
	}
	return all
}

// transports are the sides of trunks by how safe they are.
type transports struct{ tls, clear, srtp, clearMedia []string }

func (c *Config) transports() (out transports) {
	for _, t := range c.Trunks {
		for name, s := range map[string]SideConfig{"pbx": t.PBX, "carrier": t.Carrier} {
			side := t.Name + "/" + name
			open := map[string]bool{}
			for _, l := range s.Listen {
				if l.Transport != "tls" {
					open[l.Transport] = true
				}
			}
			if len(open) == 0 {
				out.tls = append(out.tls, side)
			} else {
				out.clear = append(out.clear, side+" ("+strings.Join(slices.Sorted(maps.Keys(open)), ", ")+")")
			}
			switch s.SRTP {
			case proxy.SRTPRequired:
				out.srtp = append(out.srtp, side)
			case proxy.SRTPOptional:
				out.clearMedia = append(out.clearMedia, side+" (srtp: optional)")
			default:
				out.clearMedia = append(out.clearMedia, side)
			}
		}
	}
	for _, list := range [][]string{out.tls, out.clear, out.srtp, out.clearMedia} {
		slices.Sort(list)
	}
	return out
}

// usersByRole counts them, and names nobody.
func (c *Config) usersByRole() string {
	roles := map[string]int{}
	for _, u := range c.Console.Users {
		roles[u.Role]++
	}
	var out []string
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		out = append(out, fmt.Sprintf("%d %s", roles[role], role))
	}
	if c.Console.OIDC.Issuer != "" {
		out = append(out, "OpenID Connect")
	}
	return strings.Join(out, ", ")
}

// alarmRules are the names of those that are on, as the configuration has them.
func (c *Config) alarmRules() (on []string) {
	r := c.Alarms.Rules
	for _, rule := range []struct {
		name string
		on   bool
	}{
		{"plays", r.Plays.Within > 0}, {"exports", r.Exports.Within > 0}, {"hours", len(r.Hours.Days) > 0}, {"first_export", r.FirstExport},
		{"logins", r.Logins.Within > 0}, {"all_logins", r.AllLogins.Within > 0}, {"unwraps", r.Unwraps.Within > 0}, {"log_head", r.LogHead},
		{"config", r.Config}, {"clock", r.Clock}, {"honey", len(r.Honey) > 0},
	} {
		if rule.on {
			on = append(on, rule.name)
		}
	}
	return on
}
