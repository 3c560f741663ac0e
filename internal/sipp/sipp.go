// Package sipp has a real sipp play the ends of calls for tests.
package sipp

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run is a running sipp.
type Run struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  bytes.Buffer
	dir  string
}

// Start runs a scenario for so many calls. port is the address where it listens, to
// where it calls, if it does.
func Start(t testing.TB, name, scenario, port, to string, calls int, more ...string) *Run {
	t.Helper()
	s := &Run{t: t, name: name, dir: t.TempDir()}
	file := filepath.Join(s.dir, name+".xml")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	_, p, err := net.SplitHostPort(port)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-sf", file, "-i", "127.0.0.1", "-p", p, "-mi", "127.0.0.1", "-m", fmt.Sprint(calls),
		"-nostdin", "-trace_err", "-timeout", "120s", "-timeout_error"}, more...)
	if to != "" {
		args = append(args, to)
	}
	s.cmd = exec.Command("sipp", args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Wait returns when sipp is done; a failed call is an error of the test.
func (s *Run) Wait() {
	s.t.Helper()
	if err := s.Ended(); err != nil {
		s.t.Error(err)
	}
}

// Ended returns when sipp is done, with what it complained of.
func (s *Run) Ended() error {
	err := s.cmd.Wait()
	if err == nil {
		return nil
	}
	errs, _ := filepath.Glob(filepath.Join(s.dir, "*_errors.log"))
	said := s.out.String()
	for _, f := range errs {
		if raw, err := os.ReadFile(f); err == nil {
			said = string(raw)
		}
	}
	return fmt.Errorf("sipp as %s: %w\n%.4000s", s.name, err, said)
}

// Kill ends it at once, whatever it is at.
func (s *Run) Kill() { _ = s.cmd.Process.Kill() } // an error says that it has ended
