package quality_test

import (
	"math"
	"testing"
	"time"

	"consentgate/media/quality"
)

var start = time.Unix(1000, 0)

// feed sends n packets of 20 ms from seq on, but for those that lose says.
func feed(s *quality.Stream, ssrc uint32, seq uint16, n int, at time.Time, lose func(i int) bool) {
	for i := range n {
		if lose == nil || !lose(i) {
			s.Observe(ssrc, seq+uint16(i), uint32(i)*160, 8000, at.Add(time.Duration(i)*20*time.Millisecond))
		}
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestLossIsWhatDidNotCome(t *testing.T) {
	var s quality.Stream
	if s.Loss() != 0 || s.Expected() != 0 {
		t.Error("loss before there was a packet")
	}
	feed(&s, 1, 65000, 2000, start, func(i int) bool { return i%10 == 5 }) // over the wrap
	near(t, "loss", s.Loss(), 0.1, 0.001)
	if s.Expected() != 2000 {
		t.Errorf("%d packets were expected, not 2000", s.Expected())
	}
}

// TestWhatComesLateOrTwiceIsNotLost.
func TestWhatComesLateOrTwiceIsNotLost(t *testing.T) {
	var s quality.Stream
	for _, seq := range []uint16{1, 3, 2, 4, 4, 5} {
		s.Observe(1, seq, uint32(seq)*160, 8000, start)
	}
	if s.Loss() != 0 || s.Expected() != 5 {
		t.Errorf("loss %v of %d", s.Loss(), s.Expected())
	}
}

// TestANewSourceIsNoLoss: another SSRC, or the same one that counts anew.
func TestANewSourceIsNoLoss(t *testing.T) {
	var s quality.Stream
	feed(&s, 1, 100, 100, start, nil)
	feed(&s, 2, 40000, 100, start.Add(time.Hour), func(i int) bool { return i == 50 })
	feed(&s, 2, 10, 100, start.Add(2*time.Hour), nil)
	near(t, "loss", s.Loss(), 1.0/300, 1e-9)
}

// TestJitterIsThatOfRFC3550: 20 ms too late every other time leads to a jitter of
// 20 ms; a constant delay, silence and a sender's jump in time lead to none.
func TestJitterIsThatOfRFC3550(t *testing.T) {
	var even, odd quality.Stream
	feed(&even, 1, 0, 500, start, func(i int) bool { return i > 100 && i < 400 })
	if even.Jitter() > time.Millisecond {
		t.Errorf("jitter of an even stream is %s", even.Jitter())
	}
	for i := range 500 {
		late := time.Duration(i%2) * 20 * time.Millisecond
		odd.Observe(1, uint16(i), uint32(i)*160, 8000, start.Add(time.Duration(i)*20*time.Millisecond+late))
	}
	near(t, "jitter in ms", odd.Jitter().Seconds()*1000, 20, 0.5)
	odd.Observe(1, 500, 4_000_000_000, 8000, start.Add(10*time.Second))
	near(t, "jitter in ms after a jump", odd.Jitter().Seconds()*1000, 20, 0.5)
}

func TestRoundTripIsByTheReportsThatPass(t *testing.T) {
	var r quality.RoundTrip
	if _, ok := r.Latest(); ok {
		t.Error("a round trip before any report")
	}
	const ntp = uint64(0x0001_0002_0003_0004)
	r.Sent(ntp, start)
	r.Reported(0, 0, start.Add(time.Second))          // it has had none
	r.Reported(0x99990000, 0, start.Add(time.Second)) // of somebody else's
	if _, ok := r.Latest(); ok {
		t.Error("a round trip by reports about nothing of ours")
	}
	r.Reported(0x0002_0003, 65536, start.Add(1080*time.Millisecond))
	if d, ok := r.Latest(); !ok || d != 80*time.Millisecond {
		t.Errorf("the round trip is %s", d)
	}
	r.Reported(0x0002_0003, 2*65536, start.Add(time.Second)) // before it was sent
	if d, _ := r.Latest(); d != 80*time.Millisecond {
		t.Errorf("the round trip became %s", d)
	}
}

// TestMOSFollowsTheEModel: known points of G.107, and that all that is bad makes
// it worse.
func TestMOSFollowsTheEModel(t *testing.T) {
	near(t, "a good line", quality.MOS("PCMU", 0, 0, 0), 4.39, 0.03)
	near(t, "1 % loss of G.711", quality.MOS("PCMU", 0.01, 0, 0), 4.31, 0.05)
	near(t, "G.729", quality.MOS("G729", 0, 0, 0), 4.10, 0.05)
	near(t, "all lost", quality.MOS("PCMU", 1, 0, 0), 1, 0.7)
	near(t, "an unknown codec", quality.MOS("X", 0, 0, 0), quality.MOS("PCMU", 0, 0, 0), 0)
	last := 5.0
	for _, mos := range []float64{quality.MOS("PCMU", 0, 0, 0), quality.MOS("PCMU", 0.02, 0, 0),
		quality.MOS("PCMU", 0.02, 30*time.Millisecond, 0), quality.MOS("PCMU", 0.02, 30*time.Millisecond, 300*time.Millisecond),
		quality.MOS("PCMU", 0.2, 30*time.Millisecond, 300*time.Millisecond)} {
		if mos >= last || mos < 1 || mos > 4.5 {
			t.Errorf("%v after %v", mos, last)
		}
		last = mos
	}
}
