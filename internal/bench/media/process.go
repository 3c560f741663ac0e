package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How generator and relays alike are put before other programs on the machine.
// Without the right to it they run as they are; nice says so, chrt refuses.
var (
	favoured = []string{"nice", "-n", "-20"}
	realtime = []string{"chrt", "--rr", "1"}
)

// command is what to launch.
type command struct {
	name string // of its log as well
	path string
	args []string
	env  []string // more of it
	pin  string   // processors that it gets, a list; "": all
}

// process is a program under way.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    *os.File
	in     io.WriteCloser
	out    *bufio.Reader
	hang   func() error // ends out
	exited chan struct{}
	err    error // of its end; read it after exited
}

// launch starts a program whose errors go to a file in dir. It is killed with ctx.
func (x programs) launch(ctx context.Context, dir string, c command) (*process, error) {
	log, err := os.Create(filepath.Join(dir, c.name+".log"))
	if err != nil {
		return nil, err
	}
	from, to := io.Pipe()
	start := x.before
	if c.pin != "" {
		start = slices.Concat([]string{"taskset", "-c", c.pin}, start)
	}
	p := &process{name: c.name, log: log, out: bufio.NewReader(from), hang: from.Close, exited: make(chan struct{}),
		cmd: exec.CommandContext(ctx, start[0], slices.Concat(start[1:], []string{c.path}, c.args)...)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Env = append(p.cmd.Environ(), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = to, log
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		_ = log.Close() // nothing was written
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	// Where sessions share the CPU evenly (sched(7), autogroup), niceness counts
	// within them only: then the session is favoured. Elsewhere there is no file.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", p.pid()), []byte("-20"), 0)
	go func() {
		p.err = p.cmd.Wait()
		_ = to.Close() // never fails
		close(p.exited)
	}()
	return p, nil
}

// expect reads the line by which a program says how far it is.
func (p *process) expect(want string) error {
	line, err := p.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		return fmt.Errorf("%s said %q and not %q: %v\n%s", p.name, line, want, err, p.said())
	}
	return nil
}

// tell gives a program all it reads.
func (p *process) tell(text string) error {
	_, err := io.WriteString(p.in, text)
	if err = errors.Join(err, p.in.Close()); err != nil {
		return fmt.Errorf("telling %s: %w\n%s", p.name, err, p.said())
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends it at once: what it would still tidy up lies in a directory that is
// thrown away.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	_ = p.hang()             // never fails
	<-p.exited
	_ = p.log.Close()
}

// said is the end of what the program had to say, for an error.
func (p *process) said() string {
	raw, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-2000):])
}

// until polls for what the program brings about.
func (p *process) until(ctx context.Context, what string, ok func() bool) error {
	end := time.Now().Add(20 * time.Second)
	for !ok() {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended (%v) before: %s\n%s", p.name, p.err, what, p.said())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: never: %s\n%s", p.name, what, p.said())
		}
	}
	return nil
}

// resident is a process's resident memory, bytes.
func (p *process) resident() (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid()))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	return float64(pages * os.Getpagesize()), err
}

// bytesUnder is the size of all files below a directory.
func bytesUnder(dir string) (sum float64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += float64(info.Size())
		}
		return err
	})
	return sum, err
}
