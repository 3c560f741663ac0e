package media

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus"

	"consentgate/media/quality"
)

// enough packets to say something of a call's quality: two seconds.
const enough = 100

// watch is what a leg sees of its peer's media. All but last belongs to the
// thread of the relay's sockets, until they are closed.
type watch struct {
	trip   quality.RoundTrip
	missed atomic.Bool // it was told that none comes

	// These are for each packet.
	last   atomic.Int64 // when one came, or was first to be expected; Unix ns
	speech quality.Stream
	codec  string // of the latest
}

// heard takes a packet. An event is no audio: who only presses keys is missed.
func (w *watch) heard(y *payload, h header, at time.Time) {
	if y.event == 0 {
		w.last.Store(at.UnixNano())
	}
	if !y.speech {
		w.speech.Count(h.ssrc, h.seq)
		return
	}
	w.codec = y.Name
	w.speech.Observe(h.ssrc, h.seq, h.ts, y.ClockRate, at)
}

// expect begins to wait for packets.
func (w *watch) expect() {
	w.last.Store(time.Now().UnixNano())
	w.missed.Store(false)
}

// reported reads the RTCP of this leg's peer: what it says of what it heard, and
// when it said it. Both legs' are read on one thread.
func (l *Leg) reported(data []byte, at time.Time) {
	packets, err := rtcp.Unmarshal(data)
	if err != nil {
		return // counted where it is passed on
	}
	for _, p := range packets {
		var reports []rtcp.ReceptionReport
		switch p := p.(type) {
		case *rtcp.SenderReport:
			l.relay.legs[l.party.Other()].watch.trip.Sent(p.NTPTime, at)
			reports = p.Reports
		case *rtcp.ReceiverReport:
			reports = p.Reports
		}
		for _, r := range reports {
			l.watch.trip.Reported(r.LastSenderReport, r.Delay, at)
		}
	}
}

// assess is the call's quality, once nothing is received any more.
func (r *Relay) assess() {
	var delay time.Duration
	for _, l := range r.legs {
		if trip, ok := l.watch.trip.Latest(); ok {
			l.measures.trip.Observe(trip.Seconds())
			delay += trip / 2
		}
	}
	for _, l := range r.legs {
		s := &l.watch.speech
		if s.Expected() < enough {
			continue
		}
		l.measures.loss.Observe(s.Loss())
		l.measures.jitter.Observe(s.Jitter().Seconds())
		l.measures.mos.Observe(quality.MOS(l.watch.codec, s.Loss(), s.Jitter(), delay))
	}
}

// measures are where a leg's quality is told.
type measures struct{ loss, jitter, trip, mos prometheus.Observer }

// sweep looks at all relays each second, until stop is closed.
func (e *Engine) sweep(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			for _, r := range e.running() {
				r.listen(now)
			}
		}
	}
}

// listen notices parties from whom nothing comes, though they said that they
// would send and nobody is on hold.
func (r *Relay) listen(now time.Time) {
	if !r.bridged.Load() {
		return
	}
	cfg := &r.engine.cfg
	quiet, silent := 0, 0
	for _, l := range r.legs {
		p := l.place.Load()
		if p == nil || p.Mute {
			quiet++
			continue
		}
		since := now.Sub(time.Unix(0, l.watch.last.Load()))
		if cfg.Timeout > 0 && since > cfg.Timeout {
			silent++
		}
		if since > cfg.NoAudio && !l.watch.missed.Swap(true) {
			r.emit(Event{Kind: AudioMissing, Party: l.party})
		} else if since <= cfg.NoAudio {
			l.watch.missed.Store(false)
		}
	}
	if silent == len(r.legs) && quiet == 0 {
		r.emit(Event{Kind: MediaLost})
	}
}
