package dtmf

import "consentgate/consent"

// Rate is that of the samples which Tones reads, Hz.
const Rate = 8000

// Lengths in samples. A tone of 40 ms fills five windows wherever it begins, one
// of 30 ms at most four. Where a packet was lost beside it, two have to do; those
// at the edges of a loss are brief, so that 12 ms of the tone are enough.
const (
	window = Rate * 15 / 1000
	hop    = Rate * 5 / 1000 // from one window to the next
	brief  = Rate * 10 / 1000
	step   = Rate * 2 / 1000 // between two brief ones
	margin = hop             // what windows miss of a tone's beginning and end
)

// Counts of windows.
const (
	enough = 5 // make a key: those that have it, and those lost with packets
	fewest = 2 // of them must have it
	pause  = 5 // without it end a key: a pause of 20 ms does, a break of 10 ms doesn't
)

// Verdict is what is known of a span of audio.
type Verdict uint8

const (
	Open    Verdict = iota // too little was heard behind it to tell
	Suspect                // likewise, and it sounds like a key
	Clean                  // it is no key's
	Keyed                  // it is a key's
)

// Tones finds the keys that a party presses in its audio: the tones of ITU-T
// Q.23, received as Q.24 says. The zero Tones is ready. It is for one goroutine,
// and allocates nothing.
//
// Places are counted in samples since the first one, those lost included; a rest
// counts as a window.
type Tones struct {
	end     int64           // place behind the latest sample
	samples [window]float64 // the latest
	loud    int64           // place of the latest that is as loud as the quietest tone
	whole   int             // of them have come since the latest loss
	wait    int             // samples until the next window is full
	heard   [hops]heard     // the window's hops, the oldest first
	screens bool            // heard is of the window before
	hole    span            // the latest loss
	run     run
	key     span // of the latest key that counted
}

type span struct{ from, to int64 }

// run is what sounds like a key.
type run struct {
	pair    // in its first window; without a key: nothing does
	span    // from its first window to its latest
	heard   int
	lost    int // windows lost before or within it
	misses  int // windows since the latest
	missed  int // windows without it, within the run
	counted bool
}

// End is the place behind the latest sample.
func (t *Tones) End() int64 { return t.end }

// Lose says that n samples are missing.
func (t *Tones) Lose(n int) {
	t.edge(0)
	t.edge(step)
	t.hole = span{t.end, t.end + int64(n)}
	t.end, t.whole, t.wait, t.screens = t.hole.to, 0, brief, false
	t.run.lost += (n + window - hop) / hop
}

// Rest says that the audio stopped for a while: what sounded has ended.
func (t *Tones) Rest() {
	t.finish()
	t.end += window
	t.whole, t.wait, t.hole, t.screens = 0, window, span{}, false
}

// Feed takes the next samples and returns the key that counts with them, 0 if
// none does. 60 ms hold no two keys; of more, the latest is returned.
func (t *Tones) Feed(pcm []int16) (key consent.Key) {
	if t.end == 0 {
		t.wait = window
	}
	for len(pcm) > 0 {
		n := min(t.wait, len(pcm))
		t.keep(pcm[:n])
		pcm = pcm[n:]
		if t.wait -= n; t.wait == 0 {
			t.look()
			if k := t.count(); k != 0 {
				key = k
			}
		}
	}
	return key
}

func (t *Tones) keep(pcm []int16) {
	n := copy(t.samples[:], t.samples[len(pcm):])
	for i, s := range pcm {
		if s >= loudness || s <= -loudness {
			t.loud = t.end + int64(i) + 1
		}
		t.samples[n+i] = float64(s)
	}
	t.end += int64(len(pcm))
	t.whole += len(pcm)
}

// look looks into the window that has become full.
func (t *Tones) look() {
	switch t.whole {
	case brief:
		t.edge(0)
		t.wait = step
		return
	case brief + step:
		t.edge(0)
		t.wait = window - brief - step
		return
	}
	t.wait = hop
	if t.promises() {
		if p := full.listen(t.samples[:]); p.key != 0 {
			t.hears(p, span{t.end - window, t.end})
			return
		}
	}
	if t.run.misses++; t.run.misses >= pause || t.run.key == 0 {
		t.finish()
	}
}

// promises reports whether the full window is worth a look.
func (t *Tones) promises() bool {
	if t.loud <= t.end-window { // there is nothing to hear
		t.screens = false
		return false
	}
	if !t.screens {
		for i := range hops - 1 {
			t.heard[i+1].hear(t.samples[i*hop:][:hop])
		}
		t.screens = true
	}
	copy(t.heard[:], t.heard[1:])
	t.heard[hops-1].hear(t.samples[window-hop:])
	return promising(&t.heard)
}

// edge looks into a brief window that ended so many samples ago.
func (t *Tones) edge(ago int) {
	if t.whole < brief+ago {
		return
	}
	if p := short.listen(t.samples[window-brief-ago:][:brief]); p.key != 0 {
		t.hears(p, span{t.end - int64(brief+ago), t.end - int64(ago)})
	}
}

// hears goes on with a run, or begins another.
func (t *Tones) hears(p pair, at span) {
	r := &t.run
	if r.key != p.key || !r.counted && !r.steady(p) {
		lost := r.lost
		t.finish()
		*r = run{pair: p, span: at, lost: lost}
	}
	r.heard++
	r.missed += r.misses
	r.misses, r.to = 0, at.to
	if r.counted {
		t.key.to = r.to + margin
	}
}

// count counts the run if it is enough for a key. Of one that is missed as often as
// it is heard, what is heard is of a voice or of music.
func (t *Tones) count() consent.Key {
	r := &t.run
	if r.key == 0 || r.counted || r.heard < fewest || r.heard+r.lost < enough || r.missed >= r.heard {
		return 0
	}
	t.Confirm()
	return r.key
}

// Confirm says that what sounds like a key is one: its event has come. What has
// been heard of it so far is Keyed, and so will be the rest.
func (t *Tones) Confirm() {
	r := &t.run
	if r.key == 0 || r.counted {
		return
	}
	r.counted = true
	t.key = span{t.begin(), r.to + margin}
}

// begin is the place where the run may have begun: before a loss, perhaps.
func (t *Tones) begin() int64 {
	if t.hole.from < t.run.from && t.hole.to >= t.run.from-step {
		return t.hole.from - brief
	}
	return t.run.from - margin
}

// finish ends the run.
func (t *Tones) finish() {
	if t.run.counted && t.hole.from <= t.key.to && t.hole.to > t.run.to {
		t.key.to = t.hole.to + brief // it may have ended after the loss
	}
	t.run = run{}
}

// Sounds reports whether a key that counted goes on, and since which place.
func (t *Tones) Sounds() (since int64, ok bool) { return t.run.from, t.run.counted }

// Judge tells what is known of the samples between two places, which must be of
// the last second.
func (t *Tones) Judge(from, to int64) Verdict {
	switch {
	case from < t.key.to && to > t.key.from:
		return Keyed
	case t.run.key != 0 && to > t.begin():
		return Suspect
	case to <= t.decided():
		return Clean
	}
	return Open
}

// decided is the place up to which nothing that comes can change a verdict.
func (t *Tones) decided() int64 {
	if t.whole < window && t.hole.to > 0 {
		return t.hole.from - brief
	}
	return t.end + int64(t.wait) - window - 2*margin // a loss may come now, and windows at its edge
}
