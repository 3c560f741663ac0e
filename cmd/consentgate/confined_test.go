package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"consentgate/consent"
	"consentgate/store"
)

// asProgram has the test binary be the program: what starts itself again then
// finds itself.
const asProgram = "CONSENTGATE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" || os.Getenv(inside) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program runs the program, all of it.
func program(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// loggedConfig is a configuration whose data directory has a log of n records of a
// kind and some entries.
func loggedConfig(t *testing.T, n int, kind consent.Kind) (config, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s, err := store.Open(store.Options{Dir: dir, Node: "test"})
	must(t, err)
	for i := range n {
		_, err := s.Audit().Append(context.Background(), consent.Record{Kind: kind, Call: consent.Call{ID: strconv.Itoa(i)}})
		must(t, err)
	}
	must(t, s.Close())
	config = filepath.Join(t.TempDir(), "config.yaml")
	must(t, os.WriteFile(config, []byte("data_dir: "+dir+"\n"+minimal), 0o600))
	return config, dir
}

// TestPagesThatLeadToThemselvesEndInASentence: every branch of a database's trees
// is made its own child, so that whoever follows one never comes to an end. The
// control is the same before.
func TestPagesThatLeadToThemselvesEndInASentence(t *testing.T) {
	for db, commands := range map[string][][]string{
		"audit.db": {{"verify"}, {"export"}, {"proof", "--entry", "5"}},
		"keys.db":  {{"root", "status"}, {"compact"}},
	} {
		t.Run(db, func(t *testing.T) {
			config, dir := loggedConfig(t, 100, consent.Granted) // each has a key
			for _, command := range commands {
				if code, _, errs := program(t, append(command, "--config", config)...); code != exitOK {
					t.Fatalf("control: %v: %d %s", command, code, errs)
				}
			}
			path := filepath.Join(dir, db)
			loop(t, path)
			was, err := os.ReadFile(path)
			must(t, err)
			for _, command := range commands {
				code, _, errs := program(t, append(command, "--config", config)...)
				if code != exitFail || !strings.Contains(errs, "damaged") || strings.Contains(errs, "\ngoroutine ") || strings.Count(errs, "\n") > 2 {
					t.Errorf("%v: exit %d\n%.2000s", command, code, errs)
				}
				if is, err := os.ReadFile(path); err != nil || !bytes.Equal(was, is) {
					t.Errorf("%v: the database was changed: %v", command, err)
				}
			}
		})
	}
}

// loop makes every branch of a database its own child.
func loop(t *testing.T, path string) {
	t.Helper()
	file, err := os.ReadFile(path)
	must(t, err)
	const branch, header, element = 1, 16, 16 // of bbolt's pages: id u64, flags u16, count u16, overflow u32; then the elements
	size, made := os.Getpagesize(), 0
	for at := 2 * size; at+size <= len(file); at += size {
		page := file[at : at+size]
		if binary.NativeEndian.Uint16(page[8:]) != branch {
			continue
		}
		for i := range int(binary.NativeEndian.Uint16(page[10:])) {
			binary.NativeEndian.PutUint64(page[header+i*element+8:], uint64(at/size))
		}
		made++
	}
	if made == 0 {
		t.Fatal("the database has no branches")
	}
	must(t, os.WriteFile(path, file, 0o600))
}

// TestTheAuditorsCommands: verify, export, proof, as they are used.
func TestTheAuditorsCommands(t *testing.T) {
	config, dir := loggedConfig(t, 5, consent.Withdrawn)
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	vkey := filepath.Join(dir, store.VerifierFile)
	checkpoint := func() string {
		s, err := store.Open(store.Options{Dir: dir})
		must(t, err)
		signed, err := s.Audit().Checkpoint()
		path := at("checkpoint")
		must(t, err, os.WriteFile(path, signed, 0o600), s.Close())
		return path
	}
	first, second := checkpoint(), checkpoint()
	code, export, errs := program(t, "export", "--config", config)
	exported := at("export")
	must(t, os.WriteFile(exported, []byte(export), 0o600))
	if code != exitOK {
		t.Fatal(errs)
	}
	for _, from := range [][]string{{"--config", config}, {"--export", exported, "--vkey", vkey}} {
		code, out, errs := program(t, append([]string{"verify", "--checkpoint", first, "--checkpoint", second}, from...)...)
		if code != exitOK || !strings.Contains(out, "and 1 before\n") || !strings.HasSuffix(out, "ok\n") {
			t.Errorf("%v: %d %s %s", from, code, out, errs)
		}
	}
	for want, args := range map[string][]string{
		"continues 8 ":  {"--from", first, "--to", second},
		"has entry 3 ":  {"--entry", "3"},
		"payload \"{\\": {"--entry", "3", "--payload"},
	} {
		code, proof, errs := program(t, append([]string{"proof", "--config", config}, args...)...)
		path := at("proof")
		must(t, os.WriteFile(path, []byte(proof), 0o600))
		if code != exitOK {
			t.Errorf("%v: %d %s", args, code, errs)
		}
		if code, out, errs := program(t, "verify", "--proof", path, "--vkey", vkey); code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"verify"}, {"verify", "--config", config, "--export", exported}, {"verify", "--proof", exported},
		{"proof", "--config", config}, {"proof", "--config", config, "--from", first}, {"proof", "--config", config, "--from", first, "--to", second, "--payload"}} {
		if code, _, errs := program(t, args...); code != exitUsage || errs == "" {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}
