package pack

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// entry is a line of an export.
type entry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Type    string    `json:"type"`
	Leaf    string    `json:"leaf"`
	Payload []byte    `json:"payload"`
}

// payload is what of payloads is looked at.
type payload struct {
	By, As, Recording, Grant, Form, Why, To, Reason, Case, Request, Rule, Config, After, Witness, Seen string

	Until   float64
	Seconds float64
	From    any
	Entry   *int64
	Count   int
	Failed  map[string]int
	Erased  any // of an erasure.shredded: a list

	Kind    string // of a consent
	At      time.Time
	Call    struct{ Remote, Local, Connected, Direction string }
	Purpose struct{ Name string }
}

// Collector reads exports. The whole log has to be given to it twice: who was
// affected is known only when the first reading is over.
type Collector struct {
	o        Options
	pack     Pack
	touched  map[string]*affected
	users    map[string]*User
	alarm    time.Time // of the first
	erased   map[string]bool
	shredded map[string]bool
}

// Collect begins.
func Collect(o Options) *Collector {
	return &Collector{o: o, touched: map[string]*affected{}, users: map[string]*User{}, erased: map[string]bool{}, shredded: map[string]bool{},
		pack: Pack{Format: Format, Made: o.Made.UTC().Truncate(time.Second), Node: o.Node, Controller: o.Controller, From: o.From.UTC(), To: o.To.UTC(), User: o.User,
			Data: Data{Exports: map[string]int{}}, Users: []User{}, Alarms: []Event{}, Timeline: []Event{}, Measures: o.Measures["en"], measures: o.Measures}}
}

// First reads the log for what happened.
func (c *Collector) First(r io.Reader) error {
	return read(r, func(h header) error {
		c.pack.Log.Checkpoint, c.pack.Log.VKey = h.Checkpoint, h.VKey
		return nil
	}, c.happened)
}

// Second reads the log for whom it happened to.
func (c *Collector) Second(r io.Reader) error {
	return read(r, func(header) error { return nil }, c.whose)
}

// header is an export's first line.
type header struct {
	Format     string `json:"format"`
	VKey       string `json:"vkey"`
	Checkpoint string `json:"checkpoint"`
}

// longest line of an export, in bytes.
const longest = 1 << 20

func read(r io.Reader, begin func(header) error, each func(entry, payload)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), longest)
	if !lines.Scan() {
		return errors.Join(errors.New("the export is empty"), lines.Err())
	}
	var h header
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Format != "consentgate-audit-export-1" {
		return errors.New("line 1 isn't the header of an export")
	}
	if err := begin(h); err != nil {
		return err
	}
	for n := 2; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("line %d isn't an entry: %w", n, err)
		}
		var p payload
		_ = json.Unmarshal(e.Payload, &p) // a field of another type has another meaning, and is passed over; the rest is read
		each(e, p)
	}
	return lines.Err()
}

// key is which recording an entry is of: the mark on its leaf, which stays when
// what the entry said is erased; what it says where a first version's leaves have
// none; "": no recording's.
func (e entry) key(p payload) string {
	if f := strings.Fields(e.Leaf); len(f) == 6 && e.Seq > 0 {
		return f[5]
	}
	return cmp.Or(p.Grant, p.Recording)
}

// business are the types of what goes on all day: they are no part of a timeline.
var business = map[string]bool{"consent": true, "recording.started": true, "recording.anchor": true, "recording.sealed": true, "recording.failed": true}

// system are those that are nobody's act, and in each timeline.
var system = map[string]bool{"node.start": true, "node.stop": true, "config.changed": true, "clock.jumped": true, "witness.conflict": true, "unwrap.failed": true,
	"alarm.raised": true, "disk.low": true, "disk.ok": true}

func (c *Collector) happened(e entry, p payload) {
	c.erasures(e, p)
	if e.At.Before(c.o.From) || !e.At.Before(c.o.To) || business[e.Type] {
		return
	}
	who := cmp.Or(p.By, p.As)
	if c.o.User != "" && who != c.o.User && !system[e.Type] && e.Payload != nil {
		return // one whose payload is gone may be the user's: an erasure mustn't hide it
	}
	ev := Event{Entry: e.Seq, At: e.At.UTC(), Type: e.Type, By: who, Recording: p.Recording, Detail: detail(e, p), Erased: e.Payload == nil}
	if e.Type == "alarm.raised" {
		c.pack.Alarms = append(c.pack.Alarms, ev)
		if c.alarm.IsZero() {
			c.alarm = e.At
		}
	}
	c.pack.Timeline = append(c.pack.Timeline, ev)
	c.act(e, p, who)
}

// act counts what was done to whose data.
func (c *Collector) act(e entry, p payload, who string) {
	user := c.users[who]
	if user == nil && who != "" && !system[e.Type] {
		user = &User{Name: who}
		c.users[who] = user
	}
	if user == nil {
		user = &User{} // nobody knows whose: what it said is erased
	}
	if e.Payload == nil && (e.Type == "recording.played" || e.Type == "recording.exported") {
		c.pack.Data.Unattributed++
	}
	switch e.Type {
	case "user.login":
		user.Logins++
	case "user.failed":
		user.FailedLogins++
	case "recording.played":
		user.Plays++
		c.pack.Data.Plays++
		a := c.of(e, p, who)
		a.plays++
		from, _ := p.From.(float64)
		if p.Until > from {
			a.parts += p.Until - from
		} else if e.Payload != nil {
			a.wholes++
		}
	case "recording.exported":
		user.Exports++
		c.pack.Data.Exports[cmp.Or(p.Form, "other")]++
		c.of(e, p, who).exports++
	case "recording.found":
		c.pack.Data.Found++
		c.of(e, p, who)
	}
}

func (c *Collector) of(e entry, p payload, who string) *affected {
	key := e.key(p)
	a := c.touched[key]
	if a == nil {
		a = &affected{key: key, by: map[string]bool{}}
		c.touched[key] = a
	}
	a.recording = cmp.Or(a.recording, p.Recording)
	if who != "" {
		a.by[who] = true
	}
	return a
}

// erasures follows how far they are, over the whole log.
func (c *Collector) erasures(e entry, p payload) {
	switch e.Type {
	case "recording.erased":
		c.erased[e.key(p)] = true
	case "erasure.shredded":
		list, _ := p.Erased.([]any)
		for _, commitment := range list {
			if text, ok := commitment.(string); ok {
				c.shredded[text] = true
			}
		}
	}
}

// detail is what of an entry a person wants to see in one line.
func detail(e entry, p payload) string {
	var parts []string
	for _, f := range []struct{ name, value string }{{"rule", p.Rule}, {"form", p.Form}, {"for", p.Why}, {"to", p.To}, {"case", p.Case}, {"request", p.Request},
		{"config", p.Config}, {"config", p.After}, {"witness", p.Witness}, {"seen", p.Seen}, {"reason", p.Reason}} {
		if f.value != "" {
			parts = append(parts, f.name+" "+f.value)
		}
	}
	switch from, seconds := p.From.(float64); {
	case p.Until > 0:
		parts = append(parts, fmt.Sprintf("seconds %.0f to %.0f", from, p.Until))
	case e.Type == "user.failed" && !seconds && p.From != nil:
		parts = append(parts, fmt.Sprintf("from %v", p.From))
	}
	if e.Type == "alarm.raised" && p.Entry != nil {
		parts = append(parts, fmt.Sprintf("entry %d, count %d", *p.Entry, p.Count))
	}
	if e.Type == "clock.jumped" {
		parts = append(parts, fmt.Sprintf("by %.0f s", p.Seconds))
	}
	for _, what := range slices.Sorted(maps.Keys(p.Failed)) {
		parts = append(parts, fmt.Sprintf("%d of kind %s", p.Failed[what], what))
	}
	return strings.Join(parts, ", ")
}

// whose takes from the second reading who was in a recording, and how long it is.
func (c *Collector) whose(e entry, p payload) {
	if e.Type != "consent" && e.Type != "recording.sealed" && e.Type != "recording.started" {
		return
	}
	a := c.touched[e.key(p)]
	if a == nil {
		return
	}
	a.recording = cmp.Or(a.recording, p.Recording)
	switch {
	case e.Type == "recording.sealed":
		a.seconds = p.Seconds
	case p.Kind == "granted":
		a.known, a.remote, a.local, a.purpose, a.started = true, p.Call.Remote, p.Call.Local, p.Purpose.Name, p.At.UTC()
		if p.Call.Direction == "outbound" && p.Call.Connected != "" { // it is their voice, not that of who was called
			a.remote = p.Call.Connected
		}
	}
}

// Pack sums up. verified is what a verification of the same log found.
func (c *Collector) Pack(verified Log) Pack {
	p := &c.pack
	verified.Checkpoint, verified.VKey = p.Log.Checkpoint, p.Log.VKey
	p.Log = verified
	p.Clock = c.o.clock(c.alarm)
	p.Erasure = Erasure{Erased: len(c.erased), Final: len(c.shredded)}
	p.Data.Recordings = len(c.touched)
	remote, local := map[string]bool{}, map[string]bool{}
	for _, a := range c.touched {
		p.affected = append(p.affected, a)
		p.Data.Seconds += a.parts + float64(a.wholes)*a.seconds
		if c.erased[a.key] {
			p.Data.Erased++
		}
		if a.remote == "" {
			p.Subjects.Unknown++
		} else {
			remote[a.remote] = true
		}
		if a.local != "" {
			local[a.local] = true
		}
	}
	p.Subjects.Remote, p.Subjects.Local = len(remote), len(local)
	slices.SortFunc(p.affected, func(a, b *affected) int { return cmp.Or(a.started.Compare(b.started), cmp.Compare(a.key, b.key)) })
	for _, name := range slices.Sorted(maps.Keys(c.users)) {
		p.Users = append(p.Users, *c.users[name])
	}
	return *p
}
