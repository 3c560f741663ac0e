package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completions are what may come next, by what was typed; "FILES" stands for files.
var completions = []struct {
	typed string
	has   []string
	not   []string
}{
	{"", []string{"serve", "check", "recordings", "requests", "completion", "root", "record"}, []string{"list", "--config"}},
	{"re", []string{"recordings", "requests", "retention", "record"}, []string{"serve"}},
	{"recordings ", []string{"list", "show", "export", "hold", "release", "erase"}, []string{"serve", "new"}},
	{"recordings export abc --f", []string{"--form", "--force"}, []string{"--purpose", "--keep"}},
	{"recordings export abc --form ", []string{"wav", "receipt", "age"}, []string{"--form"}},
	{"recordings list --state se", []string{"sealed"}, []string{"recording"}},
	{"recordings export abc --out ", []string{"FILES"}, nil},
	{"requests new --kind e", []string{"erasure"}, []string{"access"}},
	{"requests list --", []string{"--open", "--server", "--token-file", "--json"}, []string{"--party"}},
	{"check --c", []string{"--config"}, nil},
	{"check --config ", []string{"FILES"}, nil},
	{"demo -", []string{"--keep"}, []string{"--config"}},
	{"verify --", []string{"--export", "--checkpoint", "--certificate", "--vkey"}, []string{"--pcap"}},
	{"root ", []string{"status", "backup", "drill", "restore", "replicate"}, nil},
	{"root drill --", []string{"--from", "--identity"}, []string{"--to"}},
	{"completion ", []string{"bash", "zsh", "fish"}, nil},
}

// script writes a shell's script into a file.
func script(t *testing.T, shell string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"completion", shell}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	path := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shell runs a program of a shell's, with arguments, in a folder of one file.
func shell(t *testing.T, name string, args ...string) []string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "HOME="+c.Dir)
	if err := os.WriteFile(filepath.Join(c.Dir, "FILES"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestShellsCompleteEveryCommand: as they load the script, and ask it.
func TestShellsCompleteEveryCommand(t *testing.T) {
	ask := map[string]func(script string, words []string) []string{
		"bash": func(script string, words []string) []string {
			return []string{"--norc", "-c", `source "$1"; complete -p consentgate | grep -q _consentgate || exit 1
				COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _consentgate; printf '%s\n' "${COMPREPLY[@]}"`, "bash", script}
		},
		"zsh": func(script string, words []string) []string {
			return []string{"-f", "-c", `compdef() { }; compadd() { shift; for w in "$@"; do [[ $w == ${last}* ]] && print -r -- $w; done; true }
				_files() { print FILES }; source "$1"; shift; words=("$@"); CURRENT=$#; last=${words[-1]}; _consentgate`, "zsh", script}
		},
		"fish": func(script string, words []string) []string {
			return []string{"--no-config", "-c", `source $argv[1]; complete -C (string join ' ' -- $argv[2..]) | string replace -r '\t.*' ''; true`, script}
		},
	}
	for name, args := range ask {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(name); err != nil {
				if name == "bash" || os.Getenv("CI") != "" {
					t.Fatalf("%s is missing: run 'make peers'", name)
				}
				t.Skipf("NOT TESTED: %s is missing, run 'make peers'", name)
			}
			path := script(t, name)
			for _, c := range completions {
				words := append([]string{"consentgate"}, strings.Split(c.typed, " ")...)
				got := shell(t, name, append(args(path, words), words...)...)
				for _, w := range c.has {
					if !slices.Contains(got, w) {
						t.Errorf("%q: there is no %s in %q", c.typed, w, got)
					}
				}
				for _, w := range c.not {
					if slices.Contains(got, w) {
						t.Errorf("%q: %s is in %q", c.typed, w, got)
					}
				}
			}
		})
	}
}

// TestCompletionKnowsEveryCommand and every verb of the API's.
func TestCompletionKnowsEveryCommand(t *testing.T) {
	known := map[string]int{}
	for _, w := range words(context.Background()) {
		known[w.Name] = len(w.Verbs) + len(w.Flags)
	}
	for name := range commands {
		if n, ok := known[name]; !ok || n == 0 && name != "version" && name != "passwd" {
			t.Errorf("%s: %d words may follow", name, n)
		}
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"completion", "ksh"}, &out, &errs); code != exitUsage || out.Len() != 0 || !strings.Contains(errs.String(), "completion fish") {
		t.Errorf("%d, %q, %q", code, &out, &errs)
	}
}
