package store

import (
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
)

// Report is what a verification found.
type Report struct {
	Origin      string
	Size        int64  // entries, by the log's own checkpoint
	Root        string // base64, by the log's own checkpoint
	Opened      int64  // payloads that were opened and agree with their commitment
	Sealed      int64  // payloads that couldn't be opened for want of the root key
	Erased      int64  // payloads that are gone, by an erasure that is logged
	Grants      int64  // consents to record, among the payloads opened
	Unaccounted int64  // those without an end yet: in a running gate, the calls being recorded
	Checked     string // the older checkpoint that was checked against; "" if none was given
	BadSeq      int64  // the first bad entry; -1 if none
	Problem     string // what is wrong; "" if nothing
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return r.Problem == "" }

// checker verifies entries as they come, whatever they come from.
type checker struct {
	report Report
	tree   frontier
	now    Checkpoint
	older  *Checkpoint
	absent []int64                // the entries whose payloads weren't there to be opened
	erased map[int64]bool         // those that erasures speak of
	open   map[consent.Hash]int64 // grants without an end, and their entries
}

func newChecker(signed []byte, vkey string, older []byte) (*checker, error) {
	c := &checker{report: Report{BadSeq: -1}, open: map[consent.Hash]int64{}, erased: map[int64]bool{}}
	var err error
	if c.now, err = ParseCheckpoint(signed, vkey); err != nil {
		return nil, err
	}
	c.report.Origin, c.report.Size, c.report.Root = c.now.Origin, c.now.Size, c.now.Root.String()
	if len(older) > 0 {
		o, err := ParseCheckpoint(older, vkey)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint given isn't one of this log: %w", err)
		}
		c.older = &o
		c.report.Checked = fmt.Sprintf("%d %s", o.Size, o.Root)
		if o.Size > c.now.Size {
			c.bad(c.now.Size, fmt.Sprintf("the checkpoint given has %d entries, the log only %d: entries were removed", o.Size, c.now.Size))
		}
		c.compare()
	}
	return c, nil
}

func (c *checker) bad(seq int64, problem string) {
	if c.report.Problem == "" {
		c.report.BadSeq, c.report.Problem = seq, problem
	}
}

// entry takes the next one: its leaf, and its salt and payload if they could be
// opened. wrong is why they couldn't although the key is there. It returns the
// hashes that the entry completes in the tree.
func (c *checker) entry(text, salt, payload []byte, opened bool, wrong string) []tlog.Hash {
	want := c.tree.size
	l, err := parseLeaf(text)
	switch {
	case err != nil:
		c.bad(want, "the leaf can't be read")
	case l.Seq != want:
		c.bad(want, fmt.Sprintf("entry %d stands where %d should", l.Seq, want))
	case wrong != "":
		c.bad(want, wrong)
	case opened && digest(salt, payload) != l.Commitment:
		c.bad(want, "the payload isn't the one that was logged")
	}
	if opened {
		c.report.Opened++
		c.account(l, payload)
	} else {
		c.absent = append(c.absent, want)
	}
	done := c.tree.add(text)
	c.compare()
	return done
}

// account keeps the balance of grants: each is opened once, and ends once.
func (c *checker) account(l leaf, payload []byte) {
	var e struct { // of a consent.Record or a recordingEvent
		Kind  consent.Kind  `json:"kind"`
		Grant *consent.Hash `json:"grant"`
	}
	switch l.Type {
	case TypeErased:
		c.erasure(l.Seq, payload)
		return
	case TypeConsent, TypeSealed, TypeFailed:
	default:
		return
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		c.bad(l.Seq, "the payload can't be read")
		return
	}
	switch {
	case l.Type == TypeConsent && e.Kind == consent.Granted:
		c.report.Grants++
		c.open[consent.Hash(digest(nil, payload))] = l.Seq
	case e.Grant == nil || l.Type == TypeConsent && e.Kind != consent.Failed:
	case l.Type != TypeConsent && !c.isOpen(*e.Grant):
		c.bad(l.Seq, "a recording ends whose consent isn't in the log, or ended before")
	default:
		delete(c.open, *e.Grant)
	}
}

// erasure takes what an erasure says of the payloads before it.
func (c *checker) erasure(at int64, payload []byte) {
	var ev recordingEvent
	if err := json.Unmarshal(payload, &ev); err != nil {
		c.bad(at, "the payload can't be read")
		return
	}
	for _, seq := range ev.Payloads {
		if seq < at {
			c.erased[seq] = true
		}
	}
}

// erasing takes an entry whose grant is being erased: its key is gone, and the
// erasure will be logged.
func (c *checker) erasing(seq int64) { c.erased[seq] = true }

func (c *checker) isOpen(g consent.Hash) bool {
	_, ok := c.open[g]
	return ok
}

// compare checks the tree where an older checkpoint speaks of it.
func (c *checker) compare() {
	if c.older != nil && c.tree.size == c.older.Size && c.tree.root() != c.older.Root {
		c.bad(c.tree.size-1, "the log's beginning isn't the one of the checkpoint given: an entry up to here was changed, removed or moved")
	}
}

func (c *checker) end() Report {
	if c.tree.size != c.now.Size {
		c.bad(c.tree.size, fmt.Sprintf("%d entries are there, the checkpoint says %d", c.tree.size, c.now.Size))
	} else if c.tree.root() != c.now.Root {
		c.bad(max(c.now.Size-1, 0), "the entries don't hash to the signed root: one of them was changed or moved")
	}
	c.missing()
	c.report.Unaccounted = int64(len(c.open))
	return c.report
}

// missing tells which of the payloads that weren't there should be; it is called
// when all entries were taken.
func (c *checker) missing() {
	for _, seq := range c.absent {
		switch {
		case c.erased[seq]:
			c.report.Erased++
		case c.report.Opened > 0: // whoever could open some could open all
			c.bad(seq, "the payload is missing, and no erasure of it is logged")
			c.report.Sealed++
		default:
			c.report.Sealed++
		}
	}
	c.absent = nil
}
