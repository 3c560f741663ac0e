package breach

import (
	"encoding/json"
	"slices"
	"time"
)

// Entry is an audit entry. Payload is nil where it can't be opened.
type Entry struct {
	Seq     int64
	At      time.Time
	Type    string
	Payload []byte
}

// Alarm is what a rule found.
type Alarm struct {
	Rule   Rule
	Entry  int64         // the entry that was one too many
	At     time.Time     // of that entry
	By     string        // the user whom it is about; "": it is about none, or nobody knows. Personal data
	Count  int           // of entries, or of failures
	Within time.Duration // of so long; 0: the entry alone
}

// Detector holds the rules to entries as they come. It isn't safe for concurrent
// use.
type Detector struct {
	Settings
	honey    map[string]bool
	exported map[string]bool // users who did
	counts   []map[string]*count
}

// count is what a rule counted for somebody.
type count struct {
	seen   []seen
	raised time.Time // zero: never
}

type seen struct {
	at time.Time
	n  int
}

// mostKeys bounds for how many names and addresses a rule counts: a flood from
// everywhere is for the rule that counts them together.
const mostKeys = 10_000

// mostSeen bounds how many acts are remembered of one of them.
const mostSeen = 1000

// NewDetector makes one that has seen nothing. Who goes on after a restart gives
// it the entries of before, too, and passes over what they raise.
func NewDetector(s Settings) *Detector {
	d := &Detector{Settings: s, honey: map[string]bool{}, exported: map[string]bool{}, counts: make([]map[string]*count, len(rules))}
	for i := range d.counts {
		d.counts[i] = map[string]*count{}
	}
	for _, id := range s.Honey {
		d.honey[id] = true
	}
	return d
}

// act is what rules know of an entry.
type act struct {
	at        time.Time
	by        string // a user
	as        string // the user that somebody said to be
	from      string // that somebody's address
	recording string
	rule      Rule // of an alarm of before
	n         int  // how much it counts
}

// readAct reads what of it is there: a payload that is gone names nobody.
func readAct(e Entry) act {
	var p struct {
		By, As, Recording string
		From              any // an address, or seconds of a recording
		Rule              Rule
		Failed            map[string]int
	}
	if json.Unmarshal(e.Payload, &p) != nil {
		return act{at: e.At, n: 1}
	}
	a := act{at: e.At, by: p.By, as: p.As, recording: p.Recording, rule: p.Rule, n: 1}
	a.from, _ = p.From.(string)
	if e.Type == typeUnwrap {
		a.n = 0
		for _, n := range p.Failed {
			a.n += n
		}
	}
	return a
}

// Take holds all rules to the next entry. Types says which it has to be given.
func (d *Detector) Take(e Entry) (raised []Alarm) {
	a := readAct(e)
	for i, r := range rules {
		if !slices.Contains(r.types, e.Type) || !r.when(d, a) {
			continue
		}
		var limit Limit // none: one is too many
		if r.limit != nil {
			if limit = r.limit(&d.Settings); limit.Within == 0 {
				continue
			}
		}
		for _, key := range r.whom(a) {
			if n := d.count(i, key, a, limit.Within); n > limit.Most && !d.quiet(i, key, a.at) {
				raised = append(raised, Alarm{Rule: r.name, Entry: e.Seq, At: e.At, By: a.by, Count: n, Within: limit.Within})
			}
		}
	}
	if e.Type == typeExported || e.Type == typeAlarm && a.rule == FirstExport { // the export itself may be erased since
		d.exported[a.by] = true
	}
	return raised
}

// count adds an act to those of somebody and gives how many there are within the
// time; an act of a clock that was set since isn't among them.
func (d *Detector) count(rule int, key string, a act, within time.Duration) (n int) {
	c := d.counts[rule][key]
	if c == nil {
		if len(d.counts[rule]) >= mostKeys {
			clear(d.counts[rule])
		}
		c = &count{}
		d.counts[rule][key] = c
	}
	c.seen = slices.DeleteFunc(c.seen, func(s seen) bool { return a.at.Sub(s.at).Abs() >= within })
	if len(c.seen) >= mostSeen {
		c.seen = slices.Delete(c.seen, 0, 1)
	}
	c.seen = append(c.seen, seen{a.at, a.n})
	for _, s := range c.seen {
		n += s.n
	}
	return n
}

// quiet tells whether the same was said of somebody just before, and notes that
// it is said now if not.
func (d *Detector) quiet(rule int, key string, now time.Time) bool {
	c := d.counts[rule][key]
	if key != each && !c.raised.IsZero() && now.Sub(c.raised).Abs() < d.Quiet {
		return true
	}
	c.raised = now
	return false
}
