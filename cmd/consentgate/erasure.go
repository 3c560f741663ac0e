package main

import (
	"errors"
	"time"

	"go.yaml.in/yaml/v3"
)

// erasure reads when erasures become final.
func (p *parser) erasure(n *yaml.Node, path string) {
	p.mapping(n, path, fields{
		"every":          p.rotations,
		"require_backup": parsed(p.reader, &p.config.Erasure.RequireBackup, parseBool),
	})
}

// rotations reads how often the root key is replaced; 0 is after each erasure.
func (p *parser) rotations(n *yaml.Node, path string) {
	r := &p.config.Erasure
	parsed(p.reader, &r.Every, rotationPeriod)(n, path)
	r.AtOnce = r.Every == 0
}

const longestPending = 7 * 24 * time.Hour

func rotationPeriod(v string) (time.Duration, error) {
	d, err := parseDuration(v)
	if err == nil && (d > longestPending || d > 0 && d < time.Minute) {
		err = errors.New("allowed: 1m to 7d, or 0s for at once")
	}
	return d, err
}
