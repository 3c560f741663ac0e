package store

import (
	"fmt"
	"slices"
	"sort"

	"consentgate/consent"
)

// erasures tells missing payloads that may be missing from those that may not.
// It needs leaves alone: those of one grant bear its mark, and the entry that
// says that they were erased bears it, too. Entries from before there were marks
// (version 1 of the data directory) may be missing where an erasure lists them.
type erasures struct {
	scopes map[scope]*scopeState
	bare   []int64        // entries without a mark whose payload is missing
	told   map[int64]bool // those without a mark that erasures list
	marked int64          // the first entry that bears a mark; -1: none so far
	lost   int64          // payloads missing
	before int64          // the last payloads.erased stops there; 0: there is none
	by     int64          // that entry
	first  int64          // the first without a grant's mark whose payload is there, from marked on; -1: none
}

// scopeState is what the log has of one grant.
type scopeState struct {
	entries []int64 // that go with it; ^seq where the payload is missing
	due     []int64 // those of them that the last erasure has to list
	erased  int64   // the last erasure's entry; -1: none
	gone    int     // payloads that can't be read any more
	name    string  // of its recording, as recording.started has it
}

func newErasures() erasures {
	return erasures{scopes: map[scope]*scopeState{}, told: map[int64]bool{}, marked: -1, first: -1}
}

// note takes an entry into account.
func (e *erasures) note(l leaf, state payloadState) {
	missing := state == payloadMissing
	if missing {
		e.lost++
	}
	if e.marked < 0 && l.Scope != (scope{}) && l.Type != TypePayloadsErased {
		e.marked = l.Seq
	}
	if !ofAGrant(l) || l.Type == TypeErased { // what is said of an erasure doesn't go with its grant
		switch {
		case missing:
			e.bare = append(e.bare, l.Seq)
		case e.first < 0 && e.marked >= 0:
			e.first = l.Seq
		}
	}
	if !ofAGrant(l) {
		return
	}
	s := e.scopes[l.Scope]
	if s == nil {
		s = &scopeState{erased: -1}
		e.scopes[l.Scope] = s
	}
	if l.Type == TypeErased {
		s.due = s.entries[after(s.entries, s.erased):]
		s.erased = l.Seq
		return
	}
	if missing || state == payloadDying {
		s.gone++
	}
	if missing {
		s.entries = append(s.entries, ^l.Seq)
	} else {
		s.entries = append(s.entries, l.Seq)
	}
}

// ofAGrant reports whether a leaf bears a grant's mark.
func ofAGrant(l leaf) bool {
	return l.Scope != (scope{}) && l.Scope != marksKept && l.Type != TypePayloadsErased
}

// checkBefore takes a payloads.erased: each goes further than the one before.
func (c *checker) checkBefore(l leaf) {
	before, ok := l.before()
	if !ok || before <= c.before {
		c.bad(l.Seq, "it doesn't say up to where payloads were erased")
		return
	}
	c.before, c.by = before, l.Seq
}

// after is where the entries begin that come after seq.
func after(entries []int64, seq int64) int {
	return sort.Search(len(entries), func(i int) bool { return max(entries[i], ^entries[i]) > seq })
}

// misses reports whether something that the log had of a grant is gone, rightly
// or not.
func (e *erasures) misses(g consent.Hash) bool {
	s := e.scopes[scopeOf(g)]
	return s != nil && s.gone > 0
}

// checkScope compares a payload with the mark on its leaf: with a wrong one it
// could be made to go with another grant.
func (c *checker) checkScope(l leaf, grant *consent.Hash, recording string, listed []int64) {
	if !ofAGrant(l) {
		return
	}
	s := c.scopes[l.Scope]
	if l.Type == TypeStarted && recording != "" {
		s.name = recording
	}
	if grant == nil && (recording == "" || recording != s.name) || grant != nil && scopeOf(*grant) != l.Scope {
		c.bad(l.Seq, "the entry bears the mark of a grant that it isn't of")
		return
	}
	if l.Type != TypeErased {
		return
	}
	rest := make([]int64, 0, len(listed))
	for _, seq := range listed {
		if seq < c.marked {
			c.told[seq] = true
		} else {
			rest = append(rest, seq)
		}
	}
	due := make([]int64, 0, len(rest))
	for _, seq := range s.due {
		due = append(due, max(seq, ^seq))
	}
	if !slices.Equal(due, rest) {
		c.bad(l.Seq, "the erasure doesn't list the entries of its grant, or lists others")
	}
}

// settle looks at every payload that is missing, or should be. Where none at all
// was given, as in an export without the root key, nothing can be missed.
func (c *checker) settle() {
	if c.report.Opened == 0 && c.report.Sealed == 0 {
		c.report.Sealed = c.lost
		return
	}
	for _, seq := range c.bare {
		switch {
		case c.told[seq], seq < c.before:
			c.report.Erased++
		case seq < c.marked && c.report.Opened == 0: // no erasure can be read that would list it
			c.report.Sealed++
		default:
			c.bad(seq, "the payload is missing, and no erasure of it is logged")
		}
	}
	if c.first >= 0 && c.first < c.before {
		c.bad(c.first, fmt.Sprintf("the payload is still there, and entry %d says that it was erased", c.by))
	}
	for _, s := range c.scopes {
		for _, seq := range s.entries {
			switch {
			case seq >= 0 && seq < s.erased:
				c.bad(seq, fmt.Sprintf("the payload is still there, and entry %d says that it was erased", s.erased))
			case seq < 0 && ^seq > s.erased:
				c.bad(^seq, "the payload is missing, and no erasure of it is logged")
			case seq < 0:
				c.report.Erased++
			}
		}
	}
}
