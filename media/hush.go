package media

import (
	"time"

	"consentgate/consent"
	"consentgate/media/dtmf"
)

// causeKey is of the gaps that keys leave, whether tones are left out or events came
// in the place of audio: card numbers and answers are none of a recording's business.
const causeKey = "dtmf"

// A key's gap ends with what comes next, but at most so long after its last packet:
// none lasts longer.
const lastOfKey = 100 * time.Millisecond

// besideKey is how soon audio comes behind an event that it goes on beside. There is
// no gap then.
const besideKey = 30 * time.Millisecond

// undecided is how long a packet waits for the audio behind it that tells whether
// it is of a key. After it nothing more can come: the party has stopped sending.
const undecided = 200 * time.Millisecond

// entry is an item in the writer's hands.
type entry struct {
	item
	data    []byte
	span    span         // of its audio, where it may be of a key
	verdict dtmf.Verdict // of a packet
}

// examine looks for tones in the last of the entries in line, and says what has
// become known of its party's packets.
func (w *writer) examine(line []entry) {
	e := &line[len(line)-1]
	b := &w.tones[e.party]
	switch e.kind {
	case isGap:
		b.missed()
		return
	case isKey:
		b.found.Confirm() // who makes an event of a tone needs some of the tone to know it
	case isPacket:
		e.verdict = dtmf.Clean
		h, ok := parse(e.data)
		c := e.from.payload(h.pt).plays
		if !ok || c == nil {
			return
		}
		e.verdict = dtmf.Open
		e.span, _ = b.take(h, c)
	}
	for i := range line {
		if x := &line[i]; x.kind == isPacket && x.party == e.party && x.verdict < dtmf.Clean {
			x.verdict = b.found.Judge(x.span.from, x.span.to)
		}
	}
}

// waits reports whether an entry can't be written yet: all behind it wait, too.
func (e *entry) waits(now time.Time) bool {
	return e.kind == isPacket && e.verdict < dtmf.Clean && now.Sub(e.at) < undecided
}

// secret reports whether a packet is of a key, or may be and nothing more is to come.
func (e *entry) secret() bool { return e.verdict == dtmf.Keyed || e.verdict == dtmf.Suspect }

// silence is a span that is kept out of a recording, while it goes on.
type silence struct {
	on       bool
	from, to time.Time // of its first and its latest packet
	events   bool      // all of it was events: nothing was left out
}

// hush leaves a packet out, or notes that an event came.
func (w *writer) hush(e *entry) {
	s := &w.silent[e.party]
	if !s.on {
		*s = silence{on: true, from: e.at, events: true}
	}
	s.to, s.events = e.at, s.events && e.kind == isKey
}

// resound ends a silence, for something else of the party is to be written.
func (w *writer) resound(p consent.Party, at time.Time) error {
	s := w.silent[p]
	w.silent[p] = silence{}
	if !s.on || s.events && at.Sub(s.from) < besideKey {
		return nil
	}
	if last := s.to.Add(lastOfKey); last.Before(at) {
		at = last
	}
	return w.tap.sink.Gap(p, causeKey, s.from, at)
}

// end ends every silence with the recording.
func (w *writer) end(at time.Time) {
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		if w.failed {
			return
		}
		if err := w.resound(p, at); err != nil {
			w.fail(err)
		}
	}
}
