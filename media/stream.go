package media

import (
	"encoding/binary"
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
	ssrc    uint32
	seq     uint16    // of the latest packet sent
	ts      uint32    // of the latest packet sent
	at      time.Time // when

	source   uint32 // SSRC that the moves below are for
	moved    bool   // they are set
	first    uint16 // the source's sequence number at which they began
	settled  bool   // so long ago that nothing from before can still come
	moveSeq  uint16
	moveTime uint32
}

// next makes the header fields of a packet of ours that holds so many samples.
func (s *stream) next(samples uint32, spurt bool, at time.Time) (seq uint16, ts, ssrc uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.ssrc, s.seq, s.ts = rand.Uint32(), uint16(rand.Uint32()), rand.Uint32()
	}
	switch {
	case !s.started:
	case spurt: // time went on while nothing was sent
		s.ts += max(elapsed(s.at, at), samples)
	default:
		s.ts += samples
	}
	s.started, s.ours, s.moved = true, true, false
	s.seq++
	s.at = at
	return s.seq, s.ts, s.ssrc
}

// elapsed is a time in samples.
func elapsed(from, to time.Time) uint32 {
	return uint32(to.Sub(from) * sampleRate / time.Second)
}

// pass prepares a packet of the other party in place; false: too late to join.
func (s *stream) pass(packet []byte, at time.Time) bool {
	seq := binary.BigEndian.Uint16(packet[2:])
	ts := binary.BigEndian.Uint32(packet[4:])
	ssrc := binary.BigEndian.Uint32(packet[8:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ours {
		s.started = true
		s.ssrc, s.seq, s.ts, s.at = ssrc, seq, ts, at
		return true
	}
	joins := !s.moved || s.source != ssrc
	if joins {
		s.source, s.moved, s.first, s.settled = ssrc, true, seq, false
		s.moveSeq = s.seq + 1 - seq
		s.moveTime = s.ts + max(elapsed(s.at, at), 1) - ts
	} else if !s.settled && int16(seq-s.first) < 0 {
		return false // from before the packet that we joined at
	}
	s.settled = s.settled || int16(seq-s.first) > 1<<10
	seq, ts = seq+s.moveSeq, ts+s.moveTime
	binary.BigEndian.PutUint16(packet[2:], seq)
	binary.BigEndian.PutUint32(packet[4:], ts)
	binary.BigEndian.PutUint32(packet[8:], s.ssrc)
	if joins {
		packet[1] |= 0x80 // marker: a talkspurt begins, RFC 3551 section 4.1
	}
	if joins || int16(seq-s.seq) > 0 {
		s.seq, s.ts = seq, ts
	}
	s.at = at
	return true
}

// mapping is how a stream's numbers relate to its source's, for RTCP.
type mapping struct {
	ours         bool
	ssrc, source uint32
	moveSeq      uint16
	moveTime     uint32
	moved        bool
}

func (s *stream) mapping() mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mapping{s.ours, s.ssrc, s.source, s.moveSeq, s.moveTime, s.moved}
}
