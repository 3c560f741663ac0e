package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones by name on machines that have none

	"go.yaml.in/yaml/v3"

	"consentgate/breach"
	"consentgate/breach/alarm"
	"consentgate/store"
)

// AlarmsConfig says what in the log is an alarm, and who is told.
type AlarmsConfig struct {
	Rules breach.Settings
	Hook  alarm.Hook
}

func defaultAlarms() AlarmsConfig {
	return AlarmsConfig{Rules: breach.Settings{
		Plays: breach.Limit{Most: 50, Within: time.Hour}, Exports: breach.Limit{Most: 20, Within: time.Hour},
		Hours:       breach.Hours{From: 7 * time.Hour, Until: 20 * time.Hour},
		FirstExport: true,
		Logins:      breach.Limit{Most: 5, Within: 15 * time.Minute}, AllLogins: breach.Limit{Most: 30, Within: 15 * time.Minute},
		Unwraps: breach.Limit{Within: time.Hour},
		LogHead: true, Config: true, Clock: true, Quiet: 30 * time.Minute}}
}

func (p *parser) alarms(n *yaml.Node, path string) {
	a := &p.config.Alarms
	limit := func(l *breach.Limit) func(*yaml.Node, string) {
		return func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{
				"most":   parsed(p.reader, &l.Most, between(0, 1000, wholeNumber)),
				"within": parsed(p.reader, &l.Within, between(0, 30*24*time.Hour, parseDuration)),
			})
		}
	}
	p.mapping(n, path, fields{
		"plays":        limit(&a.Rules.Plays),
		"exports":      limit(&a.Rules.Exports),
		"hours":        func(n *yaml.Node, path string) { p.hours(n, path, &a.Rules.Hours) },
		"first_export": parsed(p.reader, &a.Rules.FirstExport, parseBool),
		"logins":       limit(&a.Rules.Logins),
		"all_logins":   limit(&a.Rules.AllLogins),
		"unwraps":      limit(&a.Rules.Unwraps),
		"log_head":     parsed(p.reader, &a.Rules.LogHead, parseBool),
		"config":       parsed(p.reader, &a.Rules.Config, parseBool),
		"clock":        parsed(p.reader, &a.Rules.Clock, parseBool),
		"quiet":        parsed(p.reader, &a.Rules.Quiet, between(0, 30*24*time.Hour, parseDuration)),
		"honey": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var id string
				if parsed(p.reader, &id, recordingID)(n, path); id != "" {
					a.Rules.Honey = append(a.Rules.Honey, id)
				}
			})
		},
		"webhook": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{
				"url":        parsed(p.reader, &a.Hook.URL, hookURL),
				"token_file": parsed(p.reader, &a.Hook.TokenFile, readable),
			})
			if a.Hook.TokenFile != "" && a.Hook.URL == "" {
				p.errorf(n, path, "token_file belongs to a url")
			}
		},
	})
}

func (p *parser) hours(n *yaml.Node, path string, h *breach.Hours) {
	p.mapping(n, path, fields{
		"days": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				day := time.Weekday(-1)
				if parsed(p.reader, &day, weekday)(n, path); day >= 0 {
					h.Days = append(h.Days, day)
				}
			})
		},
		"from":  parsed(p.reader, &h.From, timeOfDay),
		"until": parsed(p.reader, &h.Until, timeOfDay),
		"zone":  parsed(p.reader, &h.Zone, zone),
	})
	if h.From >= h.Until {
		p.errorf(n, path, "from isn't before until; hours through the night can't be told")
	}
}

func weekday(v string) (time.Weekday, error) {
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	if i := slices.Index(names, v); i >= 0 {
		return time.Weekday(i), nil
	}
	return 0, fmt.Errorf("allowed: %s", strings.Join(names, ", "))
}

// timeOfDay reads 07:00; 24:00 is a day's end.
func timeOfDay(v string) (time.Duration, error) {
	if v == "24:00" {
		return 24 * time.Hour, nil
	}
	t, err := time.Parse("15:04", v)
	if err != nil {
		return 0, errors.New(`a time of the day in quotes, for instance "07:00"`)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// zone reads a name of the IANA time zone database; "" is the machine's.
func zone(v string) (*time.Location, error) {
	if v == "" {
		return nil, nil
	}
	l, err := time.LoadLocation(v)
	if err != nil {
		return nil, errors.New("a time zone's name, for instance Europe/Berlin")
	}
	return l, nil
}

func recordingID(v string) (string, error) { return v, store.CheckID(v) }

func hookURL(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	return witnessURL(v)
}

// alarms joins the watch over the log to the store. One goroutine, the one that
// opens the store, calls its methods.
type alarms struct {
	*alarm.Watch
	refusals int // of the root cell, before the store was open
}

// refused is told each time that the store can't be opened.
func (a *alarms) refused(err error) {
	if a == nil || !errors.Is(err, store.ErrRoot) {
		return
	}
	a.refusals++
	a.Watch.Refused()
}

// opened begins to watch.
func (a *alarms) opened(s *store.Store) {
	if a == nil {
		return
	}
	s.Refused(a.refusals)
	a.Watch.Start(watchedLog{s})
}

func (a *alarms) stop() {
	if a != nil {
		a.Watch.Close()
	}
}

// watchedLog is the store's log as the watch knows it.
type watchedLog struct{ *store.Store }

// Name, Size, Read, Raise, Found and Shortened are alarm.Log.
func (l watchedLog) Name() string { return l.Audit().Origin() }

func (l watchedLog) Size() int64 { return l.Audit().Size() }

func (l watchedLog) Read(from int64, types map[string]bool, f func(breach.Entry) bool) (int64, error) {
	return l.EntriesOf(from, types, func(e store.Entry) bool {
		return f(breach.Entry{Seq: e.Seq, At: e.At, Type: e.Type, Payload: json.RawMessage(e.Payload)})
	})
}

func (l watchedLog) Raise(ctx context.Context, a breach.Alarm) error {
	return l.Audit().Note(ctx, store.AlarmRaised{Rule: string(a.Rule), Entry: a.Entry, At: a.At, By: a.By, Count: a.Count, Within: a.Within.Seconds()})
}

// Found passes over a recording that has been erased, or never was.
func (l watchedLog) Found(ctx context.Context, id, by string) error {
	if err := l.Store.Found(ctx, id, by); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

func (l watchedLog) Shortened(ctx context.Context, seen int64) error {
	return l.Audit().Note(ctx, store.WitnessConflict{Witness: "alarms", Size: seen, Reason: fmt.Sprintf("the log has %d entries, and its alarms' rules saw more", l.Size())})
}
