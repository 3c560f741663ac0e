package media

import (
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/media/dtmf"
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
	closing chan struct{} // closed with the tap

	mu     sync.Mutex // a few instructions and a copy; never held for I/O
	queue  []item
	held   int                  // packets in queue
	opened time.Time            // what came before isn't recorded
	at     time.Time            // when it was closed; zero: it is open
	reason string               // why
	paused map[string]time.Time // causes, since when
	drops  [2]time.Time         // by party: since when packets are dropped; zero: they aren't

	writer writer // of the pipeline's goroutine that has the tap
}

// item is a packet or a gap on its way to the recorder.
type item struct {
	party consent.Party
	at    time.Time

	data    *[maxPacket]byte // nil for a gap
	n       int
	from    *place // the description by which it came
	span    span   // of its audio, where it may be of a key
	verdict dtmf.Verdict

	cause string
	to    time.Time
}

var buffers = sync.Pool{New: func() any { return new([maxPacket]byte) }}

func newTap(r *Relay, g consent.Grant, s Sink) *Tap {
	t := &Tap{relay: r, grant: g, granted: g.Record().At, sink: s, opened: time.Now(), paused: map[string]time.Time{},
		done: make(chan struct{}), closing: make(chan struct{})}
	t.writer.tap = t
	r.engine.add(t)
	r.engine.pipeline.take(t)
	return t
}

// offer takes a copy of a packet, unless the tap is closed or paused. One that may
// be of a key, by its span, waits for its verdict. It decides and copies under one
// lock with Pause and Close: that makes them barriers. It never blocks.
func (t *Tap) offer(p consent.Party, from *place, data []byte, s span, at time.Time) {
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
	b := buffers.Get().(*[maxPacket]byte)
	it := item{party: p, at: at, data: b, n: copy(b[:], data), from: from, span: s, verdict: dtmf.Clean}
	if s != (span{}) {
		it.verdict = dtmf.Open
	}
	t.queue = append(t.queue, it)
	t.held++
	t.relay.engine.cfg.Metrics.tapped.Inc()
}

// endDrops notes the gap of packets dropped until at.
func (t *Tap) endDrops(p consent.Party, at time.Time) {
	if !t.drops[p].IsZero() {
		t.queue = append(t.queue, item{party: p, cause: causeDropped, at: t.drops[p], to: at})
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
		t.queue = append(t.queue, item{party: p, cause: cause, at: from, to: to})
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
	close(t.closing)
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
func (t *Tap) Open() bool {
	select {
	case <-t.closing:
		return false
	default:
		return true
	}
}
