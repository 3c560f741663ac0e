package pkcs11cell_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/pkcs11cell"
)

const module = "/usr/lib/softhsm/libsofthsm2.so"

// program is consentgate-pkcs11, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pkcs11")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "consentgate-pkcs11")
	build := exec.Command("go", "build", "-o", program, "consentgate/cmd/consentgate-pkcs11")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building consentgate-pkcs11 (is there a C compiler?): %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// token is a SoftHSM token, in files.
type token struct {
	*testing.T
	dir string
}

func newToken(t *testing.T) *token {
	t.Helper()
	if _, err := exec.LookPath("softhsm2-util"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: softhsm2 is missing, run 'make peers'")
	}
	k := &token{t, t.TempDir()}
	must(t, os.Mkdir(k.path("tokens"), 0o700), os.Mkdir(k.path("roots"), 0o700))
	k.write("conf", "directories.tokendir = "+k.path("tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	k.write("pin", "271828\n")
	t.Setenv("SOFTHSM2_CONF", k.path("conf"))
	k.init("gate")
	return k
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func (k *token) path(name string) string { return filepath.Join(k.dir, name) }

func (k *token) write(name, text string) {
	k.Helper()
	must(k.T, os.WriteFile(k.path(name), []byte(text), 0o600))
}

func (k *token) init(label string) {
	k.Helper()
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "31415926",
		"--pin", "271828").CombinedOutput(); err != nil {
		k.Fatalf("%v: %s", err, out)
	}
}

func (k *token) config() pkcs11cell.Config {
	return pkcs11cell.Config{Module: module, Token: "gate", PINFile: k.path("pin"), Path: k.path("roots/root"), Name: "consentgate", Program: program}
}

func (k *token) open(change ...func(*pkcs11cell.Config)) rootcell.Cell {
	k.Helper()
	c := k.config()
	for _, f := range change {
		f(&c)
	}
	cell, err := pkcs11cell.Open(c)
	must(k.T, err)
	return cell
}

func (k *token) device() celltest.Device {
	return celltest.Device{
		Open: func() (rootcell.Cell, error) { return pkcs11cell.Open(k.config()) },
		Cut: func() func() {
			must(k.T, os.Rename(k.path("tokens"), k.path("away")), os.Mkdir(k.path("tokens"), 0o700))
			return func() { must(k.T, os.Remove(k.path("tokens")), os.Rename(k.path("away"), k.path("tokens"))) }
		},
	}
}

// TestPKCS11Cell: each request loads the library anew, so that each is a restart
// of SoftHSM.
func TestPKCS11Cell(t *testing.T) {
	empty := func(t *testing.T) celltest.Device { return newToken(t).device() }
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
}

// TestTheTokensKeyIsWhatIsDestroyed: who has kept the encrypted root, the PIN and
// the token has nothing.
func TestTheTokensKeyIsWhatIsDestroyed(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	cell := k.open()
	_, err := cell.Make(ctx, 1)
	_, err2 := cell.Make(ctx, 2)
	must(t, err, err2)
	kept, err := os.ReadFile(k.path("roots/root.1"))
	must(t, err, cell.Destroy(ctx, 1), os.WriteFile(k.path("roots/root.1"), kept, 0o600))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("want ErrGone, have %v", err)
	}
}

// TestAMissingFileIsntADestroyedRoot: with its backup everything opens again.
func TestAMissingFileIsntADestroyedRoot(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	cell := k.open()
	root, err := cell.Make(ctx, 1)
	must(t, err, os.Rename(k.path("roots/root.1"), k.path("kept")))
	if _, err := cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("%v", err)
	}
	if _, err := cell.Make(ctx, 1); err == nil {
		t.Error("another root was made in its place")
	}
	must(t, os.Rename(k.path("kept"), k.path("roots/root.1")))
	if got, err := cell.Get(ctx, 1); err != nil || got != root {
		t.Error(err)
	}
}

// TestAnotherTokenOfTheSameNameIsRefused: it has no such key, but that isn't
// because it was destroyed.
func TestAnotherTokenOfTheSameNameIsRefused(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	cell := k.open()
	_, err := cell.Make(ctx, 1)
	must(t, err, os.Rename(k.path("tokens"), k.path("away")), os.Mkdir(k.path("tokens"), 0o700))
	k.init("gate")
	if err := cell.Destroy(ctx, 1); err == nil || !strings.Contains(err.Error(), "connect the other") {
		t.Errorf("%v", err)
	}
	if _, err := cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(k.path("roots/root.1")))
	if err := cell.Destroy(ctx, 1); err == nil || !strings.Contains(err.Error(), "the right one") {
		t.Errorf("with no file either: %v", err)
	}
}

// TestAMakeThatWasCutOffLeavesNothing: whatever it had come to, the next makes a
// root, and the token has one key.
func TestAMakeThatWasCutOffLeavesNothing(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	cell := k.open()
	_, err := cell.Make(ctx, 1)
	must(t, err)
	line, err := os.ReadFile(k.path("roots/root.1"))
	must(t, err)
	words := strings.Fields(string(line))
	words[len(words)-1] = "-"
	k.write("roots/root.1", strings.Join(words, " "))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("nobody ever had this root: %v", err)
	}
	_, err = cell.Make(ctx, 1)
	must(t, err)
	out, err := exec.Command("softhsm2-util", "--show-slots").CombinedOutput()
	must(t, err)
	objects, err := filepath.Glob(k.path("tokens/*/*.object"))
	must(t, err)
	if len(objects) != 2 { // the token itself, and the key
		t.Errorf("%d objects: %s", len(objects), out)
	}
}

// TestGivingUpDoesntHarmTheToken: SoftHSM writes its file at each login. A run is
// given up at each moment of it, and the token is there.
func TestGivingUpDoesntHarmTheToken(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	cell := k.open()
	root, err := cell.Make(ctx, 1)
	must(t, err)
	for after := range 60 {
		short, cancel := context.WithTimeout(ctx, time.Duration(after)*500*time.Microsecond)
		_, _ = cell.Get(short, 1)
		cancel()
	}
	if got, err := cell.Get(ctx, 1); err != nil || got != root {
		t.Error(err)
	}
}

// TestAFileThatWasChangedOpensNothing, and says so.
func TestAFileThatWasChangedOpensNothing(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	cell := k.open()
	_, err := cell.Make(ctx, 1)
	must(t, err)
	line, err := os.ReadFile(k.path("roots/root.1"))
	must(t, err)
	words := strings.Fields(string(line))
	box := words[len(words)-1]
	for name, text := range map[string]string{
		"empty":         "",
		"half":          string(line[:len(line)/2]),
		"another epoch": strings.Replace(string(line), "root 1", "root 2", 1),
		"not base64":    strings.Replace(string(line), box, "!"+box[1:], 1),
		"a bit":         strings.Replace(string(line), box, box[:20]+string(box[20]^1)+box[21:], 1),
		"too short":     strings.Replace(string(line), box, box[:8], 1),
	} {
		k.write("roots/root.1", text)
		if got, err := cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) || got != (rootcell.Key{}) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := cell.Make(ctx, 1); err == nil {
			t.Errorf("%s: another root was made in its place", name)
		}
	}
}

// TestWhatIsWrongIsSaid: with what to do, and without the PIN.
func TestWhatIsWrongIsSaid(t *testing.T) {
	k, ctx := newToken(t), context.Background()
	k.write("wrong", "1234\n")
	k.write("nolib.so", "no library")
	for want, change := range map[string]func(*pkcs11cell.Config){
		"install the token's library":      func(c *pkcs11cell.Config) { c.Module = k.path("none.so") },
		"a library for this machine":       func(c *pkcs11cell.Config) { c.Module = k.path("nolib.so") },
		`there is no token "other"`:        func(c *pkcs11cell.Config) { c.Token = "other" },
		`refuses the PIN in ` + k.path(""): func(c *pkcs11cell.Config) { c.PINFile = k.path("wrong") },
		"reading the token's PIN":          func(c *pkcs11cell.Config) { c.PINFile = k.path("none") },
		"is its disk mounted":              func(c *pkcs11cell.Config) { c.Path = k.path("none/root") },
	} {
		_, err := k.open(change).Make(ctx, 1)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "1234") {
			t.Errorf("want %q, have %v", want, err)
		}
	}
	if _, err := pkcs11cell.Open(pkcs11cell.Config{Name: "consentgate"}); err == nil || !strings.Contains(err.Error(), "make pkcs11") {
		t.Errorf("without the program: %v", err)
	}
}

// TestALibraryThatBreaksOrHangsCostsARun: the gate has an error, in time.
func TestALibraryThatBreaksOrHangsCostsARun(t *testing.T) {
	k := newToken(t)
	script := func(name, text string) func(*pkcs11cell.Config) {
		must(t, os.WriteFile(k.path(name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
		return func(c *pkcs11cell.Config) { c.Program = k.path(name) }
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := k.open(script("hangs", "exec sleep 60")).Epochs(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	for want, text := range map[string]string{
		"a fault in that library": "kill -SEGV $$",
		"isn't of this version":   "echo no",
	} {
		if _, err := k.open(script("breaks", text)).Epochs(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
