// Command mutate breaks each invariant on purpose, one at a time in a copy of
// the tree, and runs the tests that guard it. A mutation that no test notices is
// a hole in the suite, and an error.
//
//	go run ./internal/mutate [NAME]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

func main() {
	only := ""
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	if err := run(only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(only string) error {
	todo := make(chan mutation)
	results := make(chan result)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() { work(todo, results) })
	}
	go func() {
		for _, m := range mutations {
			if only == "" || m.name == only {
				todo <- m
			}
		}
		close(todo)
		workers.Wait()
		close(results)
	}()
	tried, missed := 0, 0
	var errs []error
	for r := range results {
		tried++
		switch {
		case r.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", r.name, r.err))
		case r.verdict != "":
			missed++
			fmt.Printf("MISSED  %-48s %s\n", r.name, r.verdict)
		default:
			fmt.Printf("caught  %-48s %s, %.1f s\n", r.name, r.tests, r.took.Seconds())
		}
	}
	if tried == 0 {
		errs = append(errs, fmt.Errorf("no mutation is named %q", only))
	}
	if missed > 0 {
		errs = append(errs, fmt.Errorf("%d mutations weren't noticed", missed))
	}
	return errors.Join(errs...)
}

// result is what became of a mutation.
type result struct {
	mutation
	verdict string
	took    time.Duration
	err     error
}

// work tries mutations in a copy of the tree of its own. Without one, none of
// what it is given is tried.
func work(todo <-chan mutation, results chan<- result) {
	dir, err := os.MkdirTemp("", "consentgate-mutate-")
	if err == nil {
		err = copyTree(dir)
		defer os.RemoveAll(dir)
	}
	for m := range todo {
		r := result{mutation: m, err: err}
		if err == nil {
			start := time.Now()
			r.verdict, r.err = m.try(dir)
			r.took = time.Since(start)
		}
		results <- r
	}
}

// copyTree copies what git knows of the working tree.
func copyTree(to string) error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("listing the tree: %w", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(list), "\x00"), "\x00") {
		raw, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not committed yet
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// mutation is one way to break an invariant. old must stand once in file.
type mutation struct {
	name     string
	file     string
	old, new string
	packages string // that hold the tests
	tests    string // -run
}

// try applies the mutation, runs the tests and takes it back. The verdict is
// empty when a test failed, as it must.
func (m mutation) try(dir string) (verdict string, err error) {
	path := filepath.Join(dir, m.file)
	was, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(was, []byte(m.old)); n != 1 {
		return "", fmt.Errorf("%s holds the code to break %d times; the list of mutations must follow the code", m.file, n)
	}
	if err := os.WriteFile(path, bytes.Replace(was, []byte(m.old), []byte(m.new), 1), 0o600); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, was, 0o600)) }()
	// Without the paths of the copy in them, what one copy compiled is the others', too.
	// A test that only starves beside others must not pass for one that notices.
	out, err := goIn(dir, "test", "-trimpath", "-count=1", "-timeout", "120s", "-run", m.tests, m.packages)
	switch {
	case strings.Contains(out, " failed]"): // [build failed], [setup failed]
		return "", fmt.Errorf("the mutation doesn't compile: %s", out)
	case err == nil && strings.Contains(out, "no tests to run"):
		return "", fmt.Errorf("no test is named %s in %s", m.tests, m.packages)
	case err == nil:
		return "the tests pass all the same: " + m.tests, nil
	}
	return "", nil
}

func goIn(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
