package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rights"
	"consentgate/store/rootcell"
)

// RetentionConfig says how recordings go when their time is over.
type RetentionConfig struct {
	Brake    float64 // share of one purpose's recordings, 0 to 1
	Least    int
	Requests time.Duration // closed subject requests are kept for so long; 0: for good
}

// retainEvery is how often the gate looks for what is to go.
const retainEvery = time.Hour

func defaultRetention() RetentionConfig {
	return RetentionConfig{Brake: 0.1, Least: 20, Requests: 3 * 365 * 24 * time.Hour}
}

func (p *parser) retention(n *yaml.Node, path string) {
	r := &p.config.Retention
	p.mapping(n, path, fields{
		"brake":    parsed(p.reader, &r.Brake, percent),
		"least":    parsed(p.reader, &r.Least, leastDeleted),
		"requests": parsed(p.reader, &r.Requests, between(0, 36500*24*time.Hour, parseDuration)),
	})
}

func percent(v string) (float64, error) {
	digits, ok := strings.CutSuffix(v, "%")
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n > 100 {
		return 0, errors.New("a share of 0% to 100%, for instance 10%")
	}
	return float64(n) / 100, nil
}

func leastDeleted(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, errors.New("a number of recordings, for instance 20")
	}
	return n, nil
}

// storeRetention is the retention as the store knows it.
func (c *Config) storeRetention() store.Retention {
	return store.Retention{Every: retainEvery, Brake: rights.Brake{Share: c.Retention.Brake, Least: c.Retention.Least},
		Purposes: periods(c.Purposes), Requests: c.Retention.Requests, Audit: c.Audit.Retention}
}

func periods(purposes map[string]consent.Purpose) map[string]time.Duration {
	out := make(map[string]time.Duration, len(purposes))
	for name, p := range purposes {
		out[name] = p.Retention
	}
	return out
}

func retentionCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("retention", errs)
	path := f.String("config", "", "the configuration `file`")
	confirm := f.String("confirm", "", "let go what a run was stopped over, for this `reason`; while the gate is stopped")
	by := f.String("by", "", "the officer's `name`, for the log")
	dry := f.Bool("dry-run", false, "say what would go now, and do nothing")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	if *dry == (*confirm != "") || (*confirm == "") != (*by == "") {
		fmt.Fprintln(errs, "consentgate retention: --dry-run, or --confirm REASON and --by NAME; the gate itself lets recordings go, every hour")
		return exitUsage
	}
	c, code, ok := loadFor(*path, errs)
	if !ok {
		return code
	}
	if *confirm != "" {
		if err := confirmRetention(ctx, c, rights.Act{By: *by, At: time.Now(), Reason: *confirm}); err != nil {
			if errors.Is(err, store.ErrInUse) {
				err = fmt.Errorf("%w: stop the gate, or have an officer say 'consentgate system confirm-retention' while it runs", err)
			}
			return fail(errs, fmt.Errorf("confirming what was stopped: %w", err))
		}
		fmt.Fprintln(out, "confirmed; it goes when the gate is started")
		return exitOK
	}
	var found store.Forecast
	err := withRoot(ctx, c, func(ctx context.Context, cell rootcell.Cell) (err error) {
		found, err = store.ForecastRetention(ctx, c.DataDir, cell, c.storeRetention(), time.Now())
		return err
	})
	if err != nil {
		return fail(errs, fmt.Errorf("looking for recordings whose time is over: %w", err))
	}
	printForecast(found, out)
	return exitOK
}

// confirmRetention is an officer's word, in the data directory of a stopped gate.
func confirmRetention(ctx context.Context, c *Config, a rights.Act) (err error) {
	root, err := openRoot(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	o := c.idleStore()
	o.Root = root
	s, err := store.Open(o)
	if err != nil {
		return err
	}
	return errors.Join(s.ConfirmRetention(ctx, a), s.Close())
}

// printForecast lists recordings by their names, which say nothing about people.
func printForecast(f store.Forecast, out io.Writer) {
	going, kept := 0, 0
	for _, d := range f.Due {
		what := "goes"
		if d.Kept != "" {
			what = "stays: " + d.Kept
			kept++
		} else {
			going++
		}
		fmt.Fprintf(out, "%s  %s  since %s  %s\n", d.ID, d.Purpose, d.Until.UTC().Format(time.RFC3339), what)
	}
	total := 0
	for _, n := range f.Total {
		total += n
	}
	fmt.Fprintf(out, "%d of %d recordings go, %d stay beyond their time\n", going, total, kept)
	for _, purpose := range f.Stopped {
		fmt.Fprintf(out, "the brake would stop %s: too much of it would go at once; an officer has to confirm it\n", purpose)
	}
	if len(f.Months) > 0 {
		fmt.Fprintf(out, "what the audit log says goes of %s, but for what goes with a recording; its entries stay\n", strings.Join(f.Months, ", "))
	}
	if f.Held {
		fmt.Fprintln(out, "the brake would stop that: these are many months at once; an officer has to confirm it")
	}
	if f.Braked != nil {
		fmt.Fprintf(out, "stopped since %s: %s\n", f.Braked.At.UTC().Format(time.RFC3339), f.Braked.Why)
	}
}
