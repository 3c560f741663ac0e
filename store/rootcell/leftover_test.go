package rootcell_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"consentgate/internal/durable"
	"consentgate/store/rootcell"
)

// TestMain lets the test binary be the process that is killed while it makes roots.
func TestMain(m *testing.M) {
	if path := os.Getenv("ROOTCELL_MAKES"); path != "" {
		makeForEver(path)
	}
	os.Exit(m.Run())
}

func makeForEver(path string) {
	cell := rootcell.NewFile(path)
	for epoch := uint64(1); ; epoch++ {
		if _, err := cell.Make(context.Background(), epoch); err != nil {
			panic(err)
		}
		fmt.Println(epoch)
	}
}

// killedMaking makes roots in another process and kills it while it writes one; the
// leftovers are where it was. It makes tries until a kill came at such a moment.
func killedMaking(t *testing.T) (path string, left []string) {
	t.Helper()
	for range 100 {
		path = filepath.Join(t.TempDir(), "root.key")
		c := exec.Command(os.Args[0], "-test.run=none")
		c.Env = append(os.Environ(), "ROOTCELL_MAKES="+path)
		out, err := c.StdoutPipe()
		must(t, err, c.Start())
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		must(t, c.Process.Kill())
		if err := c.Wait(); err == nil {
			t.Fatal("it ended by itself")
		}
		left, err = durable.Leftovers(path)
		must(t, err)
		if len(left) > 0 {
			return path, left
		}
	}
	t.Fatal("no kill came while a root was written")
	return "", nil
}

// TestWhatAKilledProcessLeftOfARootIsDestroyed: by a sweep, as at each open, and by a
// destruction. The roots stay.
func TestWhatAKilledProcessLeftOfARootIsDestroyed(t *testing.T) {
	ctx := context.Background()
	for name, do := range map[string]func(c *rootcell.File) error{
		"a sweep":       func(c *rootcell.File) error { return c.Sweep(ctx) },
		"a destruction": func(c *rootcell.File) error { return c.Destroy(ctx, 1_000_000) },
	} {
		path, left := killedMaking(t)
		cell := rootcell.NewFile(path)
		before, err := cell.Epochs(ctx)
		must(t, err)
		held, err := os.Open(left[0]) // what is overwritten stays readable here
		must(t, err)
		must(t, do(cell))
		now, err := durable.Leftovers(path)
		if err != nil || len(now) != 0 {
			t.Errorf("%s: left are %v %v", name, now, err)
		}
		bytes := make([]byte, 200)
		n, _ := held.Read(bytes) // io.EOF where nothing had been written yet
		for _, b := range bytes[:n] {
			if b != 0 {
				t.Errorf("%s: it was removed and not overwritten: %q", name, bytes[:n])
				break
			}
		}
		must(t, held.Close())
		if after, err := cell.Epochs(ctx); err != nil || len(after) != len(before) {
			t.Errorf("%s: roots %v before, %v after, %v", name, before, after, err)
		}
	}
}

// TestASweepTouchesNothingElse beside a root.
func TestASweepTouchesNothingElse(t *testing.T) {
	dir := t.TempDir()
	cell := rootcell.NewFile(filepath.Join(dir, "root"))
	for _, name := range []string{"root", "root.2", ".root", ".root.x", ".root.x.1", ".rooted.1", "root.1", ".other.1", ".root.2.", "a.root.1"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("kept"), 0o600))
	}
	for _, name := range []string{".root.1", ".root.2.99"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600))
	}
	must(t, cell.Sweep(context.Background()))
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 10 {
		t.Errorf("%v", files)
	}
	for _, f := range files {
		if b, err := os.ReadFile(filepath.Join(dir, f.Name())); err != nil || string(b) != "kept" {
			t.Errorf("%s: %q %v", f.Name(), b, err)
		}
	}
}
