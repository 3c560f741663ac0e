package browser

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// downloads is the folder that a browser puts files into, under their own names.
type downloads struct {
	b   *tab
	dir string

	mu    sync.Mutex
	names map[string]string // by what the browser calls the download
	done  []string          // names of those that are whole
}

// downloads has the browser keep what it downloads.
func (b *tab) downloads() *downloads {
	b.t.Helper()
	d := &downloads{b: b, dir: b.t.TempDir(), names: map[string]string{}}
	must(b.t, chromedp.Listen(b.ctx, func(ev any) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch ev := ev.(type) {
		case *browser.EventDownloadWillBegin:
			d.names[ev.GUID] = ev.SuggestedFilename
		case *browser.EventDownloadProgress:
			switch ev.State {
			case browser.DownloadProgressStateCompleted:
				d.done = append(d.done, d.names[ev.GUID])
			case browser.DownloadProgressStateCanceled:
				b.t.Errorf("the download of %s broke off", d.names[ev.GUID])
			}
		}
	}))
	events := true
	b.run(command(browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID, DownloadPath: d.dir, EventsEnabled: &events}))
	return d
}

func (d *downloads) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.names)
}

// press clicks what sends a file, and gives its path once all of it is there.
func (d *downloads) press(selector string) string {
	d.b.t.Helper()
	before := d.count()
	d.b.run(click(selector))
	until(d.b.t, "a file is downloaded by "+selector, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.done) > before
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	return filepath.Join(d.dir, d.done[before])
}

// opened is what stock age makes of a file that is sealed with a passphrase. It takes
// one at a terminal only, which script is.
func opened(t *testing.T, sealed, passphrase string) string {
	t.Helper()
	needs(t, "age", "age")
	needs(t, "script", "bsdutils")
	out := strings.TrimSuffix(sealed, ".age")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qec", "age -d -o '"+out+"' '"+sealed+"'", "/dev/null")
	said := &safeBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	keyboard, err := cmd.StdinPipe()
	must(t, err, cmd.Start())
	until(t, "age asks for the passphrase", func() bool { return strings.Contains(said.String(), "passphrase") })
	_, err = keyboard.Write([]byte(passphrase + "\n"))
	must(t, err)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("age: %v\n%s", err, said)
	}
	return out
}

// unzipped is the folder that a zip's files are in then; its manifest has all of them
// as they are.
func unzipped(t *testing.T, file string) string {
	t.Helper()
	needs(t, "unzip", "unzip")
	dir := strings.TrimSuffix(file, ".zip")
	for _, line := range []string{"mkdir DIR", "unzip -q FILE -d DIR", "cd DIR && sha256sum --strict --quiet -c MANIFEST.sha256"} {
		line = strings.NewReplacer("DIR", dir, "FILE", file).Replace(line)
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "MANIFEST.sha256"))
	must(t, err)
	var files int
	must(t, filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	}))
	if listed := bytes.Count(manifest, []byte("\n")); listed != files-1 || listed < 5 {
		t.Errorf("the manifest lists %d of %d files:\n%s", listed, files, manifest)
	}
	return dir
}
