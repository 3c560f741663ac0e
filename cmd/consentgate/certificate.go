package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// errNotOf means that a certificate is of something else than it is shown for.
var errNotOf = errors.New("the certificate isn't of this grant")

// verifyCertificate checks a certificate of erasure offline, with the log's
// verifier key. grant, in hex, is what it must be of, or "".
func verifyCertificate(file, vkey, grant string, out, errs io.Writer) int {
	c, err := readCertificate(file, vkey, grant)
	if err != nil {
		return fail(errs, fmt.Errorf("the certificate %s: %w", file, err))
	}
	printCertificate(c, out)
	return exitOK
}

func readCertificate(file, vkey, grant string) (c store.Certificate, err error) {
	signed, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	if c, err = store.CheckCertificate(signed, vkey); err != nil || grant == "" {
		return c, err
	}
	var g consent.Hash
	if err := g.UnmarshalText([]byte(grant)); err != nil {
		return c, fmt.Errorf("the grant's hash, which is on the consent receipt: %w", err)
	}
	if !c.Of(g) {
		return c, errNotOf
	}
	return c, nil
}

func printCertificate(c store.Certificate, out io.Writer) {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	fmt.Fprintf(out, "log %s, entry %d\nerased %s\n", c.Log, c.Proof.Index, c.Erased.Commitment)
	fmt.Fprintf(out, "by %s: %s, requested %s, unreadable %s, final %s\n", c.Cause.Role, c.Cause.Kind, at(c.Requested), at(c.Logical), at(c.Shredded))
	fmt.Fprintf(out, "root key of epoch %d destroyed, %d in its place\n", c.Root.From, c.Root.To)
	for _, h := range c.Root.Holders {
		fmt.Fprintf(out, "  %s %s was asked again at %s: %s\n", h.Driver, h.Holder, at(h.Asked), h.Refusal)
	}
	for _, s := range c.NotCover {
		fmt.Fprintf(out, "doesn't cover: %s\n", s)
	}
	fmt.Fprintln(out, "ok")
}
