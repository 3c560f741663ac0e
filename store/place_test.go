package store

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media/codec"
)

// came is a packet of 20 ms of PCMU: its number, when it came in ms, and where it
// must be placed, in ms.
type came struct {
	n       int
	at      int
	want    int
	ssrc    uint32
	shifted uint32 // of its RTP time
}

// TestPacketsAreWhereTheyWereSpoken: by their RTP time, which is tied to the clock
// by those that were under way the shortest.
func TestPacketsAreWhereTheyWereSpoken(t *testing.T) {
	even := func(from, to, late int) (out []came) {
		for n := from; n < to; n++ {
			out = append(out, came{n: n, at: n*20 + late, want: n*20 + late})
		}
		return out
	}
	burst := func(from, to, at int) (out []came) {
		for n := from; n < to; n++ {
			out = append(out, came{n: n, at: at + (n-from)/5, want: n * 20})
		}
		return out
	}
	shift := func(by uint32, ps []came) []came {
		for i := range ps {
			ps[i].shifted = by
		}
		return ps
	}
	for name, stream := range map[string][]came{
		"in step":                          even(0, 100, 0),
		"a burst after a stall of 300 ms":  slices.Concat(even(0, 50, 0), burst(50, 65, 1300), even(65, 100, 0)),
		"a burst after a stall of 1 s":     slices.Concat(even(0, 50, 0), burst(50, 100, 2000), even(100, 150, 0)),
		"a burst after a stall of 5 s":     slices.Concat(even(0, 50, 0), burst(50, 300, 6000), even(300, 350, 0)),
		"a burst at the beginning":         slices.Concat(burst(10, 40, 800), even(40, 100, 0)),
		"a burst at the end":               slices.Concat(even(0, 50, 0), burst(50, 100, 2000)),
		"RTP time stood still for 3 s":     slices.Concat(even(0, 50, 0), even(50, 100, 3000)),
		"RTP time jumped by a minute":      slices.Concat(even(0, 50, 0), shift(60*8000, even(50, 100, 0))),
		"RTP time jumped back by a minute": slices.Concat(even(0, 50, 0), shift(math.MaxUint32-60*8000, even(50, 100, 0))),
		"one packet of another time":       slices.Concat(even(0, 50, 0), shift(77777777, even(50, 51, 0)), even(51, 100, 0)),
		"two that changed places":          slices.Concat(even(0, 50, 0), []came{{n: 51, at: 1020, want: 1020}, {n: 50, at: 1021, want: 1000}}, even(52, 100, 0)),
	} {
		var s stage
		s.learn(content{party: consent.Remote, pt: 0, text: "PCMU", clockRate: 8000})
		var got []int64
		put := func(_ consent.Party, a arrived) { got = append(got, a.at/(ticks/1000)) }
		for _, p := range stream {
			raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(p.n), SSRC: 7 + p.ssrc,
				Timestamp: math.MaxUint32 - 2000 + uint32(p.n*160) + p.shifted}, Payload: make([]byte, 160)}).Marshal()
			must(t, err)
			s.take(content{kind: recRTP, at: time.Duration(p.at) * time.Millisecond, data: raw}, put)
		}
		s.end(put)
		if len(got) != len(stream) {
			t.Fatalf("%s: %d packets of %d", name, len(got), len(stream))
		}
		for i, p := range stream {
			if got[i] != int64(p.want) {
				t.Errorf("%s: packet %d, which came at %d ms, is at %d ms, want %d", name, p.n, p.at, got[i], p.want)
				break
			}
		}
	}
}

// TestPlacingHoldsABoundedNumberOfPackets, whatever their times.
func TestPlacingHoldsABoundedNumberOfPackets(t *testing.T) {
	var p placer
	c := codec.Lookup("PCMU", 8000)
	given, placed := 0, 0
	for i := range 5 * heldMost {
		p.take(arrived{codec: c, ts: uint32(i), payload: make([]byte, 1)}, func(arrived) { placed++ })
		if given++; len(p.held) > heldMost {
			t.Fatalf("%d are held", len(p.held))
		}
	}
	p.settle(func(arrived) { placed++ })
	if placed != given {
		t.Errorf("%d of %d are placed", placed, given)
	}
}

// TestGapsSayWhatIsMissingAndWhy: a party's packets and its gaps together are the
// recording's length, but for less than a packet.
func TestGapsSayWhatIsMissingAndWhy(t *testing.T) {
	ms := time.Millisecond
	at := func(n int) time.Duration { return time.Duration(n) * 20 * ms }
	for name, c := range map[string]struct {
		missing func(n int) bool // of 200 packets of 20 ms
		same    bool             // they have no sequence numbers: the sender paused
		noted   []Gap
		want    string
	}{
		"nothing":                       {func(int) bool { return false }, false, nil, ""},
		"one lost":                      {func(n int) bool { return n == 50 }, false, nil, "loss 1s-1.02s"},
		"some lost":                     {func(n int) bool { return n >= 50 && n < 60 || n == 100 }, false, nil, "loss 1s-1.2s; loss 2s-2.02s"},
		"silence that isn't sent":       {func(n int) bool { return n >= 50 && n < 100 }, true, nil, "no-rtp 1s-2s"},
		"it began late":                 {func(n int) bool { return n < 50 }, false, nil, "no-rtp 0s-1s"},
		"it stopped":                    {func(n int) bool { return n >= 150 }, false, nil, "no-rtp 3s-4s"},
		"a pause":                       {func(n int) bool { return n >= 50 && n < 100 }, false, []Gap{{0, "pause", at(50) + 3*ms, at(100) - 3*ms}}, "pause 1.003s-1.997s"},
		"a pause, and more was lost":    {func(n int) bool { return n >= 50 && n < 100 }, false, []Gap{{0, "pause", at(50), at(90)}}, "pause 1s-1.8s; no-rtp 1.8s-2s"},
		"hold and pause at one time":    {func(n int) bool { return n >= 50 && n < 100 }, false, []Gap{{0, "hold", at(50), at(80)}, {0, "pause", at(70), at(100)}}, "hold 1s-1.6s; pause 1.4s-2s"},
		"the other party's gap":         {func(n int) bool { return n == 50 }, false, []Gap{{1, "hold", at(40), at(60)}}, "1 hold 800ms-1.2s; loss 1s-1.02s"},
		"noted where there are packets": {func(int) bool { return false }, false, []Gap{{0, "dtmf", at(50), at(51)}}, "dtmf 1s-1.02s"},
	} {
		g := gapMap{}
		g.take(content{kind: recFormat, pt: 0, text: "PCMU", clockRate: 8000})
		seq, covered := uint16(65500), time.Duration(0)
		for n := range 200 {
			if !c.same || !c.missing(n) {
				seq++
			}
			if c.missing(n) {
				continue
			}
			covered += 20 * ms
			raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(n * 160)}, Payload: make([]byte, 160)}).Marshal()
			must(t, err)
			g.take(content{kind: recRTP, at: at(n), data: raw})
		}
		got, told := "", time.Duration(0)
		var end time.Duration
		for _, gap := range g.gaps(c.noted, 4*time.Second) {
			if gap.Party != 0 && gap.Cause == CauseNoRTP { // the other party said nothing
				continue
			}
			if got != "" {
				got += "; "
			}
			if gap.Party != 0 {
				got += "1 "
			} else if gap.Cause != "dtmf" {
				told += max(0, gap.To-max(gap.From, end))
				end = max(end, gap.To)
			}
			got += fmt.Sprintf("%s %s-%s", gap.Cause, gap.From, gap.To)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if diff := covered + told - 4*time.Second; diff.Abs() >= 20*ms {
			t.Errorf("%s: packets and gaps are %s, want 4s", name, covered+told)
		}
	}
}
