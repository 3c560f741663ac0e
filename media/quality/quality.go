// Package quality estimates how well a call was heard, from what passes: loss
// and jitter of RTP (RFC 3550), round trips of RTCP, and from them a mean
// opinion score by the E-model (ITU-T G.107).
package quality

import "time"

// maxDropout is the largest jump of sequence numbers that still counts as loss;
// a larger one is taken for a source that began anew (RFC 3550 appendix A.1).
const maxDropout = 3000

// Stream watches the RTP that comes from one side. It belongs to one goroutine
// at a time. The zero Stream is ready.
type Stream struct {
	begun    bool
	ssrc     uint32
	first    uint32 // sequence number, with wraps, of the latest source's first packet
	highest  uint32
	received uint32 // of the latest source

	expected uint64 // of sources before
	arrived  uint64

	transit float64 // seconds
	jitter  float64 // RFC 3550 section 6.4.1, seconds
}

// Observe takes one packet of speech; rate is its clock's, in Hz. For
// telephone-events, whose time stands still, there is Count.
func (s *Stream) Observe(ssrc uint32, seq uint16, ts uint32, rate int, at time.Time) {
	if !s.Count(ssrc, seq) {
		s.begin(ssrc, seq)
		s.received++
	}
	if rate <= 0 {
		return
	}
	transit := float64(at.UnixNano())/1e9 - float64(ts)/float64(rate)
	if s.received > 1 {
		d := transit - s.transit
		if d < 0 {
			d = -d
		}
		if d < 1 { // a jump in the sender's clock, or a wrap, is no jitter
			s.jitter += (d - s.jitter) / 16
		}
	}
	s.transit = transit
}

// Count takes a packet of which only the number matters: of a telephone-event, or of
// comfort noise, which stand in one row with the speech (RFC 4733 section 2.3). False:
// it isn't of the stream, and wasn't taken.
func (s *Stream) Count(ssrc uint32, seq uint16) bool {
	if !s.begun || ssrc != s.ssrc || !s.follows(seq) {
		return false
	}
	if ahead := int32(int16(seq - uint16(s.highest))); ahead > 0 {
		s.highest += uint32(ahead)
	}
	s.received++
	return true
}

func (s *Stream) follows(seq uint16) bool {
	d := int16(seq - uint16(s.highest))
	return d < maxDropout && d > -maxDropout
}

// begin starts a source; what was lost of the one before is kept.
func (s *Stream) begin(ssrc uint32, seq uint16) {
	s.expected, s.arrived = s.totals()
	s.begun, s.ssrc = true, ssrc
	s.first, s.highest, s.received = uint32(seq)+1<<16, uint32(seq)+1<<16, 0
}

func (s *Stream) totals() (expected, arrived uint64) {
	if !s.begun {
		return s.expected, s.arrived
	}
	return s.expected + uint64(s.highest-s.first) + 1, s.arrived + uint64(s.received)
}

// Expected is the number of packets that were sent, as far as one can tell.
func (s *Stream) Expected() uint64 {
	n, _ := s.totals()
	return n
}

// Loss is the share of packets that didn't come, 0 to 1.
func (s *Stream) Loss() float64 {
	expected, arrived := s.totals()
	if expected == 0 || arrived >= expected { // repeated packets make more
		return 0
	}
	return float64(expected-arrived) / float64(expected)
}

// Jitter is the latest estimate.
func (s *Stream) Jitter() time.Duration { return time.Duration(s.jitter * float64(time.Second)) }
