package media

import (
	"cmp"
	"math/rand/v2"
	"sync"
	"time"
)

// stream is what one listener hears: prompts and the other party, as one RTP
// stream. Until something of ours has been played the other party's packets
// pass untouched. From then on they are moved by constants, so that SSRC,
// sequence numbers and time go on without a jump (RFC 3550 section 5.1).
type stream struct {
	mu sync.Mutex // a few instructions at a time; never held while sending

	started bool
	ours    bool // something of ours has been played
	playing bool // something of ours is being played: nobody else is heard
	ssrc    uint32
	seq     uint32    // highest sent, with the wraps so far in its upper half
	ts      uint32    // highest sent
	clock   int       // its rate, Hz
	at      time.Time // when ts was sent
	span    uint32    // what a packet lasts, by that clock

	join *join // how the source's numbers become ours; nil: the next packet joins
}

// join is where a source's packets joined the stream, and how far they are moved.
type join struct {
	source  uint32 // SSRC
	first   uint16 // the source's sequence number
	seq     uint32 // to be added, as are the following
	ts      uint32
	settled bool // so long ago that nothing from before can still come
}

// longestEvent is how far behind speech a packet's time may lie: an event's
// packets all bear its start, and it lasts 65,535 units at most (RFC 4733 2.3.5).
const longestEvent = 1 << 16

// next makes the header of a packet of ours that lasts so many ticks of its clock.
// spurt says that time went on while nothing of ours was sent.
func (s *stream) next(ticks uint32, clock int, spurt bool, at time.Time) header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started, s.span, s.clock, s.at = true, ticks, clock, at
		s.ssrc, s.seq, s.ts = rand.Uint32(), firstNumber(), rand.Uint32()
	}
	if spurt {
		s.ts += s.since(at)
	} else {
		s.ts += s.span
	}
	s.ours, s.playing, s.join = true, true, nil
	s.seq++
	s.at, s.span, s.clock = at, ticks, clock
	return header{seq: uint16(s.seq), ts: s.ts, ssrc: s.ssrc}
}

// since is how much time to put between the latest packet and one sent at a
// time: never less than what the latest lasts. Where the clock rate changes, the
// time until then is counted by the former (RFC 7160).
func (s *stream) since(at time.Time) uint32 {
	return max(s.span, uint32(max(at.Sub(s.at), 0)*time.Duration(s.clock)/time.Second))
}

// yield lets the other party be heard again.
func (s *stream) yield() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.playing = false
}

// pass prepares a packet of the other party in place; clock is that of its
// timestamp, 0 where it isn't known. A reason other than reasons says why it
// can't be sent.
func (s *stream) pass(packet []byte, h header, clock int, at time.Time) reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.playing:
		return prompted
	case !s.ours:
		if !s.started || h.ssrc != s.ssrc {
			s.started, s.ssrc, s.seq = true, h.ssrc, uint32(h.seq)
			s.mark(h.ts, clock, at)
		}
		s.note(s.extend(h.seq), h.ts, clock, at)
		return reasons
	}
	j := s.join
	if j == nil || j.source != h.ssrc {
		j = &join{source: h.ssrc, first: h.seq, seq: s.seq + 1 - uint32(h.seq), ts: s.ts + s.since(at) - h.ts}
		s.join = j
		setMarker(packet)
	} else if !j.settled && int16(h.seq-j.first) < 0 {
		return late
	}
	j.settled = j.settled || int16(h.seq-j.first) > 1<<10
	h.seq, h.ts, h.ssrc = h.seq+uint16(j.seq), h.ts+j.ts, s.ssrc
	h.put(packet)
	s.note(s.extend(h.seq), h.ts, clock, at)
	return reasons
}

// extend is a sequence number of the stream with its upper half.
func (s *stream) extend(seq uint16) uint32 { return s.seq + uint32(int32(int16(seq-uint16(s.seq)))) }

// note remembers a packet sent. Packets out of order and those of events don't
// turn the stream's time back; a source that starts its time afresh does.
func (s *stream) note(seq, ts uint32, clock int, at time.Time) {
	if int32(seq-s.seq) > 0 {
		s.seq = seq
	}
	if d := int32(ts - s.ts); d > 0 || d < -longestEvent {
		s.mark(ts, clock, at)
	}
}

// mark remembers a packet whose time is the stream's from now on. Whatever its
// clock, it lasts 20 ms for all we know.
func (s *stream) mark(ts uint32, clock int, at time.Time) {
	s.ts, s.at = ts, at
	if clock = cmp.Or(clock, s.clock, sampleRate); clock != s.clock {
		s.clock, s.span = clock, uint32(clock/50)
	}
}

// mapping is how a stream's numbers relate to its source's, for RTCP.
type mapping struct {
	ours   bool
	ssrc   uint32
	joined bool
	join
}

func (s *stream) mapping() mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mapping{ours: s.ours, ssrc: s.ssrc}
	if s.join != nil {
		m.joined, m.join = true, *s.join
	}
	return m
}
