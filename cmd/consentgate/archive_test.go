package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/internal/sample"
	"consentgate/store"
	"consentgate/store/archive/archivetest"
	"consentgate/store/rights"
)

// archiveText is a configuration with an archive at a server.
func archiveText(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"access": archivetest.AccessKey, "secret": "swordfish"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Replace(minimal, "trunks:", "archive: {endpoint: \""+url+"\", bucket: "+archivetest.Bucket+", prefix: gate-1/, access_key_file: "+
		filepath.Join(dir, "access")+", secret_key_file: "+filepath.Join(dir, "secret")+"}\ntrunks:", 1)
}

// TestCheckAsksTheArchive: what would keep a bucket from being one is a warning, for
// calls go on without.
func TestCheckAsksTheArchive(t *testing.T) {
	server := archivetest.New()
	defer server.Close()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(archiveText(t, server.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() (said string) {
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"check", "--config", path}, &out, &errs); code != 0 {
			t.Errorf("exit %d: %s", code, errs.String())
		}
		return out.String() + errs.String()
	}
	if said := check(); !strings.Contains(said, "answers, and says which versions it has") || strings.Contains(said, "warning") {
		t.Errorf("a sound bucket: %q", said)
	}
	server.Lock(3650)
	if said := check(); !strings.Contains(said, "config.yaml:1: warning: archive: the bucket's object lock keeps each version for 3650 days") {
		t.Errorf("a lock: %q", said)
	}
	server.Close()
	if said := check(); !strings.Contains(said, "warning: archive: listing versions: the object store can't be reached") || strings.Contains(said, "swordfish") {
		t.Errorf("no server: %q", said)
	}
}

// TestAnArchivesMissingKeyIsWarnedOf: calls go on without.
func TestAnArchivesMissingKeyIsWarnedOf(t *testing.T) {
	text := strings.Replace(archiveText(t, "https://s3.test"), "/access,", "/no-such,", 1)
	_, problems := ParseConfig("test.yaml", []byte(text))
	if said := problems.String(); !problems.Sound() || !strings.Contains(said, "archive.access_key_file: ") || !strings.Contains(said, "nothing is archived until it is there") {
		t.Errorf("%q", said)
	}
}

// TestBothVerifiersTakeWhatAnArchiveLogs, of a recording that was copied and of one
// that was erased since, and of the certificate's own words.
func TestBothVerifiersTakeWhatAnArchiveLogs(t *testing.T) {
	server := archivetest.New()
	defer server.Close()
	cfg, problems := ParseConfig("test.yaml", []byte(archiveText(t, server.URL)))
	if !problems.Sound() {
		t.Fatal(problems)
	}
	place, err := cfg.openArchive()
	must(t, err)
	s := sample.Open(t, func(o *store.Options) { o.Archive = place })
	kept, victim := sample.Record(t, s, sample.Caller, 100*time.Millisecond), sample.Record(t, s, sample.Caller, 100*time.Millisecond)
	until := func(kind string, n int) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			got := 0
			must(t, s.Entries(0, func(e store.Entry) bool {
				if e.Type == kind {
					got++
				}
				return true
			}))
			if got == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d entries %s", got, n, kind)
			}
		}
	}
	until(store.TypeArchived, 2)
	must(t, s.AskErase(t.Context(), victim, rights.Ask{Act: rights.Act{By: "dana", At: time.Now(), Reason: "asked"}}))
	until(store.TypeArchiveDeleted, 1)
	must(t, s.Rotate(t.Context()))
	var export bytes.Buffer
	must(t, s.Export(&export))
	ours, theirs := both(t, export.Bytes())
	if ours.code != 0 || theirs.code != 0 || !strings.Contains(ours.out, "ok") || !strings.Contains(theirs.out, "ok") {
		t.Errorf("ours says %q, the one in Python %q", ours.out, theirs.out)
	}
	for _, v := range server.Versions() {
		if !strings.Contains(v.Key, kept) {
			t.Errorf("%s is there", v.Key)
		}
	}
}
