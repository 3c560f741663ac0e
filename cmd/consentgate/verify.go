package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"consentgate/store"
	"consentgate/store/rootcell"
)

// files is a flag that may be given several times, each a file's name.
type files []string

func (f *files) String() string     { return strings.Join(*f, " ") }
func (f *files) Set(v string) error { *f = append(*f, v); return nil }

// read reads them all.
func (f files) read() (out [][]byte, err error) {
	for _, name := range f {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// verifyFlags are what verify is asked.
type verifyFlags struct {
	config, export, proof, vkey string
	certificate, grant          string
	json                        bool
	checkpoints, witnesses      files
}

func (v *verifyFlags) define(f *flag.FlagSet) {
	f.StringVar(&v.config, "config", "", "the configuration `file`: checks the log in its data directory")
	f.StringVar(&v.export, "export", "", "checks an exported log in this `file` instead")
	f.StringVar(&v.proof, "proof", "", "checks a proof in this `file` instead; needs --vkey")
	f.StringVar(&v.certificate, "certificate", "", "checks a certificate of erasure in this `file` instead; needs --vkey")
	f.StringVar(&v.grant, "grant", "", "with --certificate: the `hash` on the consent receipt, which the certificate must be of")
	f.StringVar(&v.vkey, "vkey", "", "the log's verifier key in this `file`, as you know it")
	f.BoolVar(&v.json, "json", false, "with --config or --export: prints the report as JSON")
	f.Var(&v.checkpoints, "checkpoint", "an older checkpoint in this `file`, or a witness's file, which the log must continue; may be given again")
	f.Var(&v.witnesses, "witness-key", "a witness's verifier key in this `file`: it must have cosigned; may be given again")
}

func verifyCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("verify", errs)
	var v verifyFlags
	v.define(f)
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	given := 0
	for _, what := range []string{v.config, v.export, v.proof, v.certificate} {
		if what != "" {
			given++
		}
	}
	if given != 1 || v.proof+v.certificate != "" && v.vkey == "" {
		fmt.Fprintln(errs, "consentgate verify: one of --config and --export, or --vkey with one of --proof and --certificate, are needed")
		return exitUsage
	}
	auditor, err := v.auditor()
	if err == nil && v.certificate != "" {
		return verifyCertificate(v.certificate, auditor.VKey, v.grant, out, errs)
	}
	if err == nil && v.proof != "" {
		return verifyProof(v.proof, auditor.VKey, out, errs)
	}
	var report store.Report
	if err == nil {
		report, err = v.verify(ctx, auditor, errs)
	}
	if errors.Is(err, errUnsound) {
		return exitFail
	}
	if err != nil {
		return fail(errs, err)
	}
	if v.json {
		return encodeReport(report, out, errs)
	}
	return printReport(report, out)
}

// encodeReport prints a report for programs.
func encodeReport(r store.Report, out, errs io.Writer) int {
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return fail(errs, err)
	}
	if !r.OK() {
		return exitFail
	}
	return exitOK
}

// errUnsound: the configuration's problems have been printed.
var errUnsound = errors.New("the configuration isn't sound")

// auditor reads what the one who asks brought along.
func (v verifyFlags) auditor() (a store.Auditor, err error) {
	if a.Kept, err = v.checkpoints.read(); err != nil {
		return a, fmt.Errorf("reading the checkpoint: %w", err)
	}
	keys, err := v.witnesses.read()
	if err != nil {
		return a, fmt.Errorf("reading the witness's key: %w", err)
	}
	for _, k := range keys {
		a.Witnesses = append(a.Witnesses, string(k))
	}
	if v.vkey != "" {
		known, err := os.ReadFile(v.vkey)
		if err != nil {
			return a, fmt.Errorf("reading the verifier key: %w", err)
		}
		a.VKey = string(known)
	}
	return a, nil
}

func (v verifyFlags) verify(ctx context.Context, a store.Auditor, errs io.Writer) (r store.Report, err error) {
	if v.export == "" {
		c, _, ok := loadFor(v.config, errs)
		if !ok {
			return r, errUnsound
		}
		return r, withRoot(ctx, c, func(ctx context.Context, cell rootcell.Cell) (err error) {
			r, err = a.Verify(ctx, c.DataDir, cell)
			return err
		})
	}
	in, err := os.Open(v.export)
	if err != nil {
		return r, fmt.Errorf("opening the export: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return a.VerifyExport(in)
}

// printReport prints size, root, and ok or the first bad entry.
func printReport(r store.Report, out io.Writer) int {
	fmt.Fprintf(out, "log %s\nsize %d\nroot %s\n", r.Origin, r.Size, r.Root)
	if r.Checked != "" {
		fmt.Fprintf(out, "continues %s\n", r.Checked)
	}
	for _, c := range r.Cosigned {
		fmt.Fprintf(out, "cosigned by %s at %d entries, %s\n", c.Witness, c.Size, c.At.Format(time.RFC3339))
	}
	if r.Erased > 0 {
		fmt.Fprintf(out, "%d payloads are erased, as the log says\n", r.Erased)
	}
	if r.Before > 0 {
		fmt.Fprintf(out, "what goes with no recording is erased up to entry %d\n", r.Before-1)
	}
	if r.Sealed > 0 {
		fmt.Fprintf(out, "%d payloads stay sealed: the root key isn't here\n", r.Sealed)
	}
	if r.Clock.Back > 0 {
		fmt.Fprintf(out, "the clock was put back %d times, first at entry %d; the log explains all but %d\n", r.Clock.Back, r.Clock.First, r.Clock.Unexplained)
	}
	if !r.OK() {
		fmt.Fprintf(out, "bad: entry %d: %s\n", r.BadSeq, r.Problem)
		return exitFail
	}
	fmt.Fprintln(out, "ok")
	return exitOK
}

// verifyProof checks a proof and says what it proves.
func verifyProof(path, vkey string, out, errs io.Writer) int {
	file, err := os.ReadFile(path)
	if err != nil {
		return fail(errs, fmt.Errorf("reading the proof: %w", err))
	}
	p, err := store.CheckProof(file, vkey)
	if err != nil {
		fmt.Fprintf(out, "bad: %v\n", err)
		return exitFail
	}
	fmt.Fprintf(out, "log %s\nsize %d\nroot %s\n", p.To.Origin, p.To.Size, p.To.Root)
	if p.Entry == nil {
		fmt.Fprintf(out, "continues %d %s\n", p.From.Size, p.From.Root)
	} else {
		fmt.Fprintf(out, "has entry %d %s %s\n", p.Entry.Seq, p.Entry.At.Format(time.RFC3339Nano), p.Entry.Type)
		if p.Entry.Payload != nil {
			fmt.Fprintf(out, "payload %q\n", p.Entry.Payload)
		}
	}
	fmt.Fprintln(out, "ok")
	return exitOK
}

func proofCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("proof", errs)
	config := f.String("config", "", "the configuration `file`")
	from := f.String("from", "", "proves that --to continues the checkpoint in this `file`")
	to := f.String("to", "", "the newer checkpoint, in this `file`")
	entry := f.Int64("entry", -1, "proves that the entry of this `number` is in the log, as it is now")
	payload := f.Bool("payload", false, "with --entry: what it says goes along, in the clear; it is personal data")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	if (*from == "") != (*to == "") || (*entry < 0) == (*from == "") || *payload && *entry < 0 {
		fmt.Fprintln(errs, "consentgate proof: --from FILE and --to FILE are needed, or --entry NUMBER")
		return exitUsage
	}
	c, code, ok := loadFor(*config, errs)
	if !ok {
		return code
	}
	var p store.Proof
	var err error
	switch {
	case *payload:
		err = withRoot(ctx, c, func(ctx context.Context, cell rootcell.Cell) (err error) {
			p, err = store.ProveEntry(ctx, c.DataDir, cell, *entry)
			return err
		})
	case *entry >= 0:
		p, err = store.ProveEntry(ctx, c.DataDir, nil, *entry)
	default:
		p, err = proveConsistency(c.DataDir, files{*from, *to})
	}
	if err == nil {
		err = json.NewEncoder(out).Encode(p)
	}
	if err != nil {
		return fail(errs, fmt.Errorf("proving: %w", err))
	}
	return exitOK
}

func proveConsistency(dir string, checkpoints files) (store.Proof, error) {
	signed, err := checkpoints.read()
	if err != nil {
		return store.Proof{}, err
	}
	return store.ProveConsistency(dir, signed[0], signed[1])
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
