package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench-media:", err)
		os.Exit(1)
	}
}

// plan is what is measured.
type plan struct {
	sizes   []int // calls at a time
	only    []string
	repeat  int
	seconds float64 // that count, of a run
	warm    float64 // before them
	idle    int     // calls of the measurement of memory
	doc     string  // file that gets the table
	dir     string
	before  []string
	pin     string // processors of the relay, a list; "": all
}

// quick are the flags that -quick sets, but for those that are given. It is for
// the work on a relay: an answer within a minute or two, good for an order of things.
var quick = [][2]string{{"calls", "50"}, {"repeat", "1"}, {"seconds", "3"}, {"idle", "50"}}

func parsePlan(args []string) (p plan, err error) {
	f := flag.NewFlagSet("media", flag.ContinueOnError)
	sizes := f.String("calls", "50,200,500,1000", "how many calls at a time, a `list`")
	only := f.String("only", "", "a `list` of contestants; empty: all")
	f.IntVar(&p.repeat, "repeat", 3, "rounds; figures are medians over them")
	f.Float64Var(&p.seconds, "seconds", 6, "how long each run counts")
	f.Float64Var(&p.warm, "warm", 2, "seconds before that")
	f.IntVar(&p.idle, "idle", 1000, "calls without packets, for the memory of one; 0: not measured")
	f.StringVar(&p.doc, "doc", "", "`file` in which the table is replaced")
	f.StringVar(&p.dir, "dir", os.TempDir(), "where recordings go for the time of a run: a real disk")
	f.StringVar(&p.pin, "pin", "", "`processors` that relays get, a list such as 0 or 0-1; empty: all. The generator gets any")
	rt := f.Bool("realtime", false, "generator and relays come before all else that runs here, for a machine that isn't ours alone")
	fast := f.Bool("quick", false, "few calls, once and briefly: what isn't given otherwise is then "+fmt.Sprint(quick))
	if err := f.Parse(args); err != nil {
		return p, err
	}
	if *fast {
		if err := preset(f, quick); err != nil {
			return p, err
		}
	}
	for _, s := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxCalls {
			return p, fmt.Errorf("-calls: %q must be a number from 1 to %d", s, maxCalls)
		}
		p.sizes = append(p.sizes, n)
	}
	if p.before = favoured; *rt {
		p.before = realtime
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
	}
	if p.repeat < 1 || p.seconds <= 0 || p.warm < 0 || p.idle < 0 || p.idle > maxCalls {
		return p, errors.New("-repeat and -seconds must be positive, -warm and -idle not negative")
	}
	return p, nil
}

// preset sets the flags that weren't given.
func preset(f *flag.FlagSet, values [][2]string) (err error) {
	given := map[string]bool{}
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	for _, v := range values {
		if !given[v[0]] {
			err = errors.Join(err, f.Set(v[0], v[1]))
		}
	}
	return err
}

func bench(ctx context.Context, args []string, out io.Writer) (err error) {
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	if err := allowFiles(append(p.sizes, p.idle)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(p.dir, "bench-media-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := onDisk(dir); err != nil {
		return err
	}
	programs, err := build(ctx, dir, p.before)
	if err != nil {
		return err
	}
	programs.pin = p.pin
	r := report{plan: p, rounds: map[runKey][]result{}, at: time.Now(), machine: describeMachine(ctx)}
	err = r.measure(ctx, programs, out)
	text := r.String()
	fmt.Fprint(out, "\n", text) // what was measured until an error, too
	if err == nil && p.doc != "" {
		return replaceTable(p.doc, text)
	}
	return err
}

// filesOfACall bounds what a process has open for a call: two pairs of RTP and
// RTCP sockets, a recording, and one to spare.
const filesOfACall = 6

// allowFiles lets the relays have as many files open as they'll need: children
// inherit what is set here.
func allowFiles(sizes []int) error {
	most := uint64(0)
	for _, n := range sizes {
		most = max(most, uint64(n)*filesOfACall+256)
	}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	want := syscall.Rlimit{Cur: most, Max: max(now.Max, most)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		return fmt.Errorf("%d open files are needed, and the hard limit is %d: raise it ('ulimit -Hn') or measure fewer calls: %w",
			most, now.Max, err)
	}
	return nil
}

// onDisk refuses a directory that is memory: recording to it would cost nothing.
func onDisk(dir string) error {
	const tmpfs = 0x01021994
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if fs.Type == tmpfs {
		return fmt.Errorf("%s is memory and no disk: name another directory with -dir", dir)
	}
	return nil
}

// describeMachine is what figures depend on; empty where it can't be told.
func describeMachine(ctx context.Context) string {
	var parts []string
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(raw), "model name\t: ")
		model, _, _ := strings.Cut(rest, "\n")
		parts = append(parts, fmt.Sprintf("%d cores (%s)", strings.Count(string(raw), "processor\t:"), model))
	}
	for _, c := range [][]string{{"uname", "-sr"}, {"go", "env", "GOVERSION"}, {"rtpengine", "--version"}} {
		said, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput()
		if err != nil {
			continue
		}
		parts = append(parts, strings.Replace(strings.TrimSpace(string(said)), "Version:", "rtpengine", 1))
	}
	return strings.Join(parts, ", ")
}
