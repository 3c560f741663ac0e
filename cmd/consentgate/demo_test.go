package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestADemoThatFailsNamesTheFolderThatItLeaves, which is there.
func TestADemoThatFailsNamesTheFolderThatItLeaves(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as a Ctrl-C does
	var errs bytes.Buffer
	code := demoCommand(ctx, nil, new(bytes.Buffer), &errs)
	left, err := filepath.Glob(filepath.Join(tmp, "consentgate-demo-*", "data"))
	if code != exitFail || err != nil || len(left) != 1 || !strings.Contains(errs.String(), "stays in "+filepath.Dir(left[0])) {
		t.Errorf("code %d, %v, there is %v: %s", code, err, left, errs.String())
	}
}

// TestADemoThatHasNoGateLeavesNothing, and says so.
func TestADemoThatHasNoGateLeavesNothing(t *testing.T) {
	d := &demo{dir: filepath.Join(t.TempDir(), "demo")}
	if err := os.MkdirAll(d.dataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	said := d.left()
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) || said != "it left nothing behind" {
		t.Errorf("%q, and its folder: %v", said, err)
	}
}
