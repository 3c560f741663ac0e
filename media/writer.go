package media

import (
	"slices"
	"time"

	"consentgate/consent"
)

// writer is how far a tap's recording has come. It looks for tones of keys, too:
// they are to be left out, and the thread that relays has better to do.
type writer struct {
	tap    *Tap
	line   []entry    // taken from the tap, and not written yet
	bytes  []byte     // the packets' in line
	told   [2][]Codec // formats, by party
	tones  [2]tones   // by party
	silent [2]silence // by party
	failed bool
}

// run takes what the tap has and writes what can be: all that stands before the
// first packet that may be of a key, or, when the tap is closed, all.
func (w *writer) run(open bool) {
	w.take()
	now, n := time.Now(), 0
	for ; n < len(w.line) && !(open && w.line[n].waits(now)); n++ {
		w.write(&w.line[n])
	}
	w.wrote(n)
}

// take takes what the tap has.
func (w *writer) take() {
	known := len(w.line)
	t := w.tap
	t.mu.Lock()
	w.bytes = append(w.bytes, t.bytes...)
	for i := range t.items {
		w.line = append(w.line, entry{item: t.items[i]})
	}
	clear(t.items)
	t.items, t.bytes = t.items[:0], t.bytes[:0]
	t.mu.Unlock()
	at := 0
	for i := range w.line { // those from before, too: bytes may have moved
		w.line[i].data = w.bytes[at:][:w.line[i].size]
		at += w.line[i].size
	}
	for i := known; i < len(w.line); i++ {
		w.examine(w.line[:i+1])
	}
}

// wrote takes the first n entries out of line.
func (w *writer) wrote(n int) {
	bytes, packets, keys := 0, 0, 0
	for i := range w.line[:n] {
		bytes += w.line[i].size
		switch w.line[i].kind {
		case isPacket:
			packets++
		case isKey:
			keys++
		}
	}
	w.line = slices.Delete(w.line, 0, n)
	w.bytes = slices.Delete(w.bytes, 0, bytes)
	w.tap.mu.Lock()
	w.tap.held -= packets + keys
	w.tap.mu.Unlock()
	w.tap.relay.engine.cfg.Metrics.tapped.Add(float64(packets))
}

// write hands one entry to the recorder. After its first error there are none.
func (w *writer) write(e *entry) {
	if w.failed {
		return
	}
	var err error
	switch {
	case e.kind == isKey:
		w.hush(e)
	case e.kind == isGap:
		if err = w.resound(e.party, e.at); err == nil {
			err = w.tap.sink.Gap(e.party, e.cause, e.at, e.to)
		}
	case e.at.Before(w.tap.granted): // can't be; if it is, it isn't recorded, and everybody is told
		w.tap.relay.engine.cfg.Metrics.preconsent.Inc()
	case e.secret():
		w.hush(e)
	default:
		if err = w.resound(e.party, e.at); err == nil {
			err = w.packet(e)
		}
	}
	if err != nil {
		w.fail(err)
	}
}

func (w *writer) packet(e *entry) error {
	p, packet := e.party, e.data
	pt := packet[1] & 0x7f
	if c := e.from.codec(pt); !slices.Contains(w.told[p], c) {
		w.told[p] = append(slices.DeleteFunc(w.told[p], func(x Codec) bool { return x.PayloadType == pt }), c)
		if err := w.tap.sink.Format(p, pt, c.encoding(), c.ClockRate); err != nil {
			return err
		}
	}
	return w.tap.sink.WriteRTP(p, e.at, packet)
}

// fail closes the tap after an error of the recorder and reports it, once.
func (w *writer) fail(err error) {
	w.failed = true
	w.tap.relay.log.Error("recording failed, the call goes on", "error", err)
	w.tap.Close(consent.EndFailed + ": " + err.Error())
	w.tap.relay.emit(Event{Kind: TapFailed, Err: err})
}
