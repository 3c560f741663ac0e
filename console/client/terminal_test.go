package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"consentgate/console/access"
	"consentgate/console/client"
)

// terminal is a pseudoterminal: what is written to its end for programs, people see.
func terminal(t *testing.T) (end *os.File, seen func() string) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("NOT TESTED: there is no pseudoterminal: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(m.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(m.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if end, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		b, _ := io.ReadAll(m) // it ends with an error when the other end is closed
		read <- string(b)
	}()
	return end, func() string {
		_ = end.Close()
		s := <-read
		_ = m.Close()
		return s
	}
}

// TestALongExportTellsATerminalHowFarItIs, and nobody else; nor is audio written to
// a terminal.
func TestALongExportTellsATerminalHowFarItIs(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3000000")
		for range 3 {
			fmt.Fprint(w, strings.Repeat("RIFF", 250000))
			w.(http.Flusher).Flush()
			time.Sleep(300 * time.Millisecond) // longer than it tells each time
		}
	})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("dana"), 0o600); err != nil {
		t.Fatal(err)
	}
	export := func(out, errs io.Writer, file string) int {
		return client.Run(context.Background(), "recordings", []string{"export", "abc", "--purpose", "p", "--out", file, "--force",
			"--server", url, "--token-file", token}, out, errs)
	}
	file := filepath.Join(t.TempDir(), "a.wav")
	end, seen := terminal(t)
	code := export(io.Discard, end, file)
	if s := seen(); code != 0 || !strings.Contains(s, "%  ") || !strings.Contains(s, "MB/s") || !strings.Contains(s, "3.0 MB\r\n") {
		t.Errorf("%d, a terminal sees %q", code, s)
	}
	var quiet bytes.Buffer
	if code := export(io.Discard, &quiet, file); code != 0 || strings.Contains(quiet.String(), "%") {
		t.Errorf("%d, a file gets %q", code, quiet.String())
	}
	end, seen = terminal(t)
	if code := export(end, io.Discard, "-"); code != 2 {
		t.Errorf("audio to a terminal: %d", code)
	}
	if s := seen(); s != "" {
		t.Errorf("a terminal sees %q", s)
	}
}

// TestEveryVerbAsksForWhatTheAPITakes: routes that there are, parameters and members
// that they have; and nothing that the API takes is out of reach but what is listed.
func TestEveryVerbAsksForWhatTheAPITakes(t *testing.T) {
	t.Parallel()
	takes, given := taken(t), map[string]bool{}
	mux := http.NewServeMux()
	for pattern := range access.Table {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			given[pattern] = true
			for name := range r.URL.Query() {
				given[pattern+" ?"+name] = true
			}
			var body map[string]any
			if raw, err := io.ReadAll(r.Body); err != nil || len(raw) > 0 && json.Unmarshal(raw, &body) != nil {
				t.Errorf("%s: %q, %v", pattern, raw, err)
			}
			for name := range body {
				given[pattern+" ."+name] = true
			}
			fmt.Fprint(w, `{"recordings": [], "entries": [], "ok": true}`)
		})
	}
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s isn't in the table", r.Method, r.URL.Path)
	})
	url := fake(t, mux.ServeHTTP)
	for _, c := range client.Commands {
		for _, v := range c.Verbs {
			words := []string{c.Name, v.Name}
			for range v.Args {
				words = append(words, "x")
			}
			for _, words := range spelled(t, words, v) {
				if s := runAt(t, url, "dana", words...); s.code != 0 {
					t.Errorf("%v: %+v", words, s)
				}
			}
		}
	}
	beyond := []string{"GET /api/v1/openapi.json", "GET /api/v1/approvals/{id}"}
	for what := range given {
		if !takes[what] {
			t.Errorf("the API doesn't take %s", what)
		}
	}
	for what := range takes {
		if !given[what] && !slices.Contains(beyond, what) {
			t.Errorf("no verb gives %s", what)
		}
	}
}

// spelled are the ways to write a verb with all its flags, where some exclude others.
func spelled(t *testing.T, words []string, v client.Verb) (out [][]string) {
	file := filepath.Join(t.TempDir(), "older")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	without := [][]string{nil}
	switch v.Name {
	case "proof":
		without = [][]string{{"entry"}, {"since"}}
	case "export": // forms that are routes of their own, and the first
		for _, f := range v.Flags {
			if f.Name == "form" {
				for _, form := range f.Values[1:] {
					out = append(out, append(slices.Clone(words), "--form", form, "--purpose", "x", "--recipient", "x", "--out", filepath.Join(t.TempDir(), "out")))
				}
			}
		}
	}
	for _, no := range without {
		line := slices.Clone(words)
		for _, f := range v.Flags {
			switch {
			case slices.Contains(no, f.Name):
			case f.Name == "out":
				line = append(line, "--out", filepath.Join(t.TempDir(), "out"))
			case f.Kind == client.Switch:
				line = append(line, "--"+f.Name)
			case f.Kind == client.File:
				line = append(line, "--"+f.Name, file)
			case len(f.Values) > 0:
				line = append(line, "--"+f.Name, f.Values[0])
			default:
				line = append(line, "--"+f.Name, "1")
			}
		}
		out = append(out, line)
	}
	return out
}

// taken is what the API's own document says that it takes.
func taken(t *testing.T) map[string]bool {
	t.Helper()
	g := newGate(t, nil)
	req, err := http.NewRequest("GET", g.server.URL+"/api/v1/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer dana")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	type schema struct {
		Ref        string         `json:"$ref"`
		Properties map[string]any `json:"properties"`
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			pattern := strings.ToUpper(method) + " " + path
			if _, ok := access.Table[pattern]; !ok {
				continue
			}
			out[pattern] = true
			for _, p := range op.Parameters {
				if p.In == "query" {
					out[pattern+" ?"+p.Name] = true
				}
			}
			for _, body := range op.RequestBody.Content {
				s := body.Schema
				if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
					s = doc.Components.Schemas[name]
				}
				for name := range s.Properties {
					out[pattern+" ."+name] = true
				}
			}
		}
	}
	return out
}
