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
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// eraseChild erases a recording, makes that final, and is killed when it reaches a
// point on the way, or so many milliseconds after it.
func eraseChild(dir, grant, until string) {
	root, err := openSpecs(os.Getenv("STORE_ERASE_CELLS"))
	if err != nil {
		panic(err)
	}
	o := store.Options{Dir: dir, Node: "test", Root: root}
	o.ReachedBy(killAt(until))
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

// killAt kills this process when it reaches a point, or so long after it
// ("point+5ms"); never where there is none.
func killAt(until string) func(point string) {
	point, later, timed := strings.Cut(until, "+")
	return func(at string) {
		switch {
		case at != point:
		case timed:
			after, err := time.ParseDuration(later)
			if err != nil {
				panic(err)
			}
			time.AfterFunc(after, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		default:
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // not one instruction more
		}
	}
}

// erasable is a directory with one recording to erase and others that stay.
type erasable struct {
	dir    string
	specs  string // of the cells that hold its root
	cells  *rootcell.Group
	victim store.Summary
	from   uint64 // the epoch of the root that it is under
	kept   []string
}

// newErasable makes one with the cells that are specified, or a file.
func newErasable(t *testing.T, specs ...cellSpec) erasable {
	t.Helper()
	e := erasable{dir: filepath.Join(t.TempDir(), "data"), from: 1}
	if len(specs) == 0 {
		specs = []cellSpec{{File: store.DefaultRootFile(e.dir)}}
	}
	text, err := json.Marshal(specs)
	must(t, err)
	e.specs = string(text)
	e.cells, err = openSpecs(e.specs)
	must(t, err)
	t.Cleanup(func() { must(t, e.cells.Close()) })
	s := e.open(t)
	e.victim, _ = recorded(t, s, "victim")
	for range 3 {
		e.kept = append(e.kept, record(t, s, "survivor", 5))
	}
	must(t, s.Close())
	return e
}

func (e erasable) open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: e.dir, Node: "test", Root: e.cells})
	must(t, err)
	return s
}

// eraseUntil runs the child; killed is false where it came through.
func (e erasable) eraseUntil(t *testing.T, point string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_ERASE_DIR="+e.dir, "STORE_ERASE_GRANT="+e.victim.Grant.String(), "STORE_ERASE_UNTIL="+point,
		"STORE_ERASE_CELLS="+e.specs)
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
	_, rootErr := e.cells.Get(ctx, e.from)
	shredded := state(t, s, e.victim.ID) == store.ErasureShredded
	_, certErr := s.Certificate(e.victim.ID)
	if !errors.Is(rootErr, rootcell.ErrGone) && (shredded || certErr == nil || uint64(types(t, s)[store.TypeShredded]) >= e.from) {
		t.Errorf("it is said to be final, and the old root lives: %v", rootErr)
	}
}

// final checks what must hold when it is over.
func (e erasable) final(t *testing.T, s *store.Store) {
	t.Helper()
	e.sound(t, s)
	signed, err := s.Certificate(e.victim.ID)
	must(t, err)
	c, err := store.CheckCertificate(signed, vkeyOf(t, e.dir))
	if err != nil || !c.Of(e.victim.Grant) {
		t.Errorf("the certificate: %v", err)
	}
	e.gone(t, c)
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

// gone sees that each cell refuses the old root, gives the new one alone, and is
// named by the certificate with its refusal.
func (e erasable) gone(t *testing.T, c store.Certificate) {
	t.Helper()
	ctx := context.Background()
	cells := e.cells.Cells()
	if len(c.Root.Holders) != len(cells) {
		t.Errorf("the certificate names %d of %d cells", len(c.Root.Holders), len(cells))
	}
	for i, cell := range cells {
		if has, err := cell.Epochs(ctx); err != nil || len(has) != 1 || has[0] < 2 {
			t.Errorf("%s has %v, %v", cell.Describe().Holder, has, err)
		}
		if k, err := cell.Get(ctx, c.Root.From); !errors.Is(err, rootcell.ErrGone) || k != (rootcell.Key{}) {
			t.Errorf("%s gives the old root, or can't say: %v", cell.Describe().Holder, err)
		}
		if i < len(c.Root.Holders) {
			if h := c.Root.Holders[i]; h.Description != cell.Describe() || h.Refusal == "" || h.Asked.IsZero() {
				t.Errorf("the certificate says of %s: %+v", cell.Describe().Holder, h)
			}
		}
	}
}

// verified verifies the log with the cells' root.
func (e erasable) verified(t *testing.T) {
	t.Helper()
	if r, err := (store.Auditor{}).Verify(context.Background(), e.dir, e.cells); err != nil || !r.OK() || r.Sealed != 0 {
		t.Errorf("the log doesn't verify: %+v %v", r, err)
	}
}

// TestErasedIsGoneWhereverTheGateIsKilled: at each named point of an erasure and
// its rotation. No survivor is lost, nothing is certified while the old root
// lives, and the next start with a rotation brings it to its end.
func TestErasedIsGoneWhereverTheGateIsKilled(t *testing.T) {
	t.Parallel()
	for _, point := range store.Points() {
		t.Run(point, func(t *testing.T) {
			e := newErasable(t)
			if !e.eraseUntil(t, point) {
				t.Fatal("the point isn't reached")
			}
			for range 2 { // a second start changes nothing
				s := e.open(t)
				e.sound(t, s)
				must(t, s.Close())
			}
			s := e.open(t)
			must(t, s.Rotate(context.Background()))
			e.final(t, s)
			must(t, s.Close())
			e.verified(t)
		})
	}
}

// TestErasedIsGoneAfterOneKillAfterAnother: each start is killed at the next point.
func TestErasedIsGoneAfterOneKillAfterAnother(t *testing.T) {
	t.Parallel()
	e := newErasable(t)
	for i, point := range store.Points() {
		if i > 0 && strings.HasPrefix(point, "erase.") {
			continue // the start after the first kill passes these by
		}
		killed := e.eraseUntil(t, point)
		// what is done isn't done again: no survivor is left to move
		if !killed && point != "rotate.moving" && point != "rotate.resealing" && point != "rotate.logging" {
			t.Errorf("%s isn't reached", point)
		}
		s := e.open(t)
		e.sound(t, s)
		must(t, s.Close())
	}
	s := e.open(t)
	must(t, s.Rotate(context.Background()))
	e.final(t, s)
	must(t, s.Close())
	e.verified(t)
}

// TestAnOldRootThatIsHalfDestroyedIsDestroyed: the file is overwritten, and the
// crash came before its name was gone.
func TestAnOldRootThatIsHalfDestroyedIsDestroyed(t *testing.T) {
	e := newErasable(t)
	if !e.eraseUntil(t, "rotate.acknowledged") {
		t.Fatal("the point isn't reached")
	}
	must(t, os.WriteFile(store.DefaultRootFile(e.dir), make([]byte, 80), 0o600))
	s := e.open(t)
	if got := state(t, s, e.victim.ID); got != store.ErasurePending {
		t.Errorf("half destroyed: %s", got)
	}
	must(t, s.Rotate(context.Background()))
	e.final(t, s)
	must(t, s.Close())
	e.verified(t)
}
