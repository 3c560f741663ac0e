package media

import (
	"time"

	"consentgate/consent"
	"consentgate/media/dtmf"
)

// causeKey is of the gaps that tones of keys leave: card numbers and answers are
// none of a recording's business.
const causeKey = "dtmf"

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
	on   bool
	from time.Time
}

// hush leaves a packet out.
func (w *writer) hush(e *entry) {
	if s := &w.silent[e.party]; !s.on {
		*s = silence{true, e.at}
	}
}

// resound ends a silence, for something else of the party is to be written.
func (w *writer) resound(p consent.Party, at time.Time) error {
	s := w.silent[p]
	if !s.on {
		return nil
	}
	w.silent[p] = silence{}
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
