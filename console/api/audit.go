package api

import (
	"context"
	"io"
	"net/http"
	"time"
)

func getAudit(c *call) error {
	all, more, err := c.office.AuditEntries(c.r.Context(), c.who, c.integer("after", -1), int(min(c.integer("limit", 100), 1<<20)), c.query.Get("type"))
	if err != nil {
		return err
	}
	out := struct {
		Entries []entry `json:"entries"`
		Next    *int64  `json:"next,omitempty"` // for after
	}{Entries: []entry{}}
	for _, e := range all {
		out.Entries = append(out.Entries, entry{e.Seq, e.At, e.Type, e.Leaf, e.Payload})
	}
	if more {
		out.Next = &all[len(all)-1].Seq
	}
	return c.json(http.StatusOK, out)
}

func getAuditExport(c *call) error {
	return c.stream(func(h http.Header) { attachment(h, "application/jsonl", "audit.jsonl") }, func(w io.Writer) error {
		return c.office.AuditExport(c.r.Context(), c.who, w)
	})
}

func getCheckpoint(c *call) error {
	b, err := c.office.Checkpoint()
	if err != nil {
		return err
	}
	return c.bytes(http.StatusOK, "text/plain; charset=utf-8", b)
}

func getKey(c *call) error {
	k, err := c.office.VerifierKey()
	if err != nil {
		return err
	}
	return c.bytes(http.StatusOK, "text/plain; charset=utf-8", []byte(k))
}

func getProof(c *call) error {
	p, err := c.office.ProveEntry(c.who, c.integer("entry", -1))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, p)
}

func postProof(c *call) error {
	var in struct {
		Checkpoint string `json:"checkpoint"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	p, err := c.office.ProveSince([]byte(in.Checkpoint))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, p)
}

// verifyTime bounds a verification.
const verifyTime = 10 * time.Minute

func postVerify(c *call) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), verifyTime)
	defer cancel()
	c.extend(verifyTime + c.write)
	start := c.now()
	r, err := c.office.VerifyLog(ctx)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, reportOf(r, c.now().Sub(start)))
}
