package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/store/archive/s3"
)

func defaultArchive() s3.Config { return s3.Config{Region: "us-east-1", PathStyle: true} }

// archive reads where sealed recordings are copied to: without an endpoint nowhere.
func (p *parser) archive(n *yaml.Node, path string) {
	c := &p.config.Archive
	p.mapping(n, path, fields{
		"endpoint":        parsed(p.reader, &c.Endpoint, orEmpty(s3.CheckEndpoint)),
		"bucket":          parsed(p.reader, &c.Bucket, orEmpty(s3.CheckBucket)),
		"region":          parsed(p.reader, &c.Region, notEmpty),
		"prefix":          parsed(p.reader, &c.Prefix, orEmpty(s3.CheckPrefix)),
		"path_style":      parsed(p.reader, &c.PathStyle, parseBool),
		"access_key_file": p.text(&c.AccessKeyFile),
		"secret_key_file": p.text(&c.SecretKeyFile),
		"ca":              p.text(&c.CAFile),
	})
	if c.Endpoint == "" {
		if c.Bucket+c.Prefix+c.AccessKeyFile+c.SecretKeyFile+c.CAFile != "" {
			p.errorf(n, path+".endpoint", "is missing: the object store's URL, for instance https://s3.eu-central-1.amazonaws.com")
		}
		return
	}
	if c.Bucket == "" {
		p.errorf(n, path+".bucket", "is missing: the bucket that recordings are copied to, and that the gate doesn't make")
	}
	for key, file := range map[string]string{"access_key_file": c.AccessKeyFile, "secret_key_file": c.SecretKeyFile} {
		if file == "" {
			p.errorf(n, path+"."+key, "is missing: a file that holds the key alone, and that only the gate may read")
		}
		p.secret(n, path+"."+key, file, "nothing is archived until it is there")
	}
	if _, err := os.Stat(c.CAFile); c.CAFile != "" && err != nil {
		p.warnf(n, path+".ca", "%v: nothing is archived before the gate is started with it", err)
	}
}

// orEmpty makes a parser of a check that an empty text passes.
func orEmpty(check func(string) error) func(string) (string, error) {
	return checked(func(v string) error {
		if v == "" {
			return nil
		}
		return check(v)
	})
}

// openArchive opens the place of the archive; nil: there is none. It asks nobody.
func (c *Config) openArchive() (*s3.Place, error) {
	if c.Archive.Endpoint == "" {
		return nil, nil
	}
	return s3.Open(c.Archive)
}

// probing bounds what 'check' waits for the archive.
const probing = 20 * time.Second

// tryArchive says what would keep the bucket from being an archive. None of it
// keeps the gate from serving.
func (c *Config) tryArchive(ctx context.Context, file string, out, errs io.Writer) {
	place, err := c.openArchive()
	if err == nil && place == nil {
		return
	}
	warn := func(what any) { fmt.Fprintln(errs, Problem{file, 1, true, fmt.Sprintf("archive: %v", what)}) }
	if err != nil {
		warn(err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probing)
	defer cancel()
	found := place.Probe(ctx, c.longestRetention())
	for _, f := range found {
		warn(f)
	}
	if len(found) == 0 {
		fmt.Fprintf(out, "the archive %s answers, and says which versions it has\n", place.Name())
	}
	if err := place.Close(); err != nil {
		warn(err)
	}
}

func (c *Config) longestRetention() (longest time.Duration) {
	for _, p := range c.Purposes {
		longest = max(longest, p.Retention)
	}
	return longest
}

// closeArchive comes after the store's end.
func closeArchive(place *s3.Place, err error) error {
	if place == nil {
		return err
	}
	return errors.Join(err, place.Close())
}
