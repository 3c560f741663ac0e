package evidence_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/evidence"
)

func bundle() evidence.Bundle {
	return evidence.Bundle{Subject: publicNumber, Request: "r-7", Made: made, Language: "en",
		Controller: consent.Controller{Name: "Example Ltd", Contact: "privacy@example.com"}}
}

func sequence(items ...evidence.Item) iter.Seq2[evidence.Item, error] {
	return func(yield func(evidence.Item, error) bool) {
		for _, it := range items {
			if !yield(it, nil) {
				return
			}
		}
	}
}

// itemOf is a case with audio.
func itemOf(c evidence.Case) evidence.Item {
	return evidence.Item{Case: c, Party: remote, Audio: func(w io.Writer) (evidence.Rendered, error) { return c.Rendered, inline(w) }}
}

func zipped(t *testing.T, b evidence.Bundle, items ...evidence.Item) map[string][]byte {
	t.Helper()
	var out bytes.Buffer
	must(t, b.Write(&out, sequence(items...)))
	return unpacked(t, out.Bytes())
}

func unpacked(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	must(t, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		files[f.Name], err = io.ReadAll(r)
		must(t, err)
	}
	return files
}

// TestABundleHasEverything: files, their hashes, and the same of each recording
// in the list, the vCon and the page.
func TestABundleHasEverything(t *testing.T) {
	all := cases()
	files := zipped(t, bundle(), itemOf(all["granted"]), itemOf(all["two"]))
	var names []string
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	const folder = "recordings/00%d-20260314-092653/%s"
	want := []string{"MANIFEST.sha256", "bundle.json", "index.html"}
	for i := 1; i <= 2; i++ {
		for _, f := range []string{"audio.wav", "receipt.jsonld", "vcon.json"} {
			want = append(want, fmt.Sprintf(folder, i, f))
		}
	}
	if !slices.Equal(names, want) {
		t.Fatalf("files %v", names)
	}
	v := checkVCon(t, "in a bundle", files[want[5]])
	sum := sha512.Sum512(files[want[3]])
	d := v["dialog"].([]any)[0].(object)
	if d["content_hash"] != "sha512-"+base64.RawURLEncoding.EncodeToString(sum[:]) || d["filename"] != "audio.wav" {
		t.Errorf("the vCon's dialog: %v", d)
	}
	var list struct {
		Channels   string
		Recipients []string
		Recordings []struct {
			Folder  string
			Files   []string
			Seconds float64
			Number  string
			Other   string
		}
	}
	must(t, json.Unmarshal(files["bundle.json"], &list))
	r := list.Recordings[1]
	if r.Number != publicNumber || r.Other != "•••20" || r.Seconds != 61.5 || len(r.Files) != 3 || list.Channels != "own" ||
		!slices.Equal(list.Recipients, []string{"Trainers Ltd"}) {
		t.Errorf("bundle.json: %+v", list)
	}
	page := html.UnescapeString(string(files["index.html"]))
	for _, s := range []string{"staff training", "12 Jun 2026", "•••20", publicNumber, "the call was on hold", "0:00:01</td><td>0:00:03", "Employee 1",
		"Trainers Ltd", "privacy@example.com", "0:01:02", "Entry 41", "r-7", "You agreed on 14 Mar 2026", "as a telephone event, as a signalling message"} {
		if !strings.Contains(page, s) {
			t.Errorf("the page doesn't say %q", s)
		}
	}
	for name, text := range files {
		if strings.Contains(string(text), agentNumber) || strings.Contains(string(text), "dana") {
			t.Errorf("%s names the agent, or who listened", name)
		}
	}
}

// TestABundleIsCheckedAndOpenedWithStockTools: unzip, sha256sum, and file for the audio.
func TestABundleIsCheckedAndOpenedWithStockTools(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bundle.zip")
	f, err := os.Create(path)
	must(t, err)
	must(t, bundle().Write(f, sequence(itemOf(cases()["granted"]))), f.Close())
	run(t, dir, "unzip", "-q", path, "-d", dir)
	if out := run(t, dir, "sha256sum", "-c", "MANIFEST.sha256"); strings.Count(out, ": OK") != 5 {
		t.Errorf("sha256sum says %s", out)
	}
	must(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte("forged"), 0o600))
	cmd := exec.Command("sha256sum", "-c", "MANIFEST.sha256")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("a forged page passes: %s", out)
	}
}

// run runs a stock program; it is skipped where that isn't installed, but not on CI.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// TestASealedBundleIsOpenedByStockAge: to a recipient's key, and by a passphrase
// typed at a terminal.
func TestASealedBundleIsOpenedByStockAge(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	said := run(t, dir, "age-keygen", "-o", key)
	_, recipient, _ := strings.Cut(strings.TrimSpace(said), ": ")
	b := bundle()
	var plain bytes.Buffer
	must(t, b.Write(&plain, sequence(itemOf(cases()["granted"]))))

	sealed, opened := filepath.Join(dir, "b.zip.age"), filepath.Join(dir, "b.zip")
	write := func(b evidence.Bundle) {
		t.Helper()
		f, err := os.Create(sealed)
		must(t, err)
		must(t, b.Write(f, sequence(itemOf(cases()["granted"]))), f.Close())
		if raw, err := os.ReadFile(sealed); err != nil || bytes.Contains(raw, []byte("index.html")) || !bytes.HasPrefix(raw, []byte("age-encryption.org/v1")) {
			t.Errorf("it isn't sealed: %v", err)
		}
	}
	same := func(what string) {
		t.Helper()
		if got, err := os.ReadFile(opened); err != nil || !bytes.Equal(got, plain.Bytes()) {
			t.Errorf("%s: %d bytes, %v; want the %d of the bundle", what, len(got), err, plain.Len())
		}
	}
	b.Recipient = recipient
	write(b)
	run(t, dir, "age", "-d", "-i", key, "-o", opened, sealed)
	same("by the key")

	must(t, os.Remove(opened))
	b.Recipient, b.Passphrase = "", "correct horse battery staple"
	write(b)
	atTerminal(t, dir, "passphrase", b.Passphrase, "age", "-d", "-o", opened, sealed)
	same("by the passphrase")
}

// TestTheSameInputGivesTheSameBundle, whenever it is written.
func TestTheSameInputGivesTheSameBundle(t *testing.T) {
	write := func() []byte {
		var out bytes.Buffer
		must(t, bundle().Write(&out, sequence(itemOf(cases()["two"]), itemOf(cases()["withdrawn"]))))
		return out.Bytes()
	}
	raw := write()
	if !bytes.Equal(raw, write()) {
		t.Error("they differ")
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	must(t, err)
	for _, f := range z.File {
		if !f.Modified.Equal(made) {
			t.Errorf("%s is of %s, the bundle of %s", f.Name, f.Modified, made)
		}
	}
}

// TestABundleIsRefusedBeforeAByteIsWritten, where it can't be what is asked for.
func TestABundleIsRefusedBeforeAByteIsWritten(t *testing.T) {
	for name, change := range map[string]func(*evidence.Bundle){
		"language": func(b *evidence.Bundle) { b.Language = "tlh" }, "nobody": func(b *evidence.Bundle) { b.Subject = "" },
		"recipient": func(b *evidence.Bundle) { b.Recipient = "ssh-dss AAAA" }, "two seals": func(b *evidence.Bundle) { b.Recipient, b.Passphrase = "age1", "x" },
		"country": func(b *evidence.Bundle) { b.Setting.Country = "de" },
	} {
		b := bundle()
		change(&b)
		var out bytes.Buffer
		if err := b.Write(&out, sequence()); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
}

// TestABundleWithATroubleIsNone: neither of the list nor of audio; a sealed one doesn't open.
func TestABundleWithATroubleIsNone(t *testing.T) {
	trouble := errors.New("the disk")
	broken := itemOf(cases()["granted"])
	broken.Audio = func(w io.Writer) (evidence.Rendered, error) { _ = inline(w); return evidence.Rendered{}, trouble }
	for name, items := range map[string]iter.Seq2[evidence.Item, error]{
		"audio": sequence(broken), "list": func(yield func(evidence.Item, error) bool) { yield(evidence.Item{}, trouble) },
	} {
		var out bytes.Buffer
		if err := bundle().Write(&out, items); !errors.Is(err, trouble) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len())); err == nil {
			t.Errorf("%s: there is a zip file all the same", name)
		}
	}
}

// TestNoRecordingIsHeldInMemory: a WAV of 64 MiB through a bundle, in less than 4.
func TestNoRecordingIsHeldInMemory(t *testing.T) {
	const size = 64 << 20
	it := itemOf(cases()["granted"])
	it.Audio = func(w io.Writer) (evidence.Rendered, error) {
		chunk := make([]byte, 64<<10)
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return evidence.Rendered{}, err
			}
		}
		return evidence.Rendered{Length: time.Hour}, nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, bundle().Write(io.Discard, sequence(it)))
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
}
