package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACertificateIsCheckedOffline, with nothing but the file, the log's key and
// the hash on the receipt. testdata has a real one.
func TestACertificateIsCheckedOffline(t *testing.T) {
	file, vkey := filepath.Join("testdata", "erasure.certificate"), filepath.Join("testdata", "erasure.vkey")
	raw, err := os.ReadFile(filepath.Join("testdata", "erasure.grant"))
	if err != nil {
		t.Fatal(err)
	}
	grant := strings.TrimSpace(string(raw))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "forged")
	if err := os.WriteFile(forged, bytes.Replace(text, []byte(`"kind": "asked"`), []byte(`"kind": "other"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--certificate", file, "--vkey", vkey}, exitOK, "doesn't cover: copies of the root key"},
		{[]string{"--certificate", file, "--vkey", vkey, "--grant", grant}, exitOK, "was asked again"},
		{[]string{"--certificate", file, "--vkey", vkey, "--grant", strings.Repeat("0", 64)}, exitFail, "isn't of this grant"},
		{[]string{"--certificate", file, "--vkey", vkey, "--grant", "nonsense"}, exitFail, "on the consent receipt"},
		{[]string{"--certificate", forged, "--vkey", vkey}, exitFail, "signature"},
		{[]string{"--certificate", vkey, "--vkey", vkey}, exitFail, "signature"},
		{[]string{"--certificate", file}, exitUsage, "--vkey with one of"},
		{[]string{"--certificate", file, "--vkey", vkey, "--export", file}, exitUsage, "one of --config"},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), append([]string{"verify"}, c.args...), &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: %d, want %d and %q:\n%s", c.args, code, c.code, c.want, out.String())
		}
	}
}
