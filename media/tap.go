package media

import (
	"sync"
	"sync/atomic"
	"time"

	"consentgate/consent"
)

// tapQueue bounds the packets that may wait for a recorder: five seconds of
// both parties.
const tapQueue = 512

// causeDropped is of the gaps that a slow recorder makes.
const causeDropped = "writer-drop"

// Tap copies the packets of one relay to one recorder.
type Tap struct {
	relay   *Relay
	grant   consent.Grant
	granted time.Time // of the Granted record
	sink    Sink
	done    chan struct{} // closed when the recorder has been sealed

	shut atomic.Bool // for who must know it at once; at says so, too

	mu sync.Mutex // a few instructions and a copy; never held for I/O
	waiting
	held   int                  // items that the recorder hasn't got yet, but for gaps
	opened time.Time            // what came before isn't recorded
	at     time.Time            // when it was closed; zero: it is open
	reason string               // why
	paused map[string]time.Time // causes, since when
	drops  [2]time.Time         // by party: since when packets are dropped; zero: they aren't

	writer writer // of the pipeline's goroutine that has the tap
}

// waiting is what is on its way to the recorder, in the order in which it came.
type waiting struct {
	items []item
	bytes []byte // the packets', one after the other
}

// item is a packet, a gap, or word of a key.
type item struct {
	kind  itemKind
	party consent.Party
	at    time.Time

	size int    // of a packet, in bytes
	from *place // the description by which it came

	cause string // of a gap
	to    time.Time
}

type itemKind uint8

const (
	isPacket itemKind = iota
	isGap
	isKey // an event came: what sounds like a key is one, and what is missing is, too
)

func newTap(r *Relay, g consent.Grant, s Sink) *Tap {
	t := &Tap{relay: r, grant: g, granted: g.Record().At, sink: s, opened: time.Now(), paused: map[string]time.Time{},
		done: make(chan struct{})}
	t.writer.tap = t
	t.writer.tones[consent.Remote].missed() // a key may sound just now
	t.writer.tones[consent.Local].missed()
	r.engine.add(t)
	r.engine.pipeline.take(t)
	return t
}

// offer takes a copy of a packet, unless the tap is closed or paused. It decides
// and copies under one lock with Pause and Close: that makes them barriers. It
// never blocks.
func (t *Tap) offer(p consent.Party, from *place, data []byte, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() || len(t.paused) > 0 || at.Before(t.opened) || !t.grant.Valid() {
		return
	}
	if t.held >= tapQueue {
		t.relay.engine.cfg.Metrics.tapDropped.Inc()
		if t.drops[p].IsZero() {
			t.drops[p] = at
		}
		return
	}
	t.endDrops(p, at)
	t.items = append(t.items, item{party: p, at: at, size: len(data), from: from})
	t.bytes = append(t.bytes, data...)
	t.held++
}

// keyed says that a packet of a key's event has come from the party.
func (t *Tap) keyed(p consent.Party, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.IsZero() && len(t.paused) == 0 && t.held < tapQueue && !at.Before(t.opened) {
		t.items = append(t.items, item{kind: isKey, party: p, at: at})
		t.held++
	}
}

// endDrops notes the gap of packets dropped until at.
func (t *Tap) endDrops(p consent.Party, at time.Time) {
	if !t.drops[p].IsZero() {
		t.items = append(t.items, item{kind: isGap, party: p, cause: causeDropped, at: t.drops[p], to: at})
		t.drops[p] = time.Time{}
	}
}

// Pause stops recording for a cause. It is a barrier: when it returns, no packet
// that comes later is recorded, until every cause has been resumed.
func (t *Tap) Pause(cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.paused[cause]; ok || !t.at.IsZero() {
		return
	}
	now := time.Now()
	t.paused[cause] = now
	t.endDrops(consent.Remote, now)
	t.endDrops(consent.Local, now)
}

// Resume takes a cause away. A packet received before isn't recorded.
func (t *Tap) Resume(cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, ok := t.paused[cause]
	if !ok || !t.at.IsZero() {
		return
	}
	delete(t.paused, cause)
	t.opened = time.Now()
	t.endPause(cause, since, t.opened)
}

func (t *Tap) endPause(cause string, from, to time.Time) {
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		t.items = append(t.items, item{kind: isGap, party: p, cause: cause, at: from, to: to})
	}
}

// Close ends recording for good. It is a barrier, too; the recorder is sealed
// behind it, by the pipeline. Only the first reason counts.
func (t *Tap) Close(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() {
		return
	}
	t.at, t.reason = time.Now(), reason
	for cause, since := range t.paused {
		t.endPause(cause, since, t.at)
	}
	t.endDrops(consent.Remote, t.at)
	t.endDrops(consent.Local, t.at)
	t.shut.Store(true)
}

// Done is closed when the recorder has been sealed.
func (t *Tap) Done() <-chan struct{} { return t.done }

// Paused reports whether nothing is recorded for now.
func (t *Tap) Paused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.paused) > 0
}

// Open reports whether Close hasn't been called.
func (t *Tap) Open() bool { return !t.shut.Load() }
