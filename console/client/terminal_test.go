package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
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

// TestEveryVerbAsksForARouteThatThereIs, and takes whatever comes back.
func TestEveryVerbAsksForARouteThatThereIs(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	asked := map[string]bool{}
	for pattern := range access.Table {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			asked[pattern] = true
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
			for _, f := range v.Flags {
				switch {
				case f.Name == "out":
					words = append(words, "--out", filepath.Join(t.TempDir(), "file"))
				case f.Name == "told":
					words = append(words, "--told")
				case len(f.Values) > 0 && f.Required:
					words = append(words, "--"+f.Name, f.Values[0])
				case f.Required || f.Name == "purpose":
					words = append(words, "--"+f.Name, "x")
				}
			}
			if s := runAt(t, url, "dana", words...); s.code != 0 {
				t.Errorf("%v: %+v", words, s)
			}
		}
	}
	if len(asked) < 25 {
		t.Errorf("only %d routes are asked for", len(asked))
	}
}
