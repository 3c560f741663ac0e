package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"consentgate/store"
	"consentgate/store/rootcell"
	"consentgate/store/rootcell/pkcs11cell"
	"consentgate/store/rootcell/tpmcell"
	"consentgate/store/rootcell/vaultcell"
	"consentgate/store/rootcell/wrapcell"
)

// RootConfig says what holds the root key.
type RootConfig struct {
	Driver   string // file, pkcs11, tpm, vault
	Path     string // of its files; "": beside root_key
	Name     string // begins the names of keys in a device
	PKCS11   pkcs11cell.Config
	TPM      tpmcell.Config
	Vault    vaultcell.Config
	Replicas []RootConfig
}

func defaultRoot() RootConfig {
	return RootConfig{Driver: "file", Name: "consentgate", TPM: tpmcell.Config{Device: "/dev/tpmrm0", Index: 0x01804300},
		Vault: vaultcell.Config{Mount: "transit"}}
}

// root reads a cell's configuration. A replica has no replicas of its own.
func (p *parser) root(n *yaml.Node, path string, c *RootConfig, replica bool) {
	of := map[string]*yaml.Node{} // the drivers' keys
	device := func(name string, fs fields) func(*yaml.Node, string) {
		return func(n *yaml.Node, path string) {
			of[name] = n
			p.mapping(n, path, fs)
		}
	}
	fs := fields{
		"driver": oneOf(p.reader, &c.Driver, "file", "pkcs11", "tpm", "vault"),
		"path":   p.text(&c.Path),
		"name":   parsed(p.reader, &c.Name, checked(wrapcell.CheckName)),
		"pkcs11": device("pkcs11", fields{
			"module":   p.text(&c.PKCS11.Module),
			"token":    p.text(&c.PKCS11.Token),
			"pin_file": p.text(&c.PKCS11.PINFile),
			"program":  p.text(&c.PKCS11.Program),
		}),
		"tpm": device("tpm", fields{
			"device":              parsed(p.reader, &c.TPM.Device, notEmpty),
			"index":               parsed(p.reader, &c.TPM.Index, nvIndex),
			"password_file":       p.text(&c.TPM.PasswordFile),
			"owner_password_file": p.text(&c.TPM.OwnerPasswordFile),
		}),
		"vault": device("vault", fields{
			"address":    p.text(&c.Vault.Address),
			"mount":      parsed(p.reader, &c.Vault.Mount, checked(vaultcell.CheckMount)),
			"token_file": p.text(&c.Vault.TokenFile),
			"ca":         p.text(&c.Vault.CAFile),
			"namespace":  p.text(&c.Vault.Namespace),
		}),
	}
	if !replica {
		fs["replicas"] = func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				r := defaultRoot()
				p.root(n, path, &r, true)
				p.config.Root.Replicas = append(p.config.Root.Replicas, r)
			})
		}
	}
	p.mapping(n, path, fs)
	p.checkRoot(n, path, *c, of)
	if replica && c.Path == "" && c.Driver != "tpm" {
		p.errorf(n, path+".path", "is missing: where this replica's files are, on another disk than the first's")
	}
}

// checkRoot finds what the driver needs and hasn't.
func (p *parser) checkRoot(n *yaml.Node, path string, c RootConfig, of map[string]*yaml.Node) {
	at := func(driver string) *yaml.Node {
		if of[driver] != nil {
			return of[driver]
		}
		return n
	}
	need := func(driver, key, value, what string) {
		if value == "" {
			p.errorf(at(driver), path+"."+driver+"."+key, "is missing: %s", what)
		}
	}
	switch c.Driver {
	case "pkcs11":
		need("pkcs11", "module", c.PKCS11.Module, "the token's library, for instance /usr/lib/softhsm/libsofthsm2.so")
		need("pkcs11", "token", c.PKCS11.Token, "the token's label")
		need("pkcs11", "pin_file", c.PKCS11.PINFile, "a file that holds the token's user PIN, and that only the gate may read")
		p.secretFile(at("pkcs11"), path+".pkcs11.pin_file", c.PKCS11.PINFile)
	case "tpm":
		need("tpm", "password_file", c.TPM.PasswordFile, "a file that holds 16 to 32 random characters, and that only the gate may read")
		p.secretFile(at("tpm"), path+".tpm.password_file", c.TPM.PasswordFile)
		p.secretFile(at("tpm"), path+".tpm.owner_password_file", c.TPM.OwnerPasswordFile)
	case "vault":
		need("vault", "token_file", c.Vault.TokenFile, "a file that holds the gate's token, and that only the gate may read")
		p.secretFile(at("vault"), path+".vault.token_file", c.Vault.TokenFile)
		if err := vaultcell.CheckAddress(c.Vault.Address); err != nil {
			p.errorf(at("vault"), path+".vault.address", "%q: %v", c.Vault.Address, err)
		}
	}
}

// secretFile warns of a file that isn't there, or isn't secret. Neither is an
// error: the gate must carry calls all the same.
func (p *parser) secretFile(n *yaml.Node, path, file string) {
	p.secret(n, path, file, "nothing is recorded until it is there")
}

// secret is secretFile, where something else doesn't work without the file.
func (p *parser) secret(n *yaml.Node, path, file, without string) {
	if file == "" {
		return
	}
	info, err := os.Stat(file)
	if err != nil {
		p.warnf(n, path, "%v: %s", err, without)
	} else if mode := info.Mode().Perm(); mode&0o007 != 0 {
		p.warnf(n, path, "others may read or write %s (mode %04o): chmod o= %[1]s", file, mode)
	}
}

// checked makes a parser of a check.
func checked(check func(string) error) func(string) (string, error) {
	return func(v string) (string, error) { return v, check(v) }
}

func nvIndex(v string) (uint32, error) {
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil || n < tpmcell.FirstIndex || n > tpmcell.LastIndex {
		return 0, fmt.Errorf("the first of %d NV indices: %#x to %#x", tpmcell.Slots, tpmcell.FirstIndex, tpmcell.LastIndex)
	}
	return uint32(n), nil
}

// openRoot opens what holds the root key, and its replicas. It asks no device:
// one that is away is an error of what is asked of it later.
func openRoot(c *Config) (*rootcell.Group, error) {
	cells, err := openCells(c)
	if err != nil {
		return nil, err
	}
	g, err := rootcell.NewGroup(cells[0], cells[1:]...)
	if err != nil {
		return nil, errors.Join(err, closeCells(cells))
	}
	return g, nil
}

// withRoot has f read with the root cell; nil where there is no root key at all:
// whoever checks a copy of a data directory needs none.
func withRoot(ctx context.Context, c *Config, f func(context.Context, rootcell.Cell) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	g, err := openRoot(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	has, err := g.Epochs(ctx)
	if err == nil && len(has) == 0 || c.Root.Driver == "file" && errors.Is(err, os.ErrNotExist) {
		return f(ctx, nil)
	}
	return f(ctx, g) // which says what is wrong with it
}

func openCells(c *Config) (cells []rootcell.Cell, err error) {
	base := c.RootKey
	if base == "" {
		base = store.DefaultRootFile(c.DataDir)
	}
	for i, r := range append([]RootConfig{c.Root}, c.Root.Replicas...) {
		cell, err := openCell(r, base)
		if err != nil {
			what := "the root key's cell"
			if i > 0 {
				what = fmt.Sprintf("root.replicas[%d]", i-1)
			}
			return nil, errors.Join(fmt.Errorf("opening %s: %w", what, err), closeCells(cells))
		}
		cells = append(cells, cell)
	}
	return cells, nil
}

// closeCells closes in reverse.
func closeCells(cells []rootcell.Cell) (err error) {
	for _, c := range slices.Backward(cells) {
		err = errors.Join(err, c.Close())
	}
	return err
}

// openCell opens one. Files that only a device can decrypt don't lie where the
// file driver looks for its own.
func openCell(r RootConfig, base string) (rootcell.Cell, error) {
	path, wrapped := r.Path, r.Path
	if r.Path == "" {
		path, wrapped = base, base+".wrapped"
	}
	switch r.Driver {
	case "pkcs11":
		r.PKCS11.Path, r.PKCS11.Name = wrapped, r.Name
		return orNil(pkcs11cell.Open(r.PKCS11))
	case "tpm":
		return orNil(tpmcell.Open(r.TPM))
	case "vault":
		r.Vault.Path, r.Vault.Name = wrapped, r.Name
		return orNil(vaultcell.Open(r.Vault))
	}
	return rootcell.NewFile(path), nil
}

// orNil keeps a nil pointer from becoming a cell.
func orNil[T rootcell.Cell](cell T, err error) (rootcell.Cell, error) {
	if err != nil {
		return nil, err
	}
	return cell, nil
}
