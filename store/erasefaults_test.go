package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// troubled is a cell one of whose methods doesn't do what it should.
type troubled struct {
	rootcell.Cell
	mu      sync.Mutex
	trouble map[string]func(context.Context) error // by method; what Get asks for is behind it
}

func (c *troubled) now(ctx context.Context, method string) error {
	c.mu.Lock()
	f := c.trouble[method]
	c.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx)
}

func (c *troubled) Epochs(ctx context.Context) ([]uint64, error) {
	if err := c.now(ctx, "Epochs"); err != nil {
		return nil, err
	}
	return c.Cell.Epochs(ctx)
}

func (c *troubled) Make(ctx context.Context, epoch uint64) (rootcell.Key, error) {
	if err := c.now(ctx, "Make"); err != nil {
		return rootcell.Key{}, err
	}
	return c.Cell.Make(ctx, epoch)
}

func (c *troubled) Get(ctx context.Context, epoch uint64) (rootcell.Key, error) {
	if epoch > 1 {
		if err := c.now(ctx, "Get new"); err != nil {
			return rootcell.Key{}, err
		}
	} else if err := c.now(ctx, "Get old"); err != nil {
		return rootcell.Key{}, err
	}
	return c.Cell.Get(ctx, epoch)
}

func (c *troubled) Destroy(ctx context.Context, epoch uint64) error {
	if err := c.now(ctx, "Destroy"); err != nil {
		if errors.Is(err, errLies) {
			return nil
		}
		return err
	}
	return c.Cell.Destroy(ctx, epoch)
}

// errLies has Destroy say that it is done, and do nothing.
var errLies = errors.New("a lie")

// TestACellInTroubleOnlyDelaysErasures: whichever method fails or hangs, the
// erasure stays pending, the old root is there, recordings go on, and when the
// trouble is over it becomes final.
func TestACellInTroubleOnlyDelaysErasures(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Epochs", "Make", "Get new", "Get old", "Destroy"} {
		release := make(chan struct{})
		for name, f := range map[string]func(context.Context) error{
			"fails":           func(context.Context) error { return errors.New("no answer") },
			"hangs":           func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			"hangs, all deaf": func(context.Context) error { <-release; return errors.New("too late") },
			"lies":            func(context.Context) error { return errLies },
		} {
			t.Run(method+" "+name, func(t *testing.T) { cellTrouble(t, method, f, release) })
		}
	}
}

func cellTrouble(t *testing.T, method string, f func(context.Context) error, release chan struct{}) {
	dir := filepath.Join(t.TempDir(), "data")
	cell := &troubled{Cell: rootcell.NewFile(store.DefaultRootFile(dir)), trouble: map[string]func(context.Context) error{}}
	reg := prometheus.NewRegistry()
	s, err := store.Open(store.Options{Dir: dir, Root: cell, Registerer: reg})
	must(t, err)
	s.Impatient(100 * time.Millisecond)
	victim, id := recorded(t, s, "victim")
	kept := record(t, s, "survivor", 3)
	ctx := context.Background()
	must(t, s.Erase(ctx, victim.Grant, "asked"))
	cell.mu.Lock()
	cell.trouble[method] = f
	cell.mu.Unlock()
	for range 2 {
		if err := s.Rotate(ctx); err == nil {
			t.Fatal("the rotation says that it is done")
		}
		if got := state(t, s, id); got != store.ErasurePending {
			t.Errorf("%s while the cell is in trouble", got)
		}
		if _, err := s.Certificate(id); !errors.Is(err, store.ErrNotShredded) {
			t.Errorf("a certificate: %v", err)
		}
		record(t, s, "meanwhile", 3)
	}
	if n, age := gauge(t, reg, "consentgate_erasures_pending"), gauge(t, reg, "consentgate_erasure_oldest_seconds"); n != 1 || age <= 0 {
		t.Errorf("the metrics say that %v are pending, for %v s", n, age)
	}
	cell.mu.Lock()
	clear(cell.trouble)
	cell.mu.Unlock()
	select {
	case release <- struct{}{}: // who hangs comes back at last
	default:
	}
	until(t, "the erasure is final", func() bool { return s.Rotate(ctx) == nil && state(t, s, id) == store.ErasureShredded })
	if _, err := s.Check(ctx, kept); err != nil {
		t.Error(err)
	}
	must(t, s.Close())
	verify(t, dir)
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Errorf("there is no metric %s", name)
	return 0
}

// TestARootThatNobodyKnowsIsNotDestroyed: keys.db was put back from before a
// rotation that wasn't over. What hangs under the newer root may be wanted.
func TestARootThatNobodyKnowsIsNotDestroyed(t *testing.T) {
	s, dir := kit(t)
	ctx := context.Background()
	cell := rootcell.NewFile(store.DefaultRootFile(dir))
	_, err := cell.Make(ctx, 2)
	must(t, err)
	victim, id := recorded(t, s, "victim")
	must(t, s.Erase(ctx, victim.Grant, "asked"))
	if err := s.Rotate(ctx); err == nil || !strings.Contains(err.Error(), "put back") {
		t.Errorf("%v", err)
	}
	if has, err := cell.Epochs(ctx); err != nil || len(has) != 2 || state(t, s, id) != store.ErasurePending {
		t.Errorf("%v %v", has, err)
	}
	must(t, cell.Destroy(ctx, 2), s.Rotate(ctx))
}

// group is cells that hold the same roots, as the store sees one.
type group struct {
	rootcell.Cell
	cells []rootcell.Cell
}

func (g group) Cells() []rootcell.Cell { return g.cells }

func (g group) Make(ctx context.Context, epoch uint64) (rootcell.Key, error) {
	return g.Cell.Make(ctx, epoch)
}

// TestNothingIsFinalBeforeEveryCellHasConfirmed, and each is named with its refusal.
func TestNothingIsFinalBeforeEveryCellHasConfirmed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	file := rootcell.NewFile(store.DefaultRootFile(dir))
	second := &troubled{Cell: file, trouble: map[string]func(context.Context) error{
		"Destroy": func(context.Context) error { return errors.New("the token is locked") }}}
	s, err := store.Open(store.Options{Dir: dir, Root: group{file, []rootcell.Cell{file, second}}})
	must(t, err)
	ctx := context.Background()
	victim, id := recorded(t, s, "victim")
	must(t, s.Erase(ctx, victim.Grant, "asked"))
	if err := s.Rotate(ctx); err == nil || !strings.Contains(err.Error(), "locked") || state(t, s, id) != store.ErasurePending {
		t.Errorf("%v", err)
	}
	second.mu.Lock()
	clear(second.trouble)
	second.mu.Unlock()
	must(t, s.Rotate(ctx))
	signed, err := s.Certificate(id)
	must(t, err)
	c, err := store.CheckCertificate(signed, vkeyOf(t, dir))
	if err != nil || len(c.Root.Holders) != 2 {
		t.Errorf("%+v %v", c.Root, err)
	}
	for _, h := range c.Root.Holders {
		if h.Driver != "file" || !strings.Contains(h.Refusal, "no root key") {
			t.Errorf("%+v", h)
		}
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestGrantsSearchesAndErasuresGoOnDuringRotations, and nothing is lost to them.
func TestGrantsSearchesAndErasuresGoOnDuringRotations(t *testing.T) {
	s, _ := kit(t)
	ctx := context.Background()
	stop := make(chan struct{})
	var made atomic.Int64
	var kept []string
	var gone []consent.Hash
	var ids []string
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			sum, id := recorded(t, s, "c")
			if i%3 == 0 {
				if err := s.Erase(ctx, sum.Grant, "asked"); err != nil {
					t.Error(err)
				}
				gone, ids = append(gone, sum.Grant), append(ids, id)
			} else {
				kept = append(kept, id)
			}
			if _, _, err := s.Search(store.Query{Party: callerNumber}); err != nil {
				t.Error(err)
			}
			made.Add(1)
		}
	})
	for made.Load() < 12 && !t.Failed() {
		if err := s.Rotate(ctx); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	work.Wait()
	must(t, s.Rotate(ctx))
	for _, id := range kept {
		if _, err := s.Check(ctx, id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids {
		if got := state(t, s, id); got != store.ErasureShredded {
			t.Error(got)
		}
	}
	if len(kept) == 0 || len(gone) == 0 {
		t.Errorf("%d kept, %d erased", len(kept), len(gone))
	}
}
