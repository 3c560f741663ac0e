package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"consentgate/breach/pack"
	"consentgate/processing"
	"consentgate/store"
	"consentgate/store/rootcell"
)

func breachCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("breach", errs)
	config := f.String("config", "", "the configuration `file`")
	from := f.String("from", "", "from this `time` on: 2026-11-25, 2026-11-25 14:00, or with a zone 2026-11-25T14:00:00+01:00")
	to := f.String("to", "", "up to this `time` [now]")
	user := f.String("user", "", "acts of the user of this `name` only")
	aware := f.String("aware", "", "the `time` at which the controller became aware [the first alarm's]")
	file := f.String("out", "", "the zip `file` to write, which must not be there yet")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	if *from == "" || *file == "" {
		fmt.Fprintln(errs, "consentgate breach: --config FILE, --from TIME and --out FILE are needed")
		return exitUsage
	}
	o := pack.Options{User: *user, Made: time.Now()}
	o.To = o.Made
	for _, t := range []struct {
		flag, text string
		at         *time.Time
	}{{"from", *from, &o.From}, {"to", *to, &o.To}, {"aware", *aware, &o.Aware}} {
		if err := parseTime(t.text, t.at); err != nil {
			fmt.Fprintf(errs, "consentgate breach: --%s: %v\n", t.flag, err)
			return exitUsage
		}
	}
	if !o.From.Before(o.To) {
		fmt.Fprintln(errs, "consentgate breach: --from isn't before --to")
		return exitUsage
	}
	c, code, ok := loadFor(*config, errs)
	if !ok {
		return code
	}
	o.Node, o.Controller, o.Measures = c.Node, pack.Controller{Name: c.Controller.Name, Contact: c.Controller.Contact, DPO: c.Record.DPO}, c.measuresTaken(o.Made)
	p, err := collectBreach(ctx, c, o)
	if err == nil {
		err = writeNew(*file, p.Write)
	}
	if err != nil {
		return fail(errs, fmt.Errorf("making the breach pack: %w", err))
	}
	return reportBreach(p, *file, out, errs)
}

// parseTime reads a time in the machine's zone where it has none; "" leaves it.
func parseTime(text string, at *time.Time) error {
	if text == "" {
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*at = t
			return nil
		}
	}
	return fmt.Errorf("%q isn't a time, for instance 2026-11-25, \"2026-11-25 14:00\" or 2026-11-25T14:00:00+01:00", text)
}

// measuresTaken are those of Art. 32, as sentences, by language.
func (c *Config) measuresTaken(now time.Time) map[string][]string {
	out := map[string][]string{}
	for _, lang := range processing.Languages {
		for _, m := range c.processing(now).Taken() {
			out[lang] = append(out[lang], m.Sentence(lang))
		}
	}
	return out
}

// collectBreach reads the log twice: the first time it is verified, too.
func collectBreach(ctx context.Context, c *Config, o pack.Options) (p pack.Pack, err error) {
	err = withRoot(ctx, c, func(ctx context.Context, cell rootcell.Cell) error {
		if cell == nil {
			return errors.New("there is no root key: without it the log doesn't tell whose data it was about")
		}
		collected := pack.Collect(o)
		var report store.Report
		verify := func(r io.Reader) (err error) {
			report, err = store.VerifyExport(r, "")
			return err
		}
		if err := exported(ctx, c, cell, collected.First, verify); err != nil {
			return err
		}
		if err := exported(ctx, c, cell, collected.Second); err != nil {
			return err
		}
		found := pack.Log{Origin: report.Origin, Size: report.Size, Root: report.Root}
		if !report.OK() {
			found.Problem = fmt.Sprintf("entry %d: %s", report.BadSeq, report.Problem)
		}
		p = collected.Pack(found)
		return nil
	})
	return p, err
}

// exported gives the log, exported once, to readers; it touches no disk, for it
// is in the clear.
func exported(ctx context.Context, c *Config, cell rootcell.Cell, readers ...func(io.Reader) error) error {
	var reading sync.WaitGroup
	errs := make([]error, len(readers))
	var ends []*io.PipeWriter
	var all []io.Writer
	for i, read := range readers {
		r, w := io.Pipe()
		ends, all = append(ends, w), append(all, w)
		reading.Go(func() {
			errs[i] = read(r)
			_, _ = io.Copy(io.Discard, r) // what it didn't want: the others do
		})
	}
	err := store.ExportCell(ctx, c.DataDir, cell, io.MultiWriter(all...))
	for _, w := range ends {
		_ = w.CloseWithError(err) // never fails; with nil it is the end
	}
	reading.Wait()
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	return errors.Join(errs...)
}

// writeNew writes a file that isn't there yet, for its owner's eyes; all of it or
// none.
func writeNew(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// reportBreach says what is in it, without a name.
func reportBreach(p pack.Pack, path string, out, errs io.Writer) int {
	exports := 0
	for _, n := range p.Data.Exports {
		exports += n
	}
	fmt.Fprintf(out, "%d recordings affected: %d people at the carrier's side, %d at the PBX's, of %d recordings unknown\n", p.Data.Recordings,
		p.Subjects.Remote, p.Subjects.Local, p.Subjects.Unknown)
	fmt.Fprintf(out, "%d plays, %d exports, %d alarms\n", p.Data.Plays, exports, len(p.Alarms))
	switch {
	case p.Clock.Aware.IsZero():
		fmt.Fprintln(out, "the 72 hours (GDPR Art. 33): say with --aware when the controller became aware")
	default:
		fmt.Fprintf(out, "the 72 hours (GDPR Art. 33) end %s%s\n", p.Clock.Deadline.Format(time.RFC3339), map[bool]string{true: ", counted from the first alarm"}[p.Clock.Assumed])
	}
	fmt.Fprintln(out, "written to", path)
	if p.Log.Problem != "" {
		fmt.Fprintln(errs, "consentgate: the audit log doesn't verify:", p.Log.Problem)
		return exitFail
	}
	return exitOK
}
