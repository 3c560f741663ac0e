package e2e

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store"
)

// putBack makes a data directory what it was when it was copied.
func putBack(t *testing.T, dir, from string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// sameFiles compares the files of one directory with those of another.
func sameFiles(t *testing.T, dir, other string) {
	t.Helper()
	err := filepath.WalkDir(other, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(other, path)
		if err != nil {
			return err
		}
		was, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if is, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(was, is) {
			t.Errorf("%s was changed: %v", name, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestYesterdaysDataDirectoryBesideTodaysRootRecordsNothing: a recording was erased
// in between. Calls go on, nobody is asked, the log says why and what to do, and
// neither what was erased nor anything else is given or changed. With today's put
// back it records again.
func TestYesterdaysDataDirectoryBesideTodaysRootRecordsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	l := newLine(t, setup{})
	talk := func() {
		t.Helper()
		c, err := l.yes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l.until("recording", func() bool { return l.metric("recordings_active") == 1 })
		if err := c.Hangup(); err != nil {
			t.Error(err)
		}
		l.until("sealed", func() bool { return l.metric(`recordings_total{outcome="sealed"}`) == 1 })
	}
	talk()
	l.stop()
	data, yesterday, today := filepath.Join(l.dir, "data"), filepath.Join(t.TempDir(), "yesterday"), filepath.Join(t.TempDir(), "today")
	putBack(t, yesterday, data)
	s := l.open("")
	page, _, err := s.Search(store.Query{})
	if err != nil || len(page) != 1 {
		t.Fatalf("%d recordings: %v", len(page), err)
	}
	victim := page[0]
	for _, err := range []error{s.Erase(ctx, victim.Grant, "asked"), s.Rotate(ctx), s.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	putBack(t, today, data)
	putBack(t, data, yesterday)

	l.again()
	for _, word := range []string{"the data directory can't be opened: calls go on and nothing is recorded", "recordings were erased since",
		"Put back a backup of the data directory made after the last erasure"} {
		if !strings.Contains(l.log.String(), word) {
			t.Errorf("the log doesn't say %q:\n%s", word, l.log)
		}
	}
	if got := l.metric("recording_possible"); got != 0 {
		t.Errorf("recording_possible is %v", got)
	}
	c, err := l.dial(ctx, "100")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Media.WaitTone(ctx, 440); err != nil { // nobody is asked first
		t.Errorf("the agent isn't heard: %v", err)
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	for _, command := range []string{"verify", "export"} {
		if out, code := l.run(command, "--config", l.config); code != 1 || !strings.Contains(out, "recordings were erased since") {
			t.Errorf("%s: exit %d\n%s", command, code, out)
		}
	}
	l.stop()
	sameFiles(t, data, yesterday)

	putBack(t, data, today)
	l.again()
	l.until("recording is possible", func() bool { return l.metric("recording_possible") == 1 })
	talk()
	l.stop()
	if ev := l.evidence(); ev.count(store.TypeShredded) != 1 || ev.count(store.TypeSealed) != 2 {
		t.Errorf("%d final erasures, %d recordings sealed", ev.count(store.TypeShredded), ev.count(store.TypeSealed))
	}
	s = l.open("")
	if _, err := s.Get(victim.ID); err == nil {
		t.Error("the erased recording is there")
	}
	if page, _, err := s.Search(store.Query{}); err != nil || len(page) != 1 {
		t.Errorf("%d recordings: %v", len(page), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
