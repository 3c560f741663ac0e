package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"consentgate/store"
	"consentgate/store/rootcell"
)

func verifyCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("verify", errs)
	config := f.String("config", "", "the configuration `file`: checks the log in its data directory")
	export := f.String("export", "", "checks an exported log in this `file` instead")
	checkpoint := f.String("checkpoint", "", "an older checkpoint in this `file`, which the log must continue")
	vkey := f.String("vkey", "", "with --export: the log's verifier key in this `file`, as you know it")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	if (*config == "") == (*export == "") {
		fmt.Fprintln(errs, "consentgate verify: one of --config and --export is needed")
		return exitUsage
	}
	report, err := verify(ctx, *config, *export, *checkpoint, *vkey, errs)
	if errors.Is(err, errUnsound) {
		return exitFail
	}
	if err != nil {
		return fail(errs, err)
	}
	return printReport(report, out)
}

// errUnsound: the configuration's problems have been printed.
var errUnsound = errors.New("the configuration isn't sound")

func verify(ctx context.Context, config, export, checkpoint, vkey string, errs io.Writer) (r store.Report, err error) {
	var older []byte
	if checkpoint != "" {
		if older, err = os.ReadFile(checkpoint); err != nil {
			return r, fmt.Errorf("reading the checkpoint: %w", err)
		}
	}
	if export == "" {
		c, _, ok := loadFor(config, errs)
		if !ok {
			return r, errUnsound
		}
		return r, withRoot(ctx, c, func(ctx context.Context, cell rootcell.Cell) (err error) {
			r, err = store.VerifyCell(ctx, c.DataDir, cell, older)
			return err
		})
	}
	var known []byte
	if vkey != "" {
		if known, err = os.ReadFile(vkey); err != nil {
			return r, fmt.Errorf("reading the verifier key: %w", err)
		}
	}
	in, err := os.Open(export)
	if err != nil {
		return r, fmt.Errorf("opening the export: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return store.VerifyExport(in, string(known), older)
}

// printReport prints size, root, and ok or the first bad entry.
func printReport(r store.Report, out io.Writer) int {
	fmt.Fprintf(out, "log %s\nsize %d\nroot %s\n", r.Origin, r.Size, r.Root)
	if r.Checked != "" {
		fmt.Fprintf(out, "continues %s\n", r.Checked)
	}
	if r.Erased > 0 {
		fmt.Fprintf(out, "%d payloads are gone, by erasures that are logged\n", r.Erased)
	}
	if r.Sealed > 0 {
		fmt.Fprintf(out, "%d payloads stay sealed: the root key isn't here\n", r.Sealed)
	}
	if !r.OK() {
		fmt.Fprintf(out, "bad: entry %d: %s\n", r.BadSeq, r.Problem)
		return exitFail
	}
	fmt.Fprintln(out, "ok")
	return exitOK
}

func exportCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("export", errs)
	config := f.String("config", "", "the configuration `file`")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	c, code, ok := loadFor(*config, errs)
	if !ok {
		return code
	}
	err := withRoot(ctx, c, func(ctx context.Context, cell rootcell.Cell) error {
		return store.ExportCell(ctx, c.DataDir, cell, out)
	})
	if err != nil {
		return fail(errs, fmt.Errorf("exporting the audit log: %w", err))
	}
	return exitOK
}
