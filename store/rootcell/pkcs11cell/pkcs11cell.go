// Package pkcs11cell keeps root keys under keys of a PKCS#11 token: a hardware
// security module, a smart card.
//
// A token comes with a library in C that a program must load into itself. This
// package has another program load it, consentgate-pkcs11, one run for each
// request: a fault in a maker's library then ends that run and not the calls
// that the gate has up, and a token that doesn't answer is given up by ending
// the run, for which PKCS#11 has no call. The gate itself needs no C.
package pkcs11cell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/wrapcell"
)

// Config says which token.
type Config struct {
	Module  string // the token's library, for instance /usr/lib/softhsm/libsofthsm2.so
	Token   string // the token's label
	PINFile string // the file that holds the user's PIN
	Path    string // the encrypted roots lie here, with ".N" behind it
	Name    string // begins the names of the keys in the token; wrapcell.CheckName
	Program string // consentgate-pkcs11; "": beside this program, or else in PATH
}

// Request is what consentgate-pkcs11 reads, one JSON value.
type Request struct {
	Module  string `json:"module"`
	Token   string `json:"token"`
	PINFile string `json:"pin_file"`
	Op      string `json:"op"`             // id, keys, new, wrap, unwrap, delete
	Name    string `json:"name,omitempty"` // of the key; keys: the prefix
	Data    []byte `json:"data,omitempty"` // to encrypt or decrypt
}

// Answer is what it writes, one JSON value.
type Answer struct {
	ID    string   `json:"id,omitempty"`
	Keys  []string `json:"keys,omitempty"`
	Data  []byte   `json:"data,omitempty"`
	NoKey bool     `json:"no_key,omitempty"` // the token answered, and has no such key
	Error string   `json:"error,omitempty"`
}

// Open finds the program. It doesn't ask the token.
func Open(c Config) (*wrapcell.Cell, error) {
	if c.Program == "" {
		var err error
		if c.Program, err = findProgram(); err != nil {
			return nil, err
		}
	}
	if err := wrapcell.CheckName(c.Name); err != nil {
		return nil, fmt.Errorf("the name %q of root keys: %w", c.Name, err)
	}
	return wrapcell.New(&device{c, make(chan struct{}, 1)}, c.Path, c.Name, rootcell.Description{
		Driver: "pkcs11", Holder: fmt.Sprintf("token %q by %s, keys %s-*", c.Token, c.Module, c.Name),
		Resists: "who has every disk and backup of the machine, the encrypted root key too: the key that opened it never " +
			"left the token, and the token has destroyed it",
		Doesnt: "a token that keeps copies (a cluster's other members, the maker's backup of a module); a token in software " +
			"like SoftHSM, whose objects are files",
	}), nil
}

const program = "consentgate-pkcs11"

func findProgram() (string, error) {
	if self, err := os.Executable(); err == nil {
		if beside, err := exec.LookPath(filepath.Join(filepath.Dir(self), program)); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("PKCS#11 needs the program %s beside this one or in PATH: 'make pkcs11' builds it, "+
			"with a C compiler", program)
	}
	return path, nil
}

// device is a token as wrapcell knows it.
type device struct {
	c    Config
	turn chan struct{} // holds one: SoftHSM, for one, denies tokens that another process opens just then
}

// patience is how long a token may take for one request.
const patience = 30 * time.Second

// grace is how long a run may go on when the caller's time is over, before it is
// killed: SoftHSM writes its token's file at each login, and one that was killed
// meanwhile has lost the token with all its keys.
const grace = 5 * time.Second

// maxAnswer bounds what the program may say, in bytes.
const maxAnswer = 1 << 20

func (d *device) ask(ctx context.Context, op, name string, data []byte) (a Answer, err error) {
	if err := ctx.Err(); err != nil {
		return a, err
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return a, ctx.Err()
	}
	in, err := json.Marshal(Request{d.c.Module, d.c.Token, d.c.PINFile, op, name, data})
	if err != nil {
		return a, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, errs := bounded{left: maxAnswer}, bounded{left: 4096}
	cmd := exec.CommandContext(limited, d.c.Program)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	cmd.Cancel = func() error { return nil } // not at once
	cmd.WaitDelay = grace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what a terminal sends to the gate isn't for it
	runErr := cmd.Run()
	if err := limited.Err(); err != nil {
		return a, fmt.Errorf("the token %q didn't answer: %w", d.c.Token, err)
	}
	if runErr != nil {
		return a, fmt.Errorf("%s broke while it used %s (a fault in that library?): %w: %s", d.c.Program, d.c.Module, runErr,
			strings.TrimSpace(errs.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return Answer{}, fmt.Errorf("%s isn't of this version: its answer can't be read", d.c.Program)
	}
	switch {
	case a.NoKey:
		return a, fmt.Errorf("token %q, key %s: %w", d.c.Token, name, wrapcell.ErrNoKey)
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

// bounded is a buffer that forgets what is too much.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	some := p[:min(len(p), b.left)]
	b.left -= len(some)
	b.Buffer.Write(some)
	return len(p), nil
}

func (d *device) ID(ctx context.Context) (string, error) {
	a, err := d.ask(ctx, "id", "", nil)
	return a.ID, err
}

func (d *device) Keys(ctx context.Context, prefix string) ([]string, error) {
	a, err := d.ask(ctx, "keys", prefix, nil)
	return a.Keys, err
}

func (d *device) NewKey(ctx context.Context, name string) error {
	_, err := d.ask(ctx, "new", name, nil)
	return err
}

func (d *device) Wrap(ctx context.Context, name string, root rootcell.Key) ([]byte, error) {
	a, err := d.ask(ctx, "wrap", name, root[:])
	return a.Data, err
}

func (d *device) Unwrap(ctx context.Context, name string, box []byte) (k rootcell.Key, err error) {
	a, err := d.ask(ctx, "unwrap", name, box)
	if err != nil {
		return k, err
	}
	if len(a.Data) != len(k) {
		return k, fmt.Errorf("the token gave a root key of %d bytes", len(a.Data))
	}
	return rootcell.Key(a.Data), nil
}

func (d *device) Delete(ctx context.Context, name string) error {
	_, err := d.ask(ctx, "delete", name, nil)
	return err
}

// Close has nothing to let go: each request is a program run of its own.
func (d *device) Close() error { return nil }
