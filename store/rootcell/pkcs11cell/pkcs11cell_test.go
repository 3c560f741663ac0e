package pkcs11cell_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
	"consentgate/store/rootcell/devicetest"
	"consentgate/store/rootcell/pkcs11cell"
)

func TestMain(m *testing.M) { os.Exit(devicetest.Main(m)) }

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestPKCS11Cell: each request loads the library anew, so that each is a restart
// of SoftHSM.
func TestPKCS11Cell(t *testing.T) {
	empty := func(t *testing.T) celltest.Device { return devicetest.NewSoftHSM(t).Device() }
	celltest.Run(t, empty)
	celltest.RunImporter(t, empty)
}

// TestTheTokensKeyIsWhatIsDestroyed: who has kept the encrypted root, the PIN and
// the token has nothing.
func TestTheTokensKeyIsWhatIsDestroyed(t *testing.T) {
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	cell := k.Open()
	_, err := cell.Make(ctx, 1)
	_, err2 := cell.Make(ctx, 2)
	must(t, err, err2)
	kept, err := os.ReadFile(k.Path("roots/root.1"))
	must(t, err, cell.Destroy(ctx, 1), os.WriteFile(k.Path("roots/root.1"), kept, 0o600))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("want ErrGone, have %v", err)
	}
}

// TestAMissingFileIsntADestroyedRoot: with its backup everything opens again.
func TestAMissingFileIsntADestroyedRoot(t *testing.T) {
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	cell := k.Open()
	root, err := cell.Make(ctx, 1)
	must(t, err, os.Rename(k.Path("roots/root.1"), k.Path("kept")))
	if _, err := cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("%v", err)
	}
	if _, err := cell.Make(ctx, 1); err == nil {
		t.Error("another root was made in its place")
	}
	must(t, os.Rename(k.Path("kept"), k.Path("roots/root.1")))
	if got, err := cell.Get(ctx, 1); err != nil || got != root {
		t.Error(err)
	}
}

// TestAnotherTokenOfTheSameNameIsRefused: it has no such key, but that isn't
// because it was destroyed.
func TestAnotherTokenOfTheSameNameIsRefused(t *testing.T) {
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	cell := k.Open()
	_, err := cell.Make(ctx, 1)
	must(t, err, os.Rename(k.Path("tokens"), k.Path("away")), os.Mkdir(k.Path("tokens"), 0o700))
	k.Init("gate")
	if err := cell.Destroy(ctx, 1); err == nil || !strings.Contains(err.Error(), "connect the other") {
		t.Errorf("%v", err)
	}
	if _, err := cell.Get(ctx, 1); err == nil || errors.Is(err, rootcell.ErrGone) {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(k.Path("roots/root.1")))
	if err := cell.Destroy(ctx, 1); err == nil || !strings.Contains(err.Error(), "the right one") {
		t.Errorf("with no file either: %v", err)
	}
}

// TestAMakeThatWasCutOffLeavesNothing: whatever it had come to, the next makes a
// root, and the token has one key.
func TestAMakeThatWasCutOffLeavesNothing(t *testing.T) {
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	cell := k.Open()
	_, err := cell.Make(ctx, 1)
	must(t, err)
	line, err := os.ReadFile(k.Path("roots/root.1"))
	must(t, err)
	words := strings.Fields(string(line))
	words[len(words)-1] = "-"
	k.Write("roots/root.1", strings.Join(words, " "))
	if _, err := cell.Get(ctx, 1); !errors.Is(err, rootcell.ErrGone) {
		t.Errorf("nobody ever had this root: %v", err)
	}
	_, err = cell.Make(ctx, 1)
	must(t, err)
	out, err := exec.Command("softhsm2-util", "--show-slots").CombinedOutput()
	must(t, err)
	objects, err := filepath.Glob(k.Path("tokens/*/*.object"))
	must(t, err)
	if len(objects) != 2 { // the token itself, and the key
		t.Errorf("%d objects: %s", len(objects), out)
	}
}

// TestGivingUpDoesntHarmTheToken: SoftHSM writes its file at each login. A run is
// given up at each moment of it, and the token is there.
func TestGivingUpDoesntHarmTheToken(t *testing.T) {
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	cell := k.Open()
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
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	cell := k.Open()
	_, err := cell.Make(ctx, 1)
	must(t, err)
	line, err := os.ReadFile(k.Path("roots/root.1"))
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
		k.Write("roots/root.1", text)
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
	k, ctx := devicetest.NewSoftHSM(t), context.Background()
	k.Write("wrong", "1234\n")
	k.Write("nolib.so", "no library")
	for want, change := range map[string]func(*pkcs11cell.Config){
		"install the token's library":      func(c *pkcs11cell.Config) { c.Module = k.Path("none.so") },
		"a library for this machine":       func(c *pkcs11cell.Config) { c.Module = k.Path("nolib.so") },
		`there is no token "other"`:        func(c *pkcs11cell.Config) { c.Token = "other" },
		`refuses the PIN in ` + k.Path(""): func(c *pkcs11cell.Config) { c.PINFile = k.Path("wrong") },
		"reading the token's PIN":          func(c *pkcs11cell.Config) { c.PINFile = k.Path("none") },
		"is its disk mounted":              func(c *pkcs11cell.Config) { c.Path = k.Path("none/root") },
	} {
		_, err := k.Open(change).Make(ctx, 1)
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
	k := devicetest.NewSoftHSM(t)
	script := func(name, text string) func(*pkcs11cell.Config) {
		must(t, os.WriteFile(k.Path(name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
		return func(c *pkcs11cell.Config) { c.Program = k.Path(name) }
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := k.Open(script("hangs", "exec sleep 60")).Epochs(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	for want, text := range map[string]string{
		"a fault in that library": "kill -SEGV $$",
		"isn't of this version":   "echo no",
	} {
		if _, err := k.Open(script("breaks", text)).Epochs(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
