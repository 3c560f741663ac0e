package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
	"consentgate/store/checkpoint"
)

// Report is what a verification found.
type Report struct {
	Origin      string
	Size        int64  // entries, by the log's own checkpoint
	Root        string // base64, by the log's own checkpoint
	Opened      int64  // payloads that were opened and agree with their commitment
	Sealed      int64  // payloads that couldn't be opened for want of the root key
	Erased      int64  // payloads that are gone, as a logged erasure says
	Before      int64  // up to where the log says that payloads went which go with no recording; 0: it doesn't
	Grants      int64  // consents to record, among the payloads opened
	Unaccounted int64  // those without an end yet: in a running gate, the calls being recorded
	Checked     string // the older checkpoints that were checked against; "" if none was given
	Cosigned    []Cosigned
	Clock       ClockReport
	BadSeq      int64  // the first bad entry; -1 if none
	Problem     string // what is wrong; "" if nothing
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return r.Problem == "" }

// payloadState is what became of an entry's payload.
type payloadState int

const (
	payloadOpened  payloadState = iota
	payloadSealed               // it is there; its key isn't
	payloadDying                // it is there, and its key is gone: the log has yet to hear of the erasure
	payloadMissing              // there is none
)

// checker verifies entries as they come, whatever they come from.
type checker struct {
	report Report
	tree   frontier
	now    Checkpoint
	vkey   string
	older  []Checkpoint           // by size; those that the tree has passed are taken off
	notes  [][]byte               // the same, signed, and the log's own
	open   map[consent.Hash]int64 // grants without an end, and their entries
	clock  clockChecker
	listed int // payloads sealed under grants' keys
	erasures
}

// newChecker begins with the log's own checkpoint. Each of kept is one that
// somebody kept: a signed note, or the lines of a witness's file.
func newChecker(signed []byte, vkey string, kept ...[]byte) (*checker, error) {
	c := &checker{vkey: vkey, report: Report{BadSeq: -1}, open: map[consent.Hash]int64{}, erasures: newErasures()}
	var err error
	if c.now, err = ParseCheckpoint(signed, vkey); err != nil {
		return nil, err
	}
	c.report.Origin, c.report.Size, c.report.Root = c.now.Origin, c.now.Size, c.now.Root.String()
	for _, k := range kept {
		if len(k) == 0 {
			continue
		}
		more, notes, err := checkpoint.ParseKept(k, vkey)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint given isn't one of this log: %w", err)
		}
		c.older, c.notes = append(c.older, more...), append(c.notes, notes...)
	}
	c.notes = append(c.notes, signed)
	c.sortOlder()
	return c, nil
}

func (c *checker) sortOlder() {
	slices.SortFunc(c.older, func(a, b Checkpoint) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), bytes.Compare(a.Root[:], b.Root[:]))
	})
	c.older = slices.Compact(c.older)
	if len(c.older) == 0 {
		return
	}
	last := c.older[len(c.older)-1]
	c.report.Checked = fmt.Sprintf("%d %s", last.Size, last.Root)
	if n := len(c.older); n > 1 {
		c.report.Checked += fmt.Sprintf(" and %d before", n-1)
	}
	if last.Size > c.now.Size {
		c.bad(c.now.Size, fmt.Sprintf("the checkpoint given has %d entries, the log only %d: entries were removed", last.Size, c.now.Size))
	}
	c.compare()
}

// bad notes a finding; the one of the first entry is reported.
func (c *checker) bad(seq int64, problem string) {
	if c.report.Problem == "" || seq < c.report.BadSeq {
		c.report.BadSeq, c.report.Problem = seq, problem
	}
}

// entry takes the next one: its leaf, and its salt and payload if they could be
// opened. wrong is why they couldn't although they are there, and the key. It
// returns the hashes that the entry completes in the tree.
func (c *checker) entry(text, salt, payload []byte, state payloadState, wrong string) []tlog.Hash {
	want := c.tree.size
	l, err := parseLeaf(text)
	switch {
	case err != nil:
		c.bad(want, "the leaf can't be read")
	case l.Seq != want:
		c.bad(want, fmt.Sprintf("entry %d stands where %d should", l.Seq, want))
	case wrong != "":
		c.bad(want, wrong)
	case state == payloadOpened && digest(salt, payload) != l.Commitment:
		c.bad(want, "the payload isn't the one that was logged")
	}
	switch state {
	case payloadOpened:
		c.report.Opened++
	case payloadSealed:
		c.report.Sealed++
	case payloadDying:
		c.report.Erased++
	}
	if err == nil && l.Seq == want {
		c.clock.entry(l)
		if l.Type == TypePayloadsErased {
			c.checkBefore(l)
		}
		c.note(l, state)
		if state == payloadOpened {
			c.account(l, payload)
		}
	}
	done := c.tree.add(text)
	c.compare()
	return done
}

// account keeps the balance of grants: each is opened once, and ends once.
func (c *checker) account(l leaf, payload []byte) {
	var e struct { // of a consent.Record or a recordingEvent
		Kind     consent.Kind  `json:"kind"`
		Grant    *consent.Hash `json:"grant"`
		Payloads []int64       `json:"payloads"`
		// Recording names the grant where Grant doesn't.
		Recording string `json:"recording"`
	}
	counts := l.Type == TypeConsent || l.Type == TypeSealed || l.Type == TypeFailed
	if !counts && !ofAGrant(l) {
		return
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		c.bad(l.Seq, "the payload can't be read")
		return
	}
	granted := l.Type == TypeConsent && e.Kind == consent.Granted
	if granted {
		hash := consent.Hash(digest(nil, payload))
		e.Grant = &hash
	}
	c.checkScope(l, e.Grant, e.Recording, e.Payloads)
	switch {
	case granted:
		c.report.Grants++
		c.open[*e.Grant] = l.Seq
	case !counts || e.Grant == nil || l.Type == TypeConsent && e.Kind != consent.Failed:
	case l.Type != TypeConsent && !c.isOpen(*e.Grant) && !c.misses(*e.Grant):
		c.bad(l.Seq, "a recording ends whose consent isn't in the log, or ended before")
	default:
		delete(c.open, *e.Grant)
	}
}

func (c *checker) isOpen(g consent.Hash) bool {
	_, ok := c.open[g]
	return ok
}

// compare checks the tree where an older checkpoint speaks of it.
func (c *checker) compare() {
	for ; len(c.older) > 0 && c.older[0].Size <= c.tree.size; c.older = c.older[1:] {
		if c.tree.root() != c.older[0].Root {
			c.bad(max(c.tree.size-1, 0), "the log's beginning isn't the one of the checkpoint given: an entry up to here was changed, removed or moved")
		}
	}
}

func (c *checker) end() Report {
	if c.tree.size != c.now.Size {
		c.bad(c.tree.size, fmt.Sprintf("%d entries are there, the checkpoint says %d", c.tree.size, c.now.Size))
	} else if c.tree.root() != c.now.Root {
		c.bad(max(c.now.Size-1, 0), "the entries don't hash to the signed root: one of them was changed or moved")
	}
	c.settle()
	c.report.Clock, c.report.Before = c.clock.end(), c.before
	c.report.Unaccounted = int64(len(c.open))
	return c.report
}
