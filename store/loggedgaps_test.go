package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// gappy is ten seconds of a call, not sealed yet, in which something is missing for
// each of the reasons there are: a pause of both, the remote party's hold, two
// losses close together, what the writer dropped, and the local party's silence.
func gappy(t *testing.T, s *store.Store) *store.Recording {
	t.Helper()
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err, r.Format(consent.Remote, 0, "PCMU", 8000), r.Format(consent.Local, 0, "PCMU", 8000))
	at := func(n int) time.Time { return r.End(0).Add(time.Duration(n) * 20 * time.Millisecond) }
	within := func(n, from, to int) bool { return n >= from && n < to }
	local := uint16(0)
	for n := range 500 {
		switch n {
		case 150:
			must(t, r.Gap(consent.Remote, "pause", at(100), at(150)), r.Gap(consent.Local, "pause", at(100), at(150)))
		case 250:
			must(t, r.Gap(consent.Remote, "hold", at(200), at(250)))
		case 360:
			must(t, r.Gap(consent.Remote, "writer-drop", at(350), at(360)))
		}
		pause := within(n, 100, 150)
		lost := within(n, 300, 305) || within(n, 310, 312)
		if !pause && !lost && !within(n, 200, 250) && !within(n, 350, 360) {
			must(t, r.WriteRTP(consent.Remote, at(n), packet(uint16(n), uint32(n*160), 1, 0x11)))
		}
		if within(n, 400, 450) { // it sends nothing, so nothing is lost
			continue
		}
		if local++; !pause {
			must(t, r.WriteRTP(consent.Local, at(n), packet(local, uint32(n*160), 2, 0x22)))
		}
	}
	return r
}

// gapsInLog are those that the log tells of a recording, as lines; ok is false
// where it has none of them, not even that there are none.
func gapsInLog(t *testing.T, s *store.Store, id string) (lines string, ok bool) {
	t.Helper()
	must(t, s.Entries(0, func(e store.Entry) bool {
		var v struct {
			Recording string
			Gaps      *struct {
				List, Rest []struct {
					Party, Cause      string
					From, To, Missing float64
					Times             int
				}
			}
		}
		if e.Type != store.TypeSealed || json.Unmarshal(e.Payload, &v) != nil || v.Recording != id || v.Gaps == nil {
			return true
		}
		ok = true
		for _, g := range append(v.Gaps.List, v.Gaps.Rest...) {
			lines += fmt.Sprintf("%s %s %.2f-%.2f", g.Party, g.Cause, g.From, g.To)
			if g.Times > 0 {
				lines += fmt.Sprintf(" %d %.2f", g.Times, g.Missing)
			}
			lines += "\n"
		}
		return true
	}))
	return lines, ok
}

const gappyInLog = `remote pause 2.00-3.00
local pause 2.00-3.00
remote hold 4.00-5.00
remote loss 6.00-6.24 2 0.14
remote writer-drop 7.00-7.20
local no-rtp 8.00-9.00
`

// TestTheLogTellsWhatASealedRecordingLacksAndWhy: each cause, short ones of one
// cause that lie close together as one, and that there are none where there are
// none; and it goes with an erasure.
func TestTheLogTellsWhatASealedRecordingLacksAndWhy(t *testing.T) {
	t.Parallel()
	s, _ := kit(t)
	r := gappy(t, s)
	must(t, r.Seal(r.End(10), "hang-up"))
	if got, _ := gapsInLog(t, s, r.ID()); got != gappyInLog {
		t.Errorf("the log tells\n%swant\n%s", got, gappyInLog)
	}
	if _, err := s.Check(context.Background(), r.ID()); err != nil {
		t.Error(err)
	}
	whole, err := s.Create(context.Background(), grant(t, s.Audit(), "whole"))
	must(t, err)
	speak(t, whole, whole.End(0), 50)
	must(t, whole.Seal(whole.End(1), "hang-up"))
	if got, ok := gapsInLog(t, s, whole.ID()); got != "" || !ok {
		t.Errorf("of a whole one the log tells %q, %v", got, ok)
	}
	sum, err := s.Get(r.ID())
	must(t, err, s.Erase(context.Background(), sum.Grant, "asked"))
	if _, ok := gapsInLog(t, s, r.ID()); ok {
		t.Error("the gaps of what was erased can still be read")
	}
}

// TestTheLogTellsTheGapsOfARecordingThatACrashCutOff, up to where it was.
func TestTheLogTellsTheGapsOfARecordingThatACrashCutOff(t *testing.T) {
	t.Parallel()
	s, dir := kit(t)
	r := gappy(t, s)
	s.FlushNow()
	dir = copyOf(t, dir)
	after := openStore(t, dir)
	if sum, err := after.Get(r.ID()); err != nil || sum.State != store.StateTruncated {
		t.Fatalf("%+v %v", sum, err)
	}
	if got, _ := gapsInLog(t, after, r.ID()); got != gappyInLog {
		t.Errorf("the log tells\n%swant\n%s", got, gappyInLog)
	}
	if _, err := after.Check(context.Background(), r.ID()); err != nil {
		t.Error(err)
	}
	must(t, after.Close(), r.Seal(r.End(10), "hang-up"))
	verify(t, dir)
}

// TestCheckFindsGapsThatArentThoseOfTheLog although the frames and the file are.
func TestCheckFindsGapsThatArentThoseOfTheLog(t *testing.T) {
	t.Parallel()
	for _, by := range []float64{0, 0.25} {
		var s *store.Store
		var r *store.Recording
		s, err := store.Open(store.StopAt(store.Options{Dir: filepath.Join(t.TempDir(), "data")}, func(p string) {
			if p == "kept" {
				s.MoveLoggedGap(r.ID(), by)
			}
		}))
		must(t, err)
		r = gappy(t, s)
		must(t, r.Seal(r.End(10), "hang-up"))
		_, err = s.Check(context.Background(), r.ID())
		if changed := by > 0; errors.Is(err, store.ErrDamaged) != changed || changed && !strings.Contains(err.Error(), "gap at 2.000 s") {
			t.Errorf("moved by %v s: %v", by, err)
		}
		must(t, s.Close())
	}
}

// TestARecordingIsAsLongAsTheClockSays, whatever is missing in it: in the reading,
// the log, the search, and in samples of each side. Nothing is drawn together.
func TestARecordingIsAsLongAsTheClockSays(t *testing.T) {
	t.Parallel()
	s, _ := kit(t)
	r := gappy(t, s)
	const clock = 12 * time.Second // the last two without a packet
	must(t, r.Seal(r.End(12), "hang-up"))
	reading, err := s.Check(context.Background(), r.ID())
	must(t, err)
	sum, err := s.Get(r.ID())
	must(t, err)
	if reading.Length != clock || sum.Seconds != clock.Seconds() || sum.Ended.Sub(sum.Started) != clock {
		t.Errorf("it is %s long, %v s in the search, ended after %s", reading.Length, sum.Seconds, sum.Ended.Sub(sum.Started))
	}
	wav, _ := render(t, s, r)
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		pcm, rate := track(t, wav, p)
		if len(pcm) != rate*int(clock/time.Second) {
			t.Errorf("%s: %d samples at %d Hz", p, len(pcm), rate)
		}
		told := make([]bool, len(pcm))
		for _, g := range reading.Gaps {
			for i := int(g.From.Seconds() * float64(rate)); g.Party == p && i < int(g.To.Seconds()*float64(rate)); i++ {
				told[i] = true
			}
		}
		wrong := 0
		for i := range pcm {
			if (pcm[i] == 0) != told[i] {
				wrong++
			}
		}
		if wrong > 0 {
			t.Errorf("%s: %d samples are silent outside the gaps, or heard within", p, wrong)
		}
	}
	seconds := 0.0
	must(t, s.Entries(0, func(e store.Entry) bool {
		var v struct{ Seconds float64 }
		if e.Type == store.TypeSealed && json.Unmarshal(e.Payload, &v) == nil {
			seconds = v.Seconds
		}
		return true
	}))
	if seconds != clock.Seconds() {
		t.Errorf("the log says %v s", seconds)
	}
}

// TestTheLogsGapsAreThoseOfTheFileOnABadNetwork: late, early, lost and torn packets,
// other streams, codecs that aren't known. What was found while sealing is found
// again, or a good recording were taken to be damaged.
func TestTheLogsGapsAreThoseOfTheFileOnABadNetwork(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s, _ := kit(t)
	for n := range 8 {
		r, err := s.Create(context.Background(), grant(t, s.Audit(), fmt.Sprint("c", n)))
		must(t, err, r.Format(consent.Remote, 0, "PCMU", 8000), r.Format(consent.Local, 0, "odd", 8000))
		at, ssrc := r.End(0), [2]uint32{1, 2}
		for i := range 600 {
			at = at.Add(time.Duration(rnd.IntN(40)) * time.Millisecond)
			p := consent.Party(rnd.IntN(2))
			raw := packet(uint16(i+rnd.IntN(4)), uint32(i*160), ssrc[p], 0x11)
			switch rnd.IntN(40) {
			case 0:
				raw = raw[:rnd.IntN(len(raw))]
			case 1:
				ssrc[p]++
			case 2:
				at = at.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			case 3:
				must(t, r.Gap(p, "pause", at.Add(-time.Second), at))
			case 4:
				must(t, r.Format(p, 0, []string{"PCMU", "G722", "odd"}[rnd.IntN(3)], 8000))
			}
			must(t, r.WriteRTP(p, at, raw))
		}
		must(t, r.Seal(at.Add(time.Duration(rnd.IntN(3000))*time.Millisecond), "hang-up"))
		got, err := s.Check(context.Background(), r.ID())
		if _, ok := gapsInLog(t, s, r.ID()); err != nil || !ok || len(got.Gaps) == 0 {
			t.Errorf("%d: %d gaps, in the log: %v, %v", n, len(got.Gaps), ok, err)
		}
	}
}
