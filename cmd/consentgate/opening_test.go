package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rootcell"
)

// opensIn opens a store in a new directory.
func opensIn(t *testing.T) func() (*store.Store, rootcell.Cell, error) {
	dir := filepath.Join(t.TempDir(), "data")
	return func() (*store.Store, rootcell.Cell, error) {
		root := rootcell.NewFile(store.DefaultRootFile(dir))
		s, err := store.Open(store.Options{Dir: dir, Root: root})
		return s, root, err
	}
}

// becomesReady waits until recordings are possible.
func becomesReady(t *testing.T, o *opening) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); o.Ready("main") != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never ready: %v", o.Ready("main"))
		}
	}
}

// TestAStartDoesNotWaitForADataDirectoryThatHangs: a device that has the root key
// may not answer. Calls are served, nobody is asked, and when it answers they are.
func TestAStartDoesNotWaitForADataDirectoryThatHangs(t *testing.T) {
	answers := make(chan struct{})
	open := opensIn(t)
	o := openLate(func() (*store.Store, rootcell.Cell, error) { <-answers; return open() }, time.Millisecond, time.Hour, nil,
		slog.New(slog.DiscardHandler))
	ctx := context.Background()
	_, appended := o.Append(ctx, consent.Record{})
	_, created := o.Create(ctx, consent.Grant{})
	_, loaded := o.Load(ctx)
	for name, err := range map[string]error{"ready": o.Ready("main"), "append": appended, "create": created,
		"erase": o.Erase(ctx, consent.Hash{}, ""), "save": o.Save(ctx, nil), "load": loaded} {
		if !errors.Is(err, errNoStore) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(answers)
	becomesReady(t, o)
	if err := o.stop(); err != nil {
		t.Error(err)
	}
}

func TestADataDirectoryThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	open, tries := opensIn(t), 0
	o := openLate(func() (*store.Store, rootcell.Cell, error) {
		if tries++; tries < 3 {
			return nil, nil, errors.New("no disk")
		}
		return open()
	}, time.Hour, time.Millisecond, nil, slog.New(slog.DiscardHandler))
	becomesReady(t, o)
	if err := o.stop(); err != nil {
		t.Error(err)
	}
}

// TestAStopLeavesAnOpeningThatHangs, and what opens later is closed at once.
func TestAStopLeavesAnOpeningThatHangs(t *testing.T) {
	answers := make(chan struct{})
	open := opensIn(t)
	o := openLate(func() (*store.Store, rootcell.Cell, error) { <-answers; return open() }, time.Millisecond, time.Hour, nil,
		slog.New(slog.DiscardHandler))
	o.leave = time.Millisecond
	if err := o.stop(); err != nil {
		t.Error(err)
	}
	close(answers)
	o.done.Wait()
	if err := o.Ready("main"); !errors.Is(err, errNoStore) {
		t.Errorf("what opened after the stop is used: %v", err)
	}
	s, root, err := open() // it was closed: nobody else may have it open
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), root.Close()); err != nil {
		t.Error(err)
	}
}

// TestAnErasureThatWaitsIsNoTrouble: of a recording that is being written, or held.
func TestAnErasureThatWaitsIsNoTrouble(t *testing.T) {
	o := openLate(opensIn(t), time.Hour, time.Hour, nil, slog.New(slog.DiscardHandler))
	becomesReady(t, o)
	ctx := context.Background()
	g := grantFrom(t, o)
	if err := o.Erase(ctx, g.Hash(), "withdrawn"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("there is nothing to erase: %v", err)
	}
	sink, err := o.Create(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Erase(ctx, g.Hash(), "withdrawn"); err != nil {
		t.Errorf("while it is written: %v", err)
	}
	if err := sink.Seal(time.Now(), "hang-up"); err != nil {
		t.Error(err)
	}
	if page, _, err := o.store.Load().Search(store.Query{}); err != nil || len(page) != 0 {
		t.Errorf("it isn't erased by itself: %v %v", page, err)
	}
	if err := o.stop(); err != nil {
		t.Error(err)
	}
}

func TestAStopEndsTheTries(t *testing.T) {
	o := openLate(func() (*store.Store, rootcell.Cell, error) { return nil, nil, errors.New("no disk") }, time.Hour, time.Hour,
		nil, slog.New(slog.DiscardHandler))
	if err := o.stop(); err != nil {
		t.Error(err)
	}
}
