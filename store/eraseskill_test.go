package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// eraseChild erases a recording, makes that final, and is killed when it reaches a
// point on the way.
func eraseChild(dir, grant, until string) {
	o := store.Options{Dir: dir, Node: "test"}
	o.ReachedBy(func(point string) {
		if point == until {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // not one instruction more
		}
	})
	s, err := store.Open(o)
	if err != nil {
		panic(err)
	}
	var g consent.Hash
	if err := g.UnmarshalText([]byte(grant)); err != nil {
		panic(err)
	}
	if err := s.Erase(context.Background(), g, "asked"); err != nil && !errors.Is(err, store.ErrNotFound) {
		panic(err)
	}
	if err := s.Rotate(context.Background()); err != nil {
		panic(err)
	}
	if err := s.Close(); err != nil {
		panic(err)
	}
}

// eraseUntil runs the child; killed is false where it came through.
func eraseUntil(t *testing.T, dir string, grant consent.Hash, point string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_ERASE_DIR="+dir, "STORE_ERASE_GRANT="+grant.String(), "STORE_ERASE_UNTIL="+point)
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

// erasable is a directory with one recording to erase and others that stay.
type erasable struct {
	dir    string
	victim store.Summary
	kept   []string
}

func newErasable(t *testing.T) erasable {
	t.Helper()
	e := erasable{dir: filepath.Join(t.TempDir(), "data")}
	s := openStore(t, e.dir)
	e.victim, _ = recorded(t, s, "victim")
	for range 3 {
		e.kept = append(e.kept, record(t, s, "survivor", 5))
	}
	must(t, s.Close())
	return e
}

// sound checks what must hold at every moment.
func (e erasable) sound(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	for _, id := range e.kept {
		if _, err := s.Check(ctx, id); err != nil {
			t.Errorf("a survivor: %v", err)
		}
	}
	if _, err := s.Get(e.victim.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the erased recording: %v", err)
	}
	_, rootErr := rootcell.NewFile(store.DefaultRootFile(e.dir)).Get(ctx, 1)
	shredded := state(t, s, e.victim.ID) == store.ErasureShredded
	_, certErr := s.Certificate(e.victim.ID)
	if rootErr == nil && (shredded || certErr == nil || types(t, s)[store.TypeShredded] > 0) {
		t.Error("it is said to be final, and the old root lives")
	}
}

// final checks what must hold when it is over.
func (e erasable) final(t *testing.T, s *store.Store) {
	t.Helper()
	e.sound(t, s)
	ctx := context.Background()
	if has, err := rootcell.NewFile(store.DefaultRootFile(e.dir)).Epochs(ctx); err != nil || len(has) != 1 || has[0] < 2 {
		t.Errorf("the cell has %v, %v", has, err)
	}
	signed, err := s.Certificate(e.victim.ID)
	must(t, err)
	c, err := store.CheckCertificate(signed, vkeyOf(t, e.dir))
	if err != nil || !c.Of(e.victim.Grant) {
		t.Errorf("the certificate: %v", err)
	}
	times := 0
	must(t, s.Entries(0, func(entry store.Entry) bool {
		var ev struct{ Erased []string }
		if entry.Type == store.TypeShredded && json.Unmarshal(entry.Payload, &ev) == nil && slices.Contains(ev.Erased, c.Erased.Commitment) {
			times++
		}
		return true
	}))
	if times != 1 {
		t.Errorf("the log says %d times that it is final", times)
	}
	record(t, s, "after", 3)
}

// TestErasedIsGoneWhereverTheGateIsKilled: at each named point of an erasure and
// its rotation. No survivor is lost, nothing is certified while the old root
// lives, and the next start with a rotation brings it to its end.
func TestErasedIsGoneWhereverTheGateIsKilled(t *testing.T) {
	for _, point := range store.Points() {
		t.Run(point, func(t *testing.T) {
			e := newErasable(t)
			if !eraseUntil(t, e.dir, e.victim.Grant, point) {
				t.Fatal("the point isn't reached")
			}
			for range 2 { // a second start changes nothing
				s := openStore(t, e.dir)
				e.sound(t, s)
				must(t, s.Close())
			}
			s := openStore(t, e.dir)
			must(t, s.Rotate(context.Background()))
			e.final(t, s)
			must(t, s.Close())
			verify(t, e.dir)
		})
	}
}

// TestErasedIsGoneAfterOneKillAfterAnother: each start is killed at the next point.
func TestErasedIsGoneAfterOneKillAfterAnother(t *testing.T) {
	e := newErasable(t)
	for i, point := range store.Points() {
		if i > 0 && strings.HasPrefix(point, "erase.") {
			continue // the start after the first kill passes these by
		}
		killed := eraseUntil(t, e.dir, e.victim.Grant, point)
		// what is done isn't done again: no survivor is left to move
		if !killed && point != "rotate.moving" && point != "rotate.resealing" && point != "rotate.logging" {
			t.Errorf("%s isn't reached", point)
		}
		s := openStore(t, e.dir)
		e.sound(t, s)
		must(t, s.Close())
	}
	s := openStore(t, e.dir)
	must(t, s.Rotate(context.Background()))
	e.final(t, s)
	must(t, s.Close())
	verify(t, e.dir)
}

// TestAnOldRootThatIsHalfDestroyedIsDestroyed: the file is overwritten, and the
// crash came before its name was gone.
func TestAnOldRootThatIsHalfDestroyedIsDestroyed(t *testing.T) {
	e := newErasable(t)
	if !eraseUntil(t, e.dir, e.victim.Grant, "rotate.acknowledged") {
		t.Fatal("the point isn't reached")
	}
	must(t, os.WriteFile(store.DefaultRootFile(e.dir), make([]byte, 80), 0o600))
	s := openStore(t, e.dir)
	if got := state(t, s, e.victim.ID); got != store.ErasurePending {
		t.Errorf("half destroyed: %s", got)
	}
	must(t, s.Rotate(context.Background()))
	e.final(t, s)
	must(t, s.Close())
	verify(t, e.dir)
}
