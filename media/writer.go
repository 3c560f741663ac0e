package media

import "time"

// writer is how far a tap's recording has come.
type writer struct {
	tap    *Tap
	known  [2][128]Codec // formats told, by party and payload type
	told   [2][128]bool
	silent [2]silence // by party
	failed bool
}

// takeQueue takes what can be written, in the order of arrival: all that stands
// before the first packet without a verdict, or, when the tap is closed, all.
func (t *Tap) takeQueue(into []item, open bool) (full []item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.queue)
	if open {
		n = t.decided(time.Now())
	}
	full = append(into[:0], t.queue[:n]...)
	for i := range full {
		if full[i].data != nil {
			t.held--
		}
	}
	rest := copy(t.queue, t.queue[n:])
	clear(t.queue[rest:])
	t.queue = t.queue[:rest]
	return full
}

// write hands one item to the recorder. After its first error there are none.
func (w *writer) write(it *item) {
	if it.data != nil {
		defer buffers.Put(it.data)
	}
	if w.failed {
		return
	}
	var err error
	switch {
	case it.data == nil:
		if err = w.resound(it.party, it.at); err == nil {
			err = w.tap.sink.Gap(it.party, it.cause, it.at, it.to)
		}
	case it.at.Before(w.tap.granted): // can't be; if it is, it isn't recorded, and everybody is told
		w.tap.relay.engine.cfg.Metrics.preconsent.Inc()
	case it.secret():
		w.hush(it)
	default:
		if err = w.resound(it.party, it.at); err == nil {
			err = w.packet(it)
		}
	}
	if err != nil {
		w.fail(err)
	}
}

func (w *writer) packet(it *item) error {
	p, packet := it.party, it.data[:it.n]
	pt := packet[1] & 0x7f
	if c := it.from.codec(pt); !w.told[p][pt] || w.known[p][pt] != c {
		w.told[p][pt], w.known[p][pt] = true, c
		if err := w.tap.sink.Format(p, pt, c.encoding(), c.ClockRate); err != nil {
			return err
		}
	}
	return w.tap.sink.WriteRTP(p, it.at, packet)
}

// fail closes the tap after an error of the recorder and reports it, once.
func (w *writer) fail(err error) {
	w.failed = true
	w.tap.relay.log.Error("recording failed, the call goes on", "error", err)
	w.tap.Close("recorder failed: " + err.Error())
	w.tap.relay.emit(Event{Kind: TapFailed, Err: err})
}
