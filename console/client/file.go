package client

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"consentgate/internal/durable"
)

// file is one that is being written: under another name, for nobody but its owner,
// until it is whole.
type file struct {
	name  string // "": standard output
	force bool
	to    io.Writer
	temp  *os.File // nil: there is none, or none any more
}

// create begins a file. One that is there is left alone but for --force.
func (t *task) create(name string) (*file, error) {
	if name == "-" {
		if isTerminal(t.out) {
			return nil, usageError("--out -: that is your terminal; name a file")
		}
		return &file{to: t.out}, nil
	}
	f := &file{name: name, force: t.is("force")}
	if _, err := os.Lstat(name); err == nil && !f.force {
		return nil, f.exists()
	}
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	f.temp, f.to = temp, temp
	return f, nil
}

func (f *file) exists() error {
	return fmt.Errorf("%s is there already: name another with --out, or write over it with --force", f.name)
}

// keep gives a whole file its name.
func (f *file) keep() error {
	if f.temp == nil {
		return nil
	}
	temp := f.temp.Name()
	if err := errors.Join(f.temp.Sync(), f.temp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", f.name, err)
	}
	var err error
	if f.force {
		err = durable.Rename(temp, f.name)
	} else if err = os.Link(temp, f.name); errors.Is(err, os.ErrExist) { // it came meanwhile
		err = f.exists()
	} else if err == nil {
		err = durable.Remove(temp)
	}
	if err != nil {
		return err
	}
	f.temp = nil
	return nil
}

// abandon leaves nothing of a file that wasn't kept.
func (f *file) abandon() {
	if f.temp == nil {
		return
	}
	_ = f.temp.Close() // a second time where keep failed
	_ = os.Remove(f.temp.Name())
	f.temp = nil
}

// keep writes something short into the file that --out names, or to standard output.
func (t *task) keep(b []byte) error {
	name := t.text("out")
	if name == "" {
		_, err := t.out.Write(b)
		return err
	}
	f, err := t.create(name)
	if err != nil {
		return err
	}
	defer f.abandon()
	if _, err := f.to.Write(b); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return f.keep()
}
