package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os/exec"
	"path/filepath"
)

//go:embed c/*.c
var sources embed.FS

// programs are the paths of what is run.
type programs struct {
	dir                          string // for whatever they write
	generator, floor, gate, rtpe string
	before                       []string // with which they are started
	pin                          string   // processors of the relay; "": all
}

// build makes the generator and the floor with gcc, and the gate as 'make build'
// does.
func build(ctx context.Context, dir string, before []string) (programs, error) {
	p := programs{dir: dir, generator: filepath.Join(dir, "rtpload"), floor: filepath.Join(dir, "relay"),
		gate: filepath.Join(dir, "consentgate"), rtpe: "rtpengine", before: before}
	if err := compile(ctx, "c/rtpload.c", p.generator); err != nil {
		return p, err
	}
	if err := compile(ctx, "c/relay.c", p.floor); err != nil {
		return p, err
	}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", p.gate, "consentgate/cmd/consentgate")
	c.Env = append(c.Environ(), "CGO_ENABLED=0")
	if said, err := c.CombinedOutput(); err != nil {
		return p, fmt.Errorf("building the gate: %w: %s", err, said)
	}
	return p, nil
}

func compile(ctx context.Context, source, to string) error {
	text, err := sources.ReadFile(source)
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-x", "c", "-o", to, "-")
	c.Stdin = bytes.NewReader(text)
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s: %w: %s", source, err, said)
	}
	return nil
}
