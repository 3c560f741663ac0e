package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Commands that read databases which somebody may have damaged run in a process
// of their own: pages that lead to themselves send the database library down its
// stack or round in circles, and Go can't recover from a stack that overflows.
// The process may then end as it likes; this one says what that means.
var confined = map[string]bool{"verify": true, "export": true, "breach": true, "proof": true, "root": true, "retention": true, "compact": true}

// inside tells a process that it is the confined one.
const inside = "CONSENTGATE_CONFINED"

// Limits of the confined process. A log of a million entries needs some hundred
// MiB and a minute of CPU.
const (
	maxStack   = 64 << 20
	maxMemory  = 2 << 30
	maxSeconds = 3600
)

// farewell is how long the confined process has to end when this one is stopped.
const farewell = 5 * time.Second

// runConfined runs a command in a process of its own, with limits, and passes on
// what it says and how it ends. in is its standard input; nil: none.
func runConfined(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		return fail(errs, fmt.Errorf("finding this program: %w", err))
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), inside+"=1", "GOTRACEBACK=single")
	last := &tail{to: errs}
	c.Stdin, c.Stdout, c.Stderr = in, out, last
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it may be writing to a device
	c.WaitDelay = farewell
	err = c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil: // stopped by who started it
		return exitFail
	case !errors.As(err, &exit):
		return fail(errs, fmt.Errorf("starting %s again: %w", self, err))
	case last.crash == "" && exit.Exited() && exit.ExitCode() <= exitUsage:
		return exit.ExitCode()
	}
	why := last.crash
	if why == "" {
		why = exit.String()
	}
	return fail(errs, fmt.Errorf("damaged: reading the data directory ended in a crash (%s): its databases' pages contradict each other; "+
		"look for another copy, or verify an export", why))
}

// confine sets the limits of this process.
func confine() error {
	debug.SetMaxStack(maxStack)
	return errors.Join(limit(syscall.RLIMIT_CPU, maxSeconds), limit(syscall.RLIMIT_DATA, maxMemory), limit(syscall.RLIMIT_CORE, 0))
}

func limit(resource int, to uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil {
		return err
	}
	if to > l.Max {
		return nil // stricter already
	}
	l.Cur, l.Max = to, to
	return syscall.Setrlimit(resource, &l)
}

// tail passes a process's messages on up to the trace of a crash, of which it
// keeps what it was.
type tail struct {
	to    io.Writer
	line  []byte
	crash string
}

func (t *tail) Write(p []byte) (int, error) {
	t.line = append(t.line, p...)
	for {
		line, rest, whole := bytes.Cut(t.line, []byte("\n"))
		if !whole {
			if len(t.line) > 64<<10 {
				t.line = nil
			}
			return len(p), nil
		}
		t.line = append([]byte(nil), rest...)
		if t.crash == "" {
			if t.crash = crashIn(string(line)); t.crash == "" {
				fmt.Fprintf(t.to, "%s\n", line)
			}
		}
	}
}

// crashIn reports what a line of Go's runtime says that a crash begins with.
func crashIn(line string) string {
	for _, begin := range []string{"runtime: goroutine stack exceeds", "fatal error: ", "panic: ", "SIGXCPU", "unexpected fault address", "runtime: ", "runtime/cgo: "} {
		if strings.HasPrefix(line, begin) {
			return strconv.Quote(line[:min(len(line), 80)])
		}
	}
	return ""
}
