package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/store/checkpoint"
	"consentgate/store/witness"
)

// AuditConfig says where the log's checkpoints are kept, beside the log.
type AuditConfig struct {
	Witnesses []witness.Config
	Every     time.Duration
	Retention time.Duration // of payloads that go with no recording; 0: for good
}

// leastAudit is the least retention of the log: what is younger is what shows that
// nobody is recorded without a yes.
const leastAudit = 30 * 24 * time.Hour

func (p *parser) audit(n *yaml.Node, path string) {
	a := &p.config.Audit
	p.mapping(n, path, fields{
		"every":     parsed(p.reader, &a.Every, between(time.Second, 24*time.Hour, parseDuration)),
		"retention": parsed(p.reader, &a.Retention, auditRetention),
		"witness": func(n *yaml.Node, path string) {
			names := map[string]bool{}
			p.each(n, path, func(n *yaml.Node, path string) {
				w := p.witness(n, path)
				if names[w.Name()] {
					p.errorf(n, path, "%s is there twice", w.Name())
				}
				names[w.Name()] = true
				a.Witnesses = append(a.Witnesses, w)
			})
		},
	})
}

func auditRetention(v string) (time.Duration, error) {
	d, err := parseDuration(v)
	if err != nil || d == 0 {
		return d, err
	}
	if d < leastAudit || d > 36500*24*time.Hour {
		return 0, errors.New("30d to 36500d, or 0s: for good")
	}
	return d, nil
}

func (p *parser) witness(n *yaml.Node, path string) (w witness.Config) {
	p.mapping(n, path, fields{
		"file":       parsed(p.reader, &w.File, notEmpty),
		"url":        parsed(p.reader, &w.URL, witnessURL),
		"vkey":       parsed(p.reader, &w.VKey, witnessKey),
		"token_file": parsed(p.reader, &w.TokenFile, readable),
	})
	switch {
	case (w.File == "") == (w.URL == ""):
		p.errorf(n, path, "one of file and url is needed")
	case w.File != "" && (w.VKey != "" || w.TokenFile != ""):
		p.errorf(n, path, "vkey and token_file belong to a url")
	}
	return w
}

// insideData warns of witnesses that whoever puts the data directory back puts
// back, too. It is known only when all is read.
func (p *parser) insideData(root *yaml.Node) {
	dir, err := filepath.Abs(p.config.DataDir)
	if err != nil {
		return
	}
	for _, w := range p.config.Audit.Witnesses {
		file, err := filepath.Abs(w.File)
		if in, relErr := filepath.Rel(dir, file); w.File != "" && err == nil && relErr == nil && filepath.IsLocal(in) {
			p.warnf(root, "audit.witness", "%s lies in data_dir: who puts that back to an older state puts the witness back, too", w.File)
		}
	}
}

// witnessURL allows what nobody on the way can change: a witness's "no" must
// come from the witness, and the token is a secret.
func witnessURL(v string) (string, error) {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("https://HOST[:PORT][/PATH]; a secret goes into token_file")
	}
	if a, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && a.IsLoopback()) {
		return v, nil
	}
	if u.Scheme != "https" {
		return "", errors.New("https:// is required, but on a loopback address")
	}
	return v, nil
}

func witnessKey(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	_, err := checkpoint.NewCosigner(v)
	return v, err
}

func readable(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	if _, err := os.ReadFile(v); err != nil {
		return "", fmt.Errorf("the token can't be read: %s", strings.TrimPrefix(err.Error(), "open "))
	}
	return v, nil
}
