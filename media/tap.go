package media

import (
	"sync"
	"time"

	"consentgate/consent"
)

// Sink is a recorder for one grant. One goroutine of the tap's calls it, so it
// may wait for its disk; the packets of meanwhile are kept up to a bound and
// then dropped, which shows as a gap.
type Sink interface {
	// Format says what a payload type of a party means, before its first packet.
	Format(party consent.Party, pt uint8, encoding string, clockRate int) error
	// WriteRTP keeps an RTP packet as it came. It doesn't retain it.
	WriteRTP(party consent.Party, at time.Time, packet []byte) error
	// Gap says why a span of time holds no packets of a party.
	Gap(party consent.Party, cause string, from, to time.Time) error
	// Seal ends the recording. It is called once, and last.
	Seal(at time.Time, reason string) error
}

// tapQueue bounds what may wait for a recorder: five seconds of both parties.
const tapQueue = 512

// Causes of gaps that a tap makes itself.
const causeDropped = "writer-drop"

// Tap copies the packets of one relay to one recorder.
type Tap struct {
	relay *Relay
	grant consent.Grant
	sink  Sink
	queue chan item
	done  chan struct{}

	mu     sync.Mutex // a few instructions and a copy; never held for I/O
	closed bool
	reason string
	at     time.Time            // when it was closed
	paused map[string]time.Time // causes, since when
	drops  [2]time.Time         // by party: since when packets are dropped; zero: they aren't
	gaps   []gap                // not yet written
}

// item is a packet on its way to the recorder.
type item struct {
	party consent.Party
	at    time.Time
	data  *[maxPacket]byte
	n     int
}

type gap struct {
	party    consent.Party
	cause    string
	from, to time.Time
}

var buffers = sync.Pool{New: func() any { return new([maxPacket]byte) }}

func newTap(r *Relay, g consent.Grant, s Sink) *Tap {
	t := &Tap{relay: r, grant: g, sink: s, queue: make(chan item, tapQueue), done: make(chan struct{}),
		paused: map[string]time.Time{}}
	r.engine.taps.Go(t.write)
	return t
}

// offer takes a copy of a packet, unless the tap is closed or paused. It never
// blocks: the send can't, for it has a default.
func (t *Tap) offer(p consent.Party, data []byte, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.paused) > 0 || !t.grant.Valid() {
		return
	}
	b := buffers.Get().(*[maxPacket]byte)
	select {
	case t.queue <- item{p, at, b, copy(b[:], data)}:
		if !t.drops[p].IsZero() {
			t.gaps = append(t.gaps, gap{p, causeDropped, t.drops[p], at})
			t.drops[p] = time.Time{}
		}
	default:
		buffers.Put(b)
		t.relay.engine.cfg.Metrics.tapDropped.Inc()
		if t.drops[p].IsZero() {
			t.drops[p] = at
		}
	}
}

// Pause stops recording for a cause. It is a barrier: when it returns, no packet
// that comes later is recorded, until every cause has been resumed.
func (t *Tap) Pause(cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.paused[cause]; !ok && !t.closed {
		t.paused[cause] = time.Now()
	}
}

// Resume takes a cause away.
func (t *Tap) Resume(cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, ok := t.paused[cause]
	if !ok || t.closed {
		return
	}
	delete(t.paused, cause)
	t.gapBoth(cause, since, time.Now())
}

func (t *Tap) gapBoth(cause string, from, to time.Time) {
	t.gaps = append(t.gaps, gap{consent.Remote, cause, from, to}, gap{consent.Local, cause, from, to})
}

// Close ends recording for good. It is a barrier, too; the recorder is sealed
// behind it, on the tap's goroutine.
func (t *Tap) Close(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.close(reason)
}

func (t *Tap) close(reason string) {
	if t.closed {
		return
	}
	t.closed, t.reason, t.at = true, reason, time.Now()
	for cause, since := range t.paused {
		t.gapBoth(cause, since, t.at)
	}
	for p, since := range t.drops {
		if !since.IsZero() {
			t.gaps = append(t.gaps, gap{consent.Party(p), causeDropped, since, t.at})
		}
	}
	close(t.queue) // offer doesn't send any more: it looks at closed under this lock
}

// Done is closed when the recorder has been sealed.
func (t *Tap) Done() <-chan struct{} { return t.done }

// write is the tap's goroutine: it feeds the recorder and seals it.
func (t *Tap) write() {
	defer close(t.done)
	var failed error
	var known [2][128]bool
	for it := range t.queue {
		if failed == nil {
			failed = t.writeOne(it, &known)
			if failed != nil {
				t.fail(failed)
			}
		}
		buffers.Put(it.data)
	}
	if failed == nil {
		failed = t.writeGaps()
	}
	t.mu.Lock()
	at, reason := t.at, t.reason
	t.mu.Unlock()
	if err := t.sink.Seal(at, reason); err != nil {
		t.relay.log.Error("sealing a recording", "error", err)
	}
}

func (t *Tap) writeOne(it item, known *[2][128]bool) error {
	if it.at.Before(t.grant.Record().At) {
		t.relay.engine.cfg.Metrics.preconsent.Inc()
		return nil
	}
	if err := t.writeGaps(); err != nil {
		return err
	}
	packet := it.data[:it.n]
	pt := packet[1] & 0x7f
	if !known[it.party][pt] {
		known[it.party][pt] = true
		c := t.relay.legs[it.party].codec(pt)
		if err := t.sink.Format(it.party, pt, c.Name, c.ClockRate); err != nil {
			return err
		}
	}
	return t.sink.WriteRTP(it.party, it.at, packet)
}

// codec is what a payload type from this leg's peer means.
func (l *Leg) codec(pt uint8) Codec {
	if p := l.place.Load(); p != nil {
		for _, c := range p.Codecs {
			if c.PayloadType == pt {
				return c
			}
		}
	}
	switch pt { // RFC 3551 table 4
	case 0:
		return Codec{"PCMU", 0, sampleRate}
	case 8:
		return Codec{"PCMA", 8, sampleRate}
	}
	return Codec{PayloadType: pt}
}

func (t *Tap) writeGaps() error {
	t.mu.Lock()
	gaps := t.gaps
	t.gaps = nil
	t.mu.Unlock()
	for _, g := range gaps {
		if err := t.sink.Gap(g.party, g.cause, g.from, g.to); err != nil {
			return err
		}
	}
	return nil
}

// fail closes the tap after an error of the recorder and reports it.
func (t *Tap) fail(err error) {
	t.relay.log.Error("recording failed, the call goes on", "error", err)
	t.mu.Lock()
	ours := !t.closed
	t.close("recorder failed: " + err.Error())
	t.mu.Unlock()
	if ours {
		t.relay.onEvent(Event{Kind: TapFailed, Err: err})
	}
}
