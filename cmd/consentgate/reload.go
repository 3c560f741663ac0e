package main

import (
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/store"
)

const (
	// reloaded is what a running gate takes from a file that it reads again. All else
	// is what calls stand on, and stays as it was at the start (ADR 81).
	reloaded = "console.users"
	// notePatience bounds how long the log may take for the entry of that.
	notePatience = 5 * time.Second
	// namedMost bounds how many other keys that changed are named.
	namedMost = 30
)

// reloader reads the configuration again when it is told to. It is of one goroutine.
type reloader struct {
	app   *App
	path  string
	began *Config       // what all but the users is of
	now   *Config       // what the users are of
	noted string        // the hash that the audit log heard of last
	again time.Duration // openAgain, but in tests
}

func newReloader(a *App, path string) *reloader {
	return &reloader{app: a, path: path, began: a.cfg, now: a.cfg, noted: a.cfg.hash(), again: openAgain}
}

// run reads the file at each signal until ctx ends.
func (r *reloader) run(ctx context.Context, signals <-chan os.Signal) {
	later := time.NewTicker(r.again)
	defer later.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			r.read()
		case <-later.C: // for an entry that couldn't be written
		}
		r.note(ctx)
	}
}

// read puts the users of the file in force, if all of it is sound.
func (r *reloader) read() {
	log := r.app.log
	next, problems := LoadConfig(r.path)
	for _, p := range problems {
		if !p.Warning {
			log.Error("the configuration isn't sound", "problem", p.String())
		}
	}
	if !problems.Sound() {
		log.Error("the configuration was read again and isn't taken: users stay as they were", "file", r.path)
		return
	}
	if next.Hash == r.now.Hash {
		log.Info("the configuration was read again: it is the same", "file", r.path)
		return
	}
	if r.app.door == nil {
		log.Error("the configuration was read again and isn't taken: there is no console whose users could change; restart the gate", "file", r.path)
		return
	}
	users, err := next.Console.people()
	if err != nil {
		log.Error("the configuration was read again and isn't taken: users stay as they were", "file", r.path, "error", err)
		return
	}
	ended := r.app.door.SetUsers(users)
	added, removed, changed := compared(r.now.Console.Users, next.Console.Users)
	r.now = next
	log.Info("the configuration was read again: its users are in force", "file", r.path, "added", added, "removed", removed, "changed", changed,
		"sessions_ended", ended)
	if keys := differences(r.began.tree, next.tree, "", nil); len(keys) > 0 {
		more := max(0, len(keys)-namedMost)
		log.Warn("what else changed needs a restart", "keys", strings.Join(keys[:len(keys)-more], ", "), "more", more)
	}
}

// note has the audit log hear of what was read. Who gets in meanwhile needs the log
// for it, so that a log that can't be written doesn't keep anybody's removal waiting.
func (r *reloader) note(ctx context.Context) {
	hash := r.now.hash()
	if hash == r.noted {
		return
	}
	s := r.app.store.store.Load()
	if s == nil {
		r.app.log.Error("that the configuration changed can't be written down yet", "error", errNoStore)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	if err := s.Audit().Note(ctx, store.ConfigChanged{Before: r.noted, After: hash, Part: reloaded}); err != nil {
		r.app.log.Error("that the configuration changed can't be written down yet", "error", err)
		return
	}
	r.noted = hash
}

// compared counts whose names came and went, and what stands beside a name.
func compared(before, after []UserConfig) (added, removed, changed int) {
	was := map[string]UserConfig{}
	for _, u := range before {
		was[u.Name] = u
	}
	for _, u := range after {
		old, there := was[u.Name]
		switch {
		case !there:
			added++
		case old != u:
			changed++
		}
		delete(was, u.Name)
	}
	return added, len(was), changed
}

// differences names the keys that two files differ in, as problems name them: by where
// they stand and never by what they say. A list of another length is one difference.
func differences(a, b *yaml.Node, path string, found []string) []string {
	if a == nil || b == nil { // a section that isn't there is one without keys
		empty := &yaml.Node{Kind: yaml.MappingNode}
		a, b = cmp.Or(a, empty), cmp.Or(b, empty)
	}
	a, b = resolve(a), resolve(b)
	switch {
	case path == reloaded:
	case a.Kind == yaml.MappingNode && b.Kind == yaml.MappingNode:
		was, is := members(a), members(b)
		keys := maps.Clone(was)
		maps.Copy(keys, is)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			found = differences(was[k], is[k], join(path, k), found)
		}
	case a.Kind == yaml.SequenceNode && b.Kind == yaml.SequenceNode && len(a.Content) == len(b.Content):
		for i := range a.Content {
			found = differences(a.Content[i], b.Content[i], at(path, i), found)
		}
	case a.Kind != b.Kind || a.Kind != yaml.ScalarNode || a.Value != b.Value:
		found = append(found, path)
	}
	return found
}

// members are a mapping's values by their keys.
func members(n *yaml.Node) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		out[n.Content[i].Value] = n.Content[i+1]
	}
	return out
}
