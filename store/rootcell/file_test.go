package rootcell_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/celltest"
)

func TestFileCell(t *testing.T) {
	celltest.Run(t, func(t *testing.T) celltest.Device {
		dir := filepath.Join(t.TempDir(), "stick")
		must(t, os.Mkdir(dir, 0o700))
		away := dir + ".away"
		return celltest.Device{
			Open: func() (rootcell.Cell, error) { return rootcell.NewFile(filepath.Join(dir, "root.key")), nil },
			Cut: func() func() {
				must(t, os.Rename(dir, away))
				return func() { must(t, os.Rename(away, dir)) }
			},
		}
	})
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestTheFileOfEarlierVersionsIsEpochOne: its line is as it was.
func TestTheFileOfEarlierVersionsIsEpochOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	must(t, os.WriteFile(path, []byte("consentgate root 1 "+strings.Repeat("a7", 32)+"\n"), 0o600))
	k, err := rootcell.NewFile(path).Get(context.Background(), 1)
	must(t, err)
	if !bytes.Equal(k[:], bytes.Repeat([]byte{0xa7}, 32)) {
		t.Errorf("%x", k)
	}
}

// TestAnEmptyMountPointIsNotADestroyedRoot: where the disk should be mounted
// there is an empty folder, in which no root was destroyed.
func TestAnEmptyMountPointIsNotADestroyedRoot(t *testing.T) {
	cell := rootcell.NewFile(filepath.Join(t.TempDir(), "root.key"))
	if err := cell.Destroy(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("%v", err)
	}
}

// TestAFileOfAnotherEpochOrNoRootIsRefused, and says what it must be.
func TestAFileOfAnotherEpochOrNoRootIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"another epoch": "consentgate root 1 " + strings.Repeat("00", 32),
		"too short":     "consentgate root 2 00",
		"empty":         "",
		"no digits":     "consentgate root 2 " + strings.Repeat("zz", 32),
	} {
		path := filepath.Join(t.TempDir(), "root.key")
		must(t, os.WriteFile(path+".2", []byte(text), 0o600))
		cell := rootcell.NewFile(path)
		_, err := cell.Get(context.Background(), 2)
		if err == nil || errors.Is(err, rootcell.ErrGone) || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := cell.Make(context.Background(), 2); err == nil {
			t.Errorf("%s: written over", name)
		}
	}
}

// TestADestroyedRootIsOverwrittenInItsPlace: who has the file open still, or its
// blocks, has zeros.
func TestADestroyedRootIsOverwrittenInItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	cell := rootcell.NewFile(path)
	ctx := context.Background()
	_, err := cell.Make(ctx, 1)
	_, err2 := cell.Make(ctx, 2)
	must(t, err, err2)
	old, err := os.Open(path)
	must(t, err)
	defer old.Close()
	must(t, cell.Destroy(ctx, 1))
	left, err := io.ReadAll(old)
	must(t, err)
	if len(left) < 64 || strings.Trim(string(left), "\x00") != "" {
		t.Errorf("the blocks hold %q", left)
	}
}

// TestAPathWithoutAFolderIsOfTheWorkingDirectory.
func TestAPathWithoutAFolderIsOfTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	cell := rootcell.NewFile("root.key")
	_, err := cell.Make(context.Background(), 1)
	must(t, err)
	if got, err := cell.Epochs(context.Background()); err != nil || len(got) != 1 {
		t.Errorf("%v %v", got, err)
	}
}
