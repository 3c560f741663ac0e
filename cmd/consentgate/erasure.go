package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// erasure reads when erasures become final.
func (p *parser) erasure(n *yaml.Node, path string) {
	p.mapping(n, path, fields{
		"every":          p.rotations,
		"require_backup": parsed(p.reader, &p.config.Erasure.RequireBackup, parseBool),
		"backups": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var name string
				parsed(p.reader, &name, holderName)(n, path)
				if slices.Contains(p.config.Erasure.Backups, name) {
					p.errorf(n, path, "%q is there twice", name)
				}
				p.config.Erasure.Backups = append(p.config.Erasure.Backups, name)
			})
		},
	})
	if len(p.config.Erasure.Backups) > 0 && !p.config.Erasure.RequireBackup {
		p.errorf(n, path+".backups", "nothing waits for them: require_backup: true is missing")
	}
}

// holderName is a name that a certificate may hold.
func holderName(v string) (string, error) {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if v == "" || len(v) > 40 || strings.Trim(v, allowed) != "" {
		return "", errors.New("a name of letters, digits, points, _ and -, at most 40")
	}
	return v, nil
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
