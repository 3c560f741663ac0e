package wrapcell

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzWrappedFile: what is read of a file is read of it again once it is written anew.
func FuzzWrappedFile(f *testing.F) {
	f.Add([]byte(`consentgate wrapped root 1 "token gate" key-1 AAAA`))
	f.Add([]byte("consentgate wrapped root 1 \"\\x00\\\"\" k -\n"))
	f.Add([]byte(`consentgate wrapped root 2 "x" k AAAA`))
	c := &Cell{path: filepath.Join(f.TempDir(), "root")}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(c.file(1), data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := c.read(1)
		if err != nil {
			return
		}
		if err := c.write(got); err != nil {
			t.Fatal(err)
		}
		if again, err := c.read(1); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q is %+v, and then %+v: %v", data, got, again, err)
		}
	})
}
