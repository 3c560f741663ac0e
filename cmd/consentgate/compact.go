package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"consentgate/store"
)

func compactCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("compact", errs)
	path := f.String("config", "", "the configuration `file`; the gate must be stopped")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	c, code, ok := loadFor(*path, errs)
	if !ok {
		return code
	}
	began := time.Now()
	done, err := compactDirectory(ctx, c)
	for _, d := range done {
		fmt.Fprintf(out, "%s: %s before, %s now\n", d.Database, mebibytes(d.Before), mebibytes(d.After))
	}
	if errors.Is(err, store.ErrInUse) {
		err = fmt.Errorf("%w: stop the gate, compact, and start it again, at an hour of few calls", err)
	}
	if err != nil {
		return fail(errs, fmt.Errorf("compacting the data directory %s: %w", c.DataDir, err))
	}
	fmt.Fprintf(out, "done in %s, and logged; every row was compared, all keys open and the audit log verifies. Start the gate\n", time.Since(began).Round(time.Second/10))
	return exitOK
}

// compactDirectory is Compact of a configuration's data directory.
func compactDirectory(ctx context.Context, c *Config) (done []store.Compacted, err error) {
	root, err := openRoot(c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	o := c.idleStore()
	o.Root = root
	return store.Compact(ctx, o)
}

// idleStore are the options of a command that opens a stopped gate's data directory:
// nothing goes before the gate is started.
func (c *Config) idleStore() store.Options {
	o := c.storeOptions()
	o.Retention.Every, o.Rotation = 0, store.Rotation{}
	return o
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
