package trace

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxMessages of a call are kept: its first, which say how it was set up, and
	// its latest.
	maxMessages = 64
	// firstMessages are never given up for later ones.
	firstMessages = 16
	// maxBytes of text are kept in all.
	maxBytes = 16 << 20
	// maxAge of a call without messages.
	maxAge = 24 * time.Hour
)

// Kept is a redacted message.
type Kept struct {
	At            time.Time
	Sent          bool
	Trunk, Side   string
	Transport     string
	Local, Remote netip.AddrPort
	Text          []byte
}

// calls are the latest calls, by the pseudonyms of their Call-IDs. A call that
// goes through the gate twice is one.
type calls struct {
	mu    sync.Mutex // never held during I/O
	max   int
	bytes int
	order []*call // oldest first
	byKey map[string]*call
	byID  map[string]*call
}

type call struct {
	key  string
	ids  []string
	all  []Kept
	lost int
}

func newCalls(max int) *calls {
	return &calls{max: max, byKey: map[string]*call{}, byID: map[string]*call{}}
}

// add keeps a message of a call: an INVITE is the first of one. Others, such as
// registrations, would push calls out.
func (c *calls) add(key string, m Kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byKey[key]
	if k == nil {
		if c.max == 0 || len(m.Text) < 7 || string(m.Text[:7]) != "INVITE " {
			return
		}
		k = &call{key: key}
		c.byKey[key] = k
		c.order = append(c.order, k)
	}
	k.all = append(k.all, m)
	c.bytes += len(m.Text)
	if len(k.all) > maxMessages {
		c.bytes -= len(k.all[firstMessages].Text)
		k.all = slices.Delete(k.all, firstMessages, firstMessages+1)
		k.lost++
	}
	for len(c.order) > c.max || c.bytes > maxBytes && len(c.order) > 1 {
		c.drop(c.order[0])
	}
}

// name lets a call be found by that id.
func (c *calls) name(id, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byKey[key]
	if k == nil || len(k.ids) >= maxMessages {
		return
	}
	k.ids = append(k.ids, id)
	c.byID[id] = k
}

// forget drops calls whose latest message is from before then.
func (c *calls) forget(then time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Clone(c.order) {
		if k.all[len(k.all)-1].At.Before(then) {
			c.drop(k)
		}
	}
}

func (c *calls) drop(k *call) {
	for _, m := range k.all {
		c.bytes -= len(m.Text)
	}
	for _, id := range k.ids {
		delete(c.byID, id)
	}
	delete(c.byKey, k.key)
	c.order = slices.DeleteFunc(c.order, func(o *call) bool { return o == k })
}

// find finds a call by its id or key, or the latest to begin.
func (c *calls) find(which, key string) (messages []Kept, lost int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byID[which]
	switch {
	case k != nil:
	case which == "latest" && len(c.order) > 0:
		k = c.order[len(c.order)-1]
	default:
		k = c.byKey[key]
	}
	if k == nil {
		return nil, 0, false
	}
	messages = slices.Clone(k.all)
	slices.SortStableFunc(messages, func(a, b Kept) int { return a.At.Compare(b.At) })
	return messages, k.lost, true
}
