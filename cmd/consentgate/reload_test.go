package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"consentgate/internal/sample"
	"consentgate/store"
)

// reading is a reloader whose gate has users and, once opened, a store.
type reading struct {
	*reloader
	t   *testing.T
	log *bytes.Buffer
}

// user is a line of console.users; the token is the name.
func user(name, role string) string {
	return fmt.Sprintf("    - {name: %s, role: %s, token_sha256: \"%x\"}\n", name, role, sha256.Sum256([]byte(name)))
}

func newReading(t *testing.T, users ...string) *reading {
	r := &reading{t: t, log: &bytes.Buffer{}}
	path := filepath.Join(t.TempDir(), "gate.yaml")
	must(t, os.WriteFile(path, []byte("data_dir: ./data\n"+minimal+"console:\n  users:\n"+strings.Join(users, "")), 0o600))
	c, problems := LoadConfig(path)
	if !problems.Sound() {
		t.Fatal(problems)
	}
	app := &App{cfg: c, log: slog.New(slog.NewTextHandler(r.log, nil)), store: &opening{}}
	door, err := app.gatekeeper(prometheus.NewRegistry())
	must(t, err)
	app.door = door
	r.reloader = newReloader(app, path)
	return r
}

// opened gives the gate its store.
func (r *reading) opened() *store.Store {
	s := sample.Open(r.t)
	r.app.store.store.Store(s)
	return s
}

// write changes the file: pairs of what is there and what comes in its place.
func (r *reading) write(pairs ...string) {
	r.t.Helper()
	text, err := os.ReadFile(r.path)
	must(r.t, err)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			r.t.Fatalf("%q isn't in the file", pairs[i])
		}
		text = []byte(strings.Replace(string(text), pairs[i], pairs[i+1], 1))
	}
	must(r.t, os.WriteFile(r.path, text, 0o600))
}

// role is a token's now, "" if it is nobody's.
func (r *reading) role(token string) string {
	q := httptest.NewRequest(http.MethodGet, "http://gate.example/", nil)
	q.Header.Set("Authorization", "Bearer "+token)
	p, err := r.app.door.Authenticate(q)
	if err != nil {
		return ""
	}
	return string(p.Role)
}

// changes are the entries that the log has of configurations.
func changes(t *testing.T, s *store.Store) (out []store.ConfigChanged) {
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeConfig {
			var c store.ConfigChanged
			must(t, json.Unmarshal(e.Payload, &c))
			out = append(out, c)
		}
		return true
	}))
	return out
}

// TestUsersAreReadAgain: who is gone, new or somebody else by now; the log has both
// hashes, and a file that is the same changes nothing.
func TestUsersAreReadAgain(t *testing.T) {
	r := newReading(t, user("dana", "officer"), user("erin", "auditor"), user("omar", "operator"))
	s := r.opened()
	before := r.now.hash()
	r.write(user("dana", "officer"), user("vera", "officer"), "name: erin, role: auditor", "name: erin, role: officer")
	r.read()
	r.note(t.Context())
	for token, want := range map[string]string{"dana": "", "vera": "officer", "erin": "officer", "omar": "operator"} {
		if got := r.role(token); got != want {
			t.Errorf("%s has the role %q, want %q", token, got, want)
		}
	}
	want := store.ConfigChanged{Before: before, After: r.now.hash(), Part: "console.users"}
	r.read()
	r.note(t.Context())
	if got := changes(t, s); len(got) != 1 || got[0] != want || want.Before == want.After {
		t.Errorf("the log has %+v, want %+v once", got, want)
	}
	for _, said := range []string{"added=1 removed=1 changed=1", "it is the same"} {
		if !strings.Contains(r.log.String(), said) {
			t.Errorf("no %q in %s", said, r.log)
		}
	}
	for _, name := range []string{"dana", "vera", "erin", "omar"} {
		if strings.Contains(r.log.String(), name) {
			t.Errorf("the program's log names %s", name)
		}
	}
	if strings.Contains(r.log.String(), "restart") {
		t.Errorf("nothing needs a restart: %s", r.log)
	}
}

// TestAFileThatIsNotWhollySoundIsNotTaken, wherever its fault is: the earlier users
// stay, and the log has line and fault.
func TestAFileThatIsNotWhollySoundIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct{ was, is, said string }{
		"a user without role":    {"role: officer", "role: boss", "console.users[0].role"},
		"two of a name":          {user("erin", "auditor"), user("erin", "auditor") + user("erin", "auditor"), "another user's name"},
		"a fault elsewhere":      {"data_dir:", "data_dri:", "unknown key"},
		"half a file":            {user("erin", "auditor"), "    - {name: erin, role", "gate.yaml:"},
		"users that aren't some": {"  users:\n", "  users: none\n  session: {}\n  x:\n", "isn't a list"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReading(t, user("dana", "officer"), user("erin", "auditor"))
			s := r.opened()
			r.write(c.was, c.is)
			r.read()
			r.note(t.Context())
			if r.role("dana") != "officer" || r.role("erin") != "auditor" {
				t.Error("the earlier users didn't stay")
			}
			if got := changes(t, s); len(got) != 0 {
				t.Errorf("the log has %+v", got)
			}
			if said := r.log.String(); !strings.Contains(said, c.said) || !strings.Contains(said, "isn't taken") {
				t.Errorf("no %q in %s", c.said, said)
			}
			// Put right, it is taken.
			r.write(c.is, c.was, "name: erin", "name: vera")
			r.read()
			if r.role("dana") != "officer" || r.app.door == nil {
				t.Error("nothing is taken any more")
			}
		})
	}
	r := newReading(t, user("dana", "officer"))
	r.opened()
	must(t, os.Remove(r.path))
	if r.read(); r.role("dana") != "officer" || !strings.Contains(r.log.String(), "no such file") {
		t.Errorf("without a file: %s", r.log)
	}
}

// TestWhatElseChangedIsNamedAndStays: by key, never by what it says.
func TestWhatElseChangedIsNamedAndStays(t *testing.T) {
	r := newReading(t, user("dana", "officer"))
	r.write("    retention: 90d", "    retention: 80d", "console:\n", "log: {level: debug}\nconsole:\n  four_eyes: true\n")
	r.read()
	if said := r.log.String(); !strings.Contains(said, `keys="console.four_eyes, log.level, purposes.training.retention"`) || strings.Contains(said, "80d") {
		t.Error(said)
	}
	r.log.Reset()
	r.write("log: {level: debug}\n", "", "  four_eyes: true\n", "", "80d", "90d", "console:\n", "# a remark\nconsole:\n")
	if r.read(); strings.Contains(r.log.String(), "restart") {
		t.Errorf("all is as the gate runs: %s", r.log)
	}
}

// TestAnEntryThatCannotBeWrittenYetIsWrittenLater: a user's removal doesn't wait for
// the log.
func TestAnEntryThatCannotBeWrittenYetIsWrittenLater(t *testing.T) {
	r := newReading(t, user("dana", "officer"), user("erin", "auditor"))
	began := r.now.hash()
	r.write(user("erin", "auditor"), "")
	r.read()
	r.note(t.Context())
	if said := r.log.String(); !strings.Contains(said, "removed=1") || !strings.Contains(said, "can't be written down yet") {
		t.Fatal(said)
	}
	s := r.opened()
	if r.role("dana") != "officer" || r.role("erin") != "" {
		t.Error("the removal waited")
	}
	r.again = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx, nil)
	}()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(10 * time.Second); len(changes(t, s)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: the entry")
		}
	}
	if got := changes(t, s); len(got) != 1 || got[0].Before != began || got[0].After == began {
		t.Errorf("%+v", got)
	}
}

func tree(t *testing.T, text string) *yaml.Node {
	var doc yaml.Node
	must(t, yaml.Unmarshal([]byte(text), &doc))
	return doc.Content[0]
}

func TestDifferencesAreNamedByTheirKeys(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{"{a: 1}", "{a: 1}", nil},
		{"{a: 1}", "{a: '1'}", nil},
		{"{a: 1, b: {c: 2}}", "{b: {c: 2}, a: 1} # in another order", nil},
		{"{a: 1}", "{a: 2}", []string{"a"}},
		{"{a: {b: 1}}", "{}", []string{"a.b"}},
		{"{}", "{a: {b: 1, c: {d: 1}}}", []string{"a.b", "a.c.d"}},
		{"{a: {}}", "{}", nil},
		{"{a: [1, {b: 2}]}", "{a: [1, {b: 3}]}", []string{"a[1].b"}},
		{"{a: [1, 2]}", "{a: [1]}", []string{"a"}},
		{"{a: [1]}", "{a: 1}", []string{"a"}},
		{"{a: [1]}", "{}", []string{"a"}},
		{"{x: &x 1, a: *x}", "{x: 1, a: 1}", nil},
		{"{console: {users: [1], listen: 2}}", "{console: {users: [], listen: 3}}", []string{"console.listen"}},
		{"{console: {users: [1]}}", "{}", nil},
	} {
		if got := differences(tree(t, c.a), tree(t, c.b), "", nil); !slices.Equal(got, c.want) {
			t.Errorf("%s and %s: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}
