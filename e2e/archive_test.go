package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store/archive/archivetest"
)

// archiveAt is the configuration of an archive at a server.
func archiveAt(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"access": archivetest.AccessKey, "secret": "swordfish"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("archive: {endpoint: %q, bucket: %s, prefix: gate-1/, access_key_file: %s, secret_key_file: %s}\n", url, archivetest.Bucket,
		filepath.Join(dir, "access"), filepath.Join(dir, "secret"))
}

// TestACallDoesntHearThatTheArchiveIsInTrouble: it doesn't answer, talks without an
// end, or is switched off; the caller is asked, the recording is sealed, the gate
// stops in order. The next start copies what waits.
func TestACallDoesntHearThatTheArchiveIsInTrouble(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"it doesn't answer": func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		},
		"it talks without an end": func(w http.ResponseWriter, _ *http.Request) bool {
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return true
				}
			}
		},
		"it hangs up": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			server := archivetest.New()
			t.Cleanup(server.Close)
			server.Before(fault)
			data := filepath.Join(t.TempDir(), "data")
			text := archiveAt(t, server.URL) + "root: {path: " + data + ".root}\n"
			l := newLine(t, setup{extra: text, dataDir: data})
			for range 2 { // the second while the first is tried there
				c, err := l.yes(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Hangup(); err != nil {
					t.Fatal(err)
				}
				<-l.calls
			}
			l.until("both are sealed", func() bool { return l.metric(`recordings_total{outcome="sealed"}`) == 2 })
			l.until("both wait to be copied", func() bool { return l.metric("archive_waiting") == 2 })
			l.until("the archive is asked", func() bool { return server.Asked(http.MethodGet)+server.Asked(http.MethodPut) > 0 })
			if n := l.metric("recordings_unaccounted"); n != 0 {
				t.Errorf("%v are unaccounted", n)
			}
			l.stop()
			server.Before(nil)
			again := newLine(t, setup{extra: text, dataDir: data})
			// nothing waits before the store is open, either
			again.until("both are copied", func() bool { return again.metric("archive_waiting") == 0 && len(server.Versions()) >= 2 })
			again.stop()
		})
	}
}
