package store

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// flushEvery bounds how long a packet waits in memory.
	flushEvery = 250 * time.Millisecond
	// syncEach is how many flushes go by per sync: every half second.
	syncEach = 2
	// atOnce bounds the files that are synced at the same time.
	atOnce = 16
	// anchorEvery is how often the log notes how far the running recordings are.
	anchorEvery = 5 * time.Second
	// anchorMost bounds the recordings that one anchor names, and so its size.
	anchorMost = 256
	// patience bounds each write to the log that nobody waits for.
	patience = 10 * time.Second
)

// flush is the goroutine that brings the running recordings' packets to the disk.
func (s *Store) flush() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	dir, err := os.Open(filepath.Join(s.dir, recordingsDir))
	if err != nil {
		s.log.Warn("recordings are synced one by one", "error", err)
	} else {
		defer func() { _ = dir.Close() }() // nothing is written to it
	}
	for n := 1; ; n++ {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		running := s.running()
		s.each(running, (*Recording).flush)
		if n%syncEach == 0 {
			s.sync(running, dir)
		}
	}
}

// fewFiles are synced one by one. To sync each of many would make the file system
// commit as often: of 500 recordings that cost as much CPU as a quarter of their relay.
const fewFiles = 8

// sync makes what was flushed durable, of many recordings with one sync of the
// file system that dir is on. Where that fails each file is asked whether it was
// its fault.
func (s *Store) sync(running []*Recording, dir *os.File) {
	if len(running) <= fewFiles || dir == nil || syncAll(running, dir) != nil {
		s.each(running, (*Recording).sync)
	}
}

func syncAll(running []*Recording, dir *os.File) error {
	reached := make(map[*Recording]progress, len(running))
	for _, r := range running {
		if !r.disk.TryLock() {
			continue // it is being sealed, which syncs it
		}
		if !r.ended && r.dirty {
			reached[r] = r.pending()
		}
		r.disk.Unlock()
	}
	if err := syncfs(dir); err != nil {
		for r := range reached {
			r.disk.Lock()
			r.dirty = true
			r.disk.Unlock()
		}
		return err
	}
	for r, p := range reached {
		r.reached(p)
	}
	return nil
}

// each does something with every recording, some at a time: a file that hangs
// holds up its share of the others, not all.
func (s *Store) each(all []*Recording, do func(*Recording) error) {
	work := make(chan *Recording)
	var workers sync.WaitGroup
	for range min(atOnce, len(all)) {
		workers.Go(func() {
			for r := range work {
				if err := do(r); err != nil {
					s.log.Warn("a recording has failed", "recording", r.id, "error", err)
				}
			}
		})
	}
	for _, r := range all {
		work <- r
	}
	close(work)
	workers.Wait()
}

// task is something that must be done, and couldn't be yet.
type task struct {
	what string
	do   func(context.Context) error
}

// clerk is the goroutine that writes what nobody waits for: anchors, and what
// the disk couldn't take at first. It isn't the flusher's work, for the log may
// be slow when the recordings' files aren't.
func (s *Store) clerk() {
	tick := time.NewTicker(anchorEvery)
	defer tick.Stop()
	watch := newClockWatch(s.audit.clock)
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		s.watchClock(watch)
		s.noteRefusals()
		s.anchorAll(s.running())
		s.runTasks()
	}
}

// later leaves something to the clerk.
func (s *Store) later(what string, do func(context.Context) error) {
	s.mu.Lock()
	s.tasks = append(s.tasks, task{what, do})
	s.mu.Unlock()
}

// runTasks tries all tasks once; those that fail stay.
func (s *Store) runTasks() {
	s.mu.Lock()
	todo := s.tasks
	s.tasks = nil
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	for _, t := range todo {
		if err := t.do(ctx); err != nil {
			s.log.Error("not done yet", "what", t.what, "error", err)
			s.later(t.what, t.do)
		}
	}
}

// anchorAll logs how much of each running recording is on stable storage:
// cutting one short afterwards is found by it.
func (s *Store) anchorAll(running []*Recording) {
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	for len(running) > 0 {
		n := min(len(running), anchorMost)
		ev := anchorEvent{Running: make([]anchored, n)}
		for i, r := range running[:n] {
			p := r.onDisk()
			ev.Running[i] = anchored{Recording: r.id, Frames: p.frames, Hash: hex.EncodeToString(p.hash[:])}
		}
		if err := s.audit.appendJSON(ctx, TypeAnchor, ev); err != nil {
			s.log.Error("anchoring the running recordings", "error", err)
			return
		}
		running = running[n:]
	}
}
