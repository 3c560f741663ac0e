package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"consentgate/internal/durable"
)

// The root cell wraps all other keys. As a file it resists who copies the data
// directory or a backup of it, not who reads the machine's whole disk: keep it
// on another disk, and not in the same backup.

const rootMagic = "consentgate root 1 "

// loadRoot reads the root cell, or makes it where the data directory is new.
func loadRoot(path string, fresh bool) (key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if !fresh {
			return key{}, fmt.Errorf("the root key %s is missing, and the data directory was made with one: "+
				"put it back from its backup; without it no recording can be read", path)
		}
		return makeRoot(path)
	}
	if err != nil {
		return key{}, fmt.Errorf("reading the root key: %w", err)
	}
	raw, found := strings.CutPrefix(strings.TrimSpace(string(text)), strings.TrimSpace(rootMagic))
	b, err := hex.DecodeString(strings.TrimSpace(raw))
	if !found || err != nil || len(b) != len(key{}) {
		return key{}, fmt.Errorf("the root key %s isn't one: it must be a line %q and 64 hexadecimal digits", path, rootMagic)
	}
	return key(b), nil
}

func makeRoot(path string) (key, error) {
	k := newKey()
	if err := durable.WriteFile(path, []byte(rootMagic+hex.EncodeToString(k[:])+"\n"), 0o600); err != nil {
		return key{}, fmt.Errorf("making the root key: %w", err)
	}
	return k, nil
}
