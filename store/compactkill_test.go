package store_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"consentgate/store"
)

// compactChild compacts a directory, and is killed where killAt says.
func compactChild(dir, until string) {
	root, err := openSpecs(os.Getenv("STORE_ERASE_CELLS"))
	if err != nil {
		panic(err)
	}
	o := store.Options{Dir: dir, Node: "test", Root: root}
	o.ReachedBy(killAt(until))
	if _, err := store.Compact(context.Background(), o); err != nil {
		panic(err)
	}
}

// compactUntil runs the child; killed is false where it came through.
func (e erasable) compactUntil(t *testing.T, point string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_COMPACT_DIR="+e.dir, "STORE_COMPACT_UNTIL="+point, "STORE_ERASE_CELLS="+e.specs)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	if err == nil {
		return false
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("until %s: %v\n%s", point, err, said.String())
	}
	return true
}

// compactPoints are those of a compaction, in their order; some lie between two.
func compactPoints() (points []string) {
	for _, name := range databases {
		for _, step := range []string{"copied", "filled", "compared", "renamed", "done"} {
			points = append(points, "compact."+name+"."+step)
		}
	}
	for _, name := range databases {
		points = append(points, "compacted."+name+".logged")
	}
	return append(points, "compact.keys.db.done+500us", "compact.keys.db.done+2ms", "compact.keys.db.copied+1ms")
}

// TestACompactionThatIsKilledLeavesOneOrTheOther: at each of its points. The next
// start finds all that was kept, nothing that was erased, a log that verifies and
// says what took place, and no copy; the next compaction goes on.
func TestACompactionThatIsKilledLeavesOneOrTheOther(t *testing.T) {
	t.Parallel()
	made := newErasable(t)
	for _, point := range compactPoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			e := made.copied(t)
			s := e.open(t)
			must(t, s.Erase(context.Background(), e.victim.Grant, "asked"), s.Rotate(context.Background()))
			signed := checkpoint(t, s)
			must(t, s.Close())
			for _, name := range databases {
				bloat(t, filepath.Join(e.dir, name), 2<<20)
			}
			if killed := e.compactUntil(t, point); !killed && !strings.Contains(point, "+") {
				t.Fatal("the point isn't reached")
			}
			for round := range 2 { // a second start changes nothing
				s := e.open(t)
				nothingLeft(t, e.dir)
				e.final(t, s)
				if n := s.Unaccounted(); n != 0 {
					t.Errorf("%d grants unaccounted", n)
				}
				is := map[string]bool{}
				for _, c := range compactions(t, s) {
					is[c.Database] = true
				}
				for _, name := range databases {
					if replaced := sizeOf(t, filepath.Join(e.dir, name)) < 1<<20; replaced != is[name] {
						t.Errorf("start %d: %s is compacted: %v, and the log says so: %v", round, name, replaced, is[name])
					}
				}
				must(t, s.Close())
				if r, err := (store.Auditor{Kept: [][]byte{signed}}).Verify(context.Background(), e.dir, e.cells); err != nil || !r.OK() || r.Unaccounted != 0 {
					t.Errorf("%+v %v", r, err)
				}
			}
			if e.compactUntil(t, "") {
				t.Fatal("killed again")
			}
			s = e.open(t)
			e.final(t, s)
			must(t, s.Close())
			for _, name := range databases {
				if n := sizeOf(t, filepath.Join(e.dir, name)); n > 1<<20 {
					t.Errorf("%s still has %d bytes", name, n)
				}
			}
		})
	}
}

// copied is a copy of it, with its root.
func (e erasable) copied(t *testing.T) erasable {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(to, os.DirFS(filepath.Dir(e.dir))))
	e.specs = strings.ReplaceAll(e.specs, filepath.Dir(e.dir), to)
	e.dir = filepath.Join(to, filepath.Base(e.dir))
	cells, err := openSpecs(e.specs)
	must(t, err)
	t.Cleanup(func() { must(t, cells.Close()) })
	e.cells = cells
	return e
}

// TestACompactionBetweenTwoStepsOfARotationChangesNothing: wherever the gate was
// killed, with the next root beside the present one or not, the rotation goes on.
func TestACompactionBetweenTwoStepsOfARotationChangesNothing(t *testing.T) {
	t.Parallel()
	made := newErasable(t)
	for _, point := range store.Points() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			e := made.copied(t)
			if !e.eraseUntil(t, point) {
				t.Fatal("the point isn't reached")
			}
			if e.compactUntil(t, "") {
				t.Fatal("killed")
			}
			s := e.open(t)
			e.sound(t, s)
			must(t, s.Rotate(context.Background()))
			e.final(t, s)
			must(t, s.Close())
			e.verified(t)
		})
	}
}
