// Command consentgate stands between a PBX and a carrier and records calls only
// after their parties said yes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Exit codes, part of the operator's interface.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

const usage = `consentgate records calls on a SIP trunk only after an explicit yes.

usage:
  consentgate serve  --config FILE
  consentgate check  --config FILE                          every error of a configuration at once
  consentgate demo   [--keep]                               three calls on this machine: one yes, one no, one silent
  consentgate verify --config FILE | --export FILE [--checkpoint FILE]... [--witness-key FILE]... [--vkey FILE] [--json]
  consentgate verify --proof FILE --vkey FILE
  consentgate proof  --config FILE --from CHECKPOINT --to CHECKPOINT | --entry NUMBER [--payload]
  consentgate verify --certificate FILE --vkey FILE [--grant HASH]   a certificate of erasure
  consentgate export --config FILE                          the audit log as JSON lines, for verify --export
  consentgate retention --config FILE --dry-run             recordings whose time is over, and what becomes of them
  consentgate retention --config FILE --confirm REASON --by NAME   lets go what a run was stopped over
  consentgate compact --config FILE                         gives back what keys.db and audit.db no longer use; while the gate is stopped
  consentgate breach --config FILE --from TIME [--to TIME] [--user NAME] [--aware TIME] --out FILE.zip   what a notification of a breach needs
  consentgate record --config FILE [--lang en|de] [--json]  the record of processing (GDPR Art. 30), as it is configured
  consentgate trace  --config FILE [--pcap FILE] [CALL-ID | latest]   SIP messages of a call, redacted
  consentgate root   status | backup | drill | restore | replicate    what holds the root key, and copies of it
  consentgate recordings list | show | export | hold | release | erase | ...   over the API of a running gate,
  consentgate requests | approvals | calls | audit | system with --server URL --token-file FILE; each says more with --help
  consentgate completion bash | zsh | fish                  has a shell complete all of these
  consentgate passwd                                        hash of a password read from stdin, for the configuration
  consentgate version
`

// command is one of the subcommands. It returns the exit code.
type command func(ctx context.Context, args []string, out, errs io.Writer) int

var commands = map[string]command{
	"serve":     serveCommand,
	"check":     checkCommand,
	"demo":      demoCommand,
	"verify":    verifyCommand,
	"export":    exportCommand,
	"proof":     proofCommand,
	"passwd":    passwdCommand,
	"root":      rootCommand,
	"trace":     traceCommand,
	"version":   versionCommand,
	"retention": retentionCommand,
	"record":    recordCommand,
	"breach":    breachCommand,
	"compact":   compactCommand,

	"recordings": clientCommand("recordings"),
	"requests":   clientCommand("requests"),
	"approvals":  clientCommand("approvals"),
	"calls":      clientCommand("calls"),
	"audit":      clientCommand("audit"),
	"system":     clientCommand("system"),
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := start(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// start runs a command, in a process of its own where that is wise.
func start(ctx context.Context, args []string) int {
	if os.Getenv(inside) != "" {
		if err := confine(); err != nil {
			return fail(os.Stderr, fmt.Errorf("limiting this process: %w", err))
		}
	} else if len(args) > 0 && confined[args[0]] {
		return runConfined(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	}
	return run(ctx, args, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errs, usage)
		return exitUsage
	}
	if c := commands[args[0]]; c != nil {
		return c(ctx, args[1:], out, errs)
	}
	if args[0] == "completion" { // which looks into the table, so it can't stand in it
		return completionCommand(ctx, args[1:], out, errs)
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(out, usage)
		return exitOK
	}
	fmt.Fprintf(errs, "consentgate: there is no command %q\n\n%s", args[0], usage)
	return exitUsage
}

// flags makes a subcommand's flag set; parse it with parseFlags.
func flags(name string, errs io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("consentgate "+name, flag.ContinueOnError)
	f.SetOutput(errs)
	return f
}

// parseFlags is false where the arguments are wrong; what is wrong has been said.
func parseFlags(f *flag.FlagSet, args []string, errs io.Writer) bool {
	if f.Parse(args) != nil {
		return false
	}
	if f.NArg() > 0 {
		fmt.Fprintf(errs, "%s: %q isn't expected\n", f.Name(), f.Arg(0))
		return false
	}
	return true
}

// fail says what went wrong and gives the exit code for it.
func fail(errs io.Writer, err error) int {
	fmt.Fprintln(errs, "consentgate:", err)
	return exitFail
}

// loadFor reads the configuration that a subcommand names. ok is false where
// the command can't go on; code is its exit code then.
func loadFor(path string, errs io.Writer) (c *Config, code int, ok bool) {
	if path == "" {
		fmt.Fprintln(errs, "consentgate: --config FILE is missing")
		return nil, exitUsage, false
	}
	c, problems := LoadConfig(path)
	fmt.Fprint(errs, problems)
	if !problems.Sound() {
		return nil, exitFail, false
	}
	return c, exitOK, true
}

func checkCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("check", errs)
	path := f.String("config", "", "the configuration `file`")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	c, code, ok := loadFor(*path, errs)
	if ok {
		c.tryDomains(ctx, out, errs)
		c.tryArchive(ctx, *path, out, errs)
		fmt.Fprintf(out, "%s is sound: %s, %s\n", *path, many(len(c.Trunks), "trunk", "trunks"), many(len(c.Policies), "policy", "policies"))
	}
	return code
}

// many is a count with its noun.
func many(n int, one, more string) string {
	if n == 1 {
		more = one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func versionCommand(_ context.Context, _ []string, out, _ io.Writer) int {
	fmt.Fprintln(out, "consentgate", programVersion())
	return exitOK
}

// programVersion is the version, and the revision that it was built from.
func programVersion() string {
	version, revision := "development", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return version + revision
}
