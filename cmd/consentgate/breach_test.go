package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"consentgate/breach/pack"
	"consentgate/store"
)

// unzipped reads a pack's files.
func unzipped(t *testing.T, path string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(path)
	mustOK(t, err)
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		mustOK(t, err)
		b, err := io.ReadAll(r)
		mustOK(t, err, r.Close())
		out[f.Name] = string(b)
	}
	mustOK(t, z.Close())
	return out
}

// later waits for the next millisecond but one: times in the log have milliseconds.
func later(t *testing.T) time.Time {
	t.Helper()
	at := time.Now().Truncate(time.Millisecond).Add(2 * time.Millisecond)
	eventually(t, "the clock", func() bool { return time.Now().After(at) })
	return at
}

// breached is a data directory in which dana listened to two recordings and took
// one out, the second of which was erased since; its configuration; and since when.
func breached(t *testing.T) (s *store.Store, file string, from time.Time) {
	t.Helper()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "config.yaml")
	mustOK(t, os.WriteFile(file, fmt.Appendf(nil, "data_dir: %s\nrecord: {dpo: Dora Po}\n%s", data, minimal), 0o600))
	s, err := store.Open(store.Options{Dir: data})
	mustOK(t, err)
	ctx := context.Background()
	a, b, c, d := recordFrom(t, s, "+441111111111"), recordFrom(t, s, "+442222222222"), recordFrom(t, s, "+441111111111"), recordFrom(t, s, "+443333333333")
	mustOK(t, s.Played(ctx, d, "dana", "training", 0, 0))
	from = later(t)
	mustOK(t, s.Audit().Note(ctx, store.LoginFailed{As: "dana", From: "192.0.2.7"}), s.Audit().Note(ctx, store.Login{By: "dana"}),
		s.Played(ctx, a, "dana", "training", 5*time.Second, 15*time.Second), s.Played(ctx, b, "dana", "training", 0, 0),
		s.Exported(ctx, c, "dana", "training", "wav", ""), s.Played(ctx, c, "<b>eve", "training", 0, 0),
		s.Audit().Note(ctx, store.AlarmRaised{Rule: "play_burst", Entry: 7, By: "dana", Count: 2}))
	sum, err := s.Get(b)
	mustOK(t, err, s.Erase(ctx, sum.Grant, "asked"))
	later(t)
	return s, file, from
}

// packOf runs the command and gives the pack's files and what it says.
func packOf(t *testing.T, file string, args ...string) (files map[string]string, p pack.Pack, said string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "pack.zip")
	var out, errs strings.Builder
	if code := run(context.Background(), append([]string{"breach", "--config", file, "--out", to}, args...), &out, &errs); code != exitOK {
		t.Fatalf("%d: %s", code, errs.String())
	}
	files = unzipped(t, to)
	mustOK(t, json.Unmarshal([]byte(files["breach.json"]), &p))
	return files, p, out.String()
}

// TestABreachPackSaysWhoseDataWasTouched, how, by whom and until when it is to be
// told: of a gate that runs, and of one that stopped.
func TestABreachPackSaysWhoseDataWasTouched(t *testing.T) {
	s, file, from := breached(t)
	for _, state := range []string{"running", "stopped"} {
		files, p, said := packOf(t, file, "--from", from.Format(time.RFC3339Nano), "--user", "dana")
		if want := (pack.Subjects{Remote: 1, Local: 1, Unknown: 1}); p.Subjects != want {
			t.Errorf("%s: %+v", state, p.Subjects)
		}
		if want := (pack.Data{Recordings: 3, Erased: 1, Plays: 2, Seconds: 10, Exports: map[string]int{"wav": 1}, Unattributed: 1}); !reflect.DeepEqual(p.Data, want) {
			t.Errorf("%s: %+v", state, p.Data)
		}
		if want := []pack.User{{Name: "dana", Plays: 1, Exports: 1, Logins: 1, FailedLogins: 1}}; !reflect.DeepEqual(p.Users, want) {
			t.Errorf("%s: %+v", state, p.Users)
		}
		if len(p.Alarms) != 1 || !p.Clock.Assumed || !p.Clock.Deadline.Equal(p.Alarms[0].At.Add(72*time.Hour)) || p.Clock.Over {
			t.Errorf("%s: %+v %+v", state, p.Alarms, p.Clock)
		}
		if p.Log.Problem != "" || p.Log.Size == 0 || !strings.HasPrefix(files["checkpoint.txt"], p.Log.Origin+"\n") {
			t.Errorf("%s: %+v %s", state, p.Log, files["checkpoint.txt"])
		}
		if list := files["affected.csv"]; strings.Count(list, "+441111111111") != 2 || strings.Contains(list, "+443333333333") || !strings.Contains(list, "erased") {
			t.Errorf("%s: %s", state, list)
		}
		for name, text := range files {
			if name != "affected.csv" && strings.Contains(text, "+4411") {
				t.Errorf("%s: a number in %s", state, name)
			}
		}
		for name, words := range map[string][]string{"breach.en.html": {"Art. 33(3)(c)", "Dora Po", "recording.played", "seconds 5 to 15", "audit log that can"},
			"breach.de.html": {"Art. 33 Abs. 3 lit. c", "Zu melden bis", "Protokoll, das nicht unbemerkt"}} {
			for _, w := range words {
				if !strings.Contains(files[name], w) {
					t.Errorf("%s: no %q in %s", state, w, name)
				}
			}
		}
		if !strings.Contains(said, "3 recordings affected: 1 people") || strings.Contains(said, "dana") {
			t.Errorf("%s: %s", state, said)
		}
		if state == "running" {
			mustOK(t, s.Close())
		}
	}
}

// TestABreachPackOfEverybodyHasEverybody, and no name changes the page.
func TestABreachPackOfEverybodyHasEverybody(t *testing.T) {
	s, file, from := breached(t)
	mustOK(t, s.Close())
	files, p, _ := packOf(t, file, "--from", from.Format(time.RFC3339Nano), "--aware", "2026-01-01 12:00")
	if len(p.Users) != 2 || p.Data.Plays != 3 || p.Clock.Assumed || !p.Clock.Over {
		t.Errorf("%+v %+v %+v", p.Users, p.Data, p.Clock)
	}
	for _, name := range []string{"breach.en.html", "breach.de.html"} {
		if strings.Contains(files[name], "<b>eve") || !strings.Contains(files[name], "&lt;b&gt;eve") {
			t.Errorf("the name isn't escaped in %s", name)
		}
	}
	if !strings.Contains(files["breach.en.html"], "reasons for the delay") {
		t.Error("it is late, and the page doesn't say so")
	}
	_, p, said := packOf(t, file, "--from", "2020-01-01", "--to", "2020-01-02")
	if p.Data.Recordings != 0 || !p.Clock.Aware.IsZero() || !strings.Contains(said, "say with --aware") {
		t.Errorf("%+v %s", p, said)
	}
}

// TestABreachPackIsRefusedWithAReason, and leaves what is there alone.
func TestABreachPackIsRefusedWithAReason(t *testing.T) {
	s, file, _ := breached(t)
	mustOK(t, s.Close())
	there := filepath.Join(t.TempDir(), "there.zip")
	mustOK(t, os.WriteFile(there, []byte("x"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--from", "yesterday", "--out", "x.zip"}, exitUsage, `--from: "yesterday" isn't a time`},
		{[]string{"--from", "2026-01-02", "--to", "2026-01-01", "--out", "x.zip"}, exitUsage, "--from isn't before --to"},
		{[]string{"--from", "2026-01-02"}, exitUsage, "--out FILE are needed"},
		{[]string{"--from", "2026-01-02", "--out", there}, exitFail, "file exists"},
	} {
		var out, errs strings.Builder
		if code := run(context.Background(), append([]string{"breach", "--config", file}, c.args...), &out, &errs); code != c.code || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: %d %s", c.args, code, errs.String())
		}
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "x" {
		t.Errorf("%q %v", b, err)
	}
}
