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

// judge says what has become known of a party's packets that wait.
func (t *Tap) judge(p consent.Party, found *dtmf.Tones) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.queue {
		if it := &t.queue[i]; it.party == p && it.verdict < dtmf.Clean {
			it.verdict = found.Judge(it.span.from, it.span.to)
		}
	}
}

// decided counts the items that can be written at a time: a packet without a
// verdict holds up all behind it.
func (t *Tap) decided(now time.Time) int {
	for i := range t.queue {
		if it := &t.queue[i]; it.data != nil && it.verdict < dtmf.Clean && now.Sub(it.at) < undecided {
			return i
		}
	}
	return len(t.queue)
}

// secret reports whether a packet is of a key, or may be and nothing more is to come.
func (it *item) secret() bool { return it.verdict == dtmf.Keyed || it.verdict == dtmf.Suspect }

// silence is a span that is kept out of a recording, while it goes on.
type silence struct {
	on   bool
	from time.Time
}

// hush leaves a packet out.
func (w *writer) hush(it *item) {
	if s := &w.silent[it.party]; !s.on {
		*s = silence{true, it.at}
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
