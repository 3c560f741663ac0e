package dtmf_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zaf/g711"

	"consentgate/media/dtmf"
)

// sound is a key's tones and where they err.
type sound struct {
	key         byte
	ms          float64
	level       float64 // dBm0 of the row's tone
	twist       float64 // dB by which the column's is stronger
	row, column float64 // errors of frequency, of 1
}

const pad = "123A456B789C*0#D"

// play adds a key to audio, from a sample on.
func (s sound) play(pcm []int16, from int) {
	k := strings.IndexByte(pad, s.key)
	row := []float64{697, 770, 852, 941}[k/4] * (1 + s.row)
	column := []float64{1209, 1336, 1477, 1633}[k%4] * (1 + s.column)
	a := 32124 * math.Pow(10, (s.level-3.14)/20)
	b := a * math.Pow(10, s.twist/20)
	for i := range int(s.ms * 8) {
		t := 2 * math.Pi * float64(i) / dtmf.Rate
		pcm[from+i] += int16(a*math.Sin(row*t) + b*math.Sin(column*t+1))
	}
}

// coded is audio after G.711's mu-law.
func coded(pcm []int16) []int16 {
	for i, s := range pcm {
		pcm[i] = g711.DecodeUlawFrame(g711.EncodeUlawFrame(s))
	}
	return pcm
}

// hear feeds audio in packets of n samples, and returns the keys found.
func hear(pcm []int16, n int) (keys string) {
	var tones dtmf.Tones
	for len(pcm) > 0 {
		n := min(n, len(pcm))
		if k := tones.Feed(pcm[:n]); k != 0 {
			keys += string(rune(k))
		}
		pcm = pcm[n:]
	}
	return keys
}

// TestTonesThatQ24AllowsAreKeys: 40 ms, wherever in the packets they begin, with
// the errors that a telephone may have.
func TestTonesThatQ24AllowsAreKeys(t *testing.T) {
	for _, s := range []sound{
		{level: -10}, {level: -25}, {level: -4},
		{level: -25, row: 0.015, column: 0.015}, {level: -25, row: -0.015, column: -0.015},
		{level: -25, row: 0.015, column: -0.015}, {level: -25, row: -0.015, column: 0.015},
		{level: -25, twist: -8}, {level: -25, twist: 4}, {level: -5, twist: -8},
		{level: -17, twist: -8, row: -0.015, column: 0.015}, {level: -25, twist: 4, row: 0.015, column: -0.015},
	} {
		for _, s.key = range []byte(pad) {
			s.ms = 40
			for at := range 40 {
				pcm := make([]int16, 1600)
				s.play(pcm, 400+at*4)
				if got := hear(coded(pcm), 160); got != string(s.key) {
					t.Errorf("%+v at %d: %q", s, at, got)
				}
			}
		}
	}
}

// TestTonesThatQ24RefusesAreNoKeys.
func TestTonesThatQ24RefusesAreNoKeys(t *testing.T) {
	for _, s := range []sound{
		{ms: 23, level: -10}, {ms: 100, level: -45},
		{ms: 100, level: -10, row: 0.035}, {ms: 100, level: -10, row: -0.035},
		{ms: 100, level: -10, column: 0.035}, {ms: 100, level: -10, column: -0.035},
		{ms: 100, level: -10, twist: -12}, {ms: 100, level: -10, twist: 8},
		{ms: 100, level: -10, twist: -60}, {ms: 100, level: -60, twist: 50}, // one tone alone
	} {
		for _, s.key = range []byte(pad) {
			for at := range 40 {
				pcm := make([]int16, 2400)
				s.play(pcm, 400+at*4)
				if got := hear(coded(pcm), 160); got != "" {
					t.Errorf("%+v at %d: %q", s, at, got)
				}
			}
		}
	}
}

// TestKeysAreHeardInNoise 15 dB below them, in packets of any length.
func TestKeysAreHeardInNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{40, 80, 100, 160, 240, 480} {
		missed := 0
		for i := range 1000 {
			pcm := make([]int16, 1600)
			s := sound{key: pad[i%16], ms: 60, level: -20}
			s.play(pcm, 400+r.IntN(160))
			noise := 32124 * math.Pow(10, (s.level-3.14)/20) // of both tones
			for j := range pcm {
				pcm[j] += int16(r.NormFloat64() * noise * math.Pow(10, -15.0/20))
			}
			if hear(coded(pcm), n) != string(s.key) {
				missed++
			}
		}
		if missed > 0 {
			t.Errorf("packets of %d samples: %d of 1000 missed", n, missed)
		}
	}
}

// TestAPausePartsKeysAndABreakDoesNot.
func TestAPausePartsKeysAndABreakDoesNot(t *testing.T) {
	for _, c := range []struct {
		pause int // ms
		keys  string
	}{{5, "5"}, {10, "5"}, {25, "55"}, {40, "55"}} {
		for at := range 40 {
			pcm := make([]int16, 3200)
			s := sound{key: '5', ms: 60, level: -15}
			s.play(pcm, 400+at*4)
			s.play(pcm, 400+at*4+480+c.pause*8)
			if got := hear(coded(pcm), 160); got != c.keys {
				t.Errorf("a pause of %d ms, at %d: %q", c.pause, at, got)
			}
		}
	}
}

// TestWhatFlickersIsNoKey: a voice's harmonics come by a key's frequencies again and
// again, and don't stay.
func TestWhatFlickersIsNoKey(t *testing.T) {
	for _, key := range []byte(pad) {
		for at := range 40 {
			pcm := make([]int16, 3200)
			for n := range 6 {
				sound{key: key, ms: 18, level: -20}.play(pcm, 400+at*4+n*31*8)
			}
			if got := hear(coded(pcm), 160); got != "" {
				t.Errorf("%c at %d: %q", key, at, got)
			}
		}
	}
}

// TestNoneOfAThousandKeysIsMissed: 40 ms, -25 dBm0, a fiftieth of the packets lost,
// whether the tones fill packets or begin anywhere in them; but those of which
// less than 12 ms came in one piece.
func TestNoneOfAThousandKeysIsMissed(t *testing.T) {
	for seed := range uint64(10) {
		for _, aligned := range []bool{true, false} {
			missed, wrong, gone, lost := lossy(seed, aligned)
			if missed+wrong > 0 || lost < 100 {
				t.Errorf("seed %d, aligned %t: %d missed, %d wrong, with %d packets lost", seed, aligned, missed, wrong, lost)
			}
			if gone > 1 || seed == 1 && gone > 0 {
				t.Errorf("seed %d, aligned %t: %d keys went with their packets", seed, aligned, gone)
			}
		}
	}
}

// lossy sends 1,000 keys over a line that loses packets. gone are those missed of
// which next to nothing came.
func lossy(seed uint64, aligned bool) (missed, wrong, gone, lost int) {
	const packet, slot = 160, 6 * 160
	r := rand.New(rand.NewPCG(seed, 3))
	var tones dtmf.Tones
	for range 1000 {
		s := sound{key: pad[r.IntN(16)], ms: 40, level: -25}
		pcm, begin := make([]int16, slot), packet
		if !aligned {
			begin += r.IntN(packet)
		}
		s.play(pcm, begin)
		coded(pcm)
		found, piece, most := "", 0, 0
		for at := 0; at < slot; at += packet {
			if r.IntN(50) == 0 {
				tones.Lose(packet)
				lost++
				piece = 0
				continue
			}
			piece += max(min(at+packet, begin+320)-max(at, begin), 0)
			most = max(most, piece)
			if k := tones.Feed(pcm[at : at+packet]); k != 0 {
				found += string(rune(k))
			}
		}
		switch {
		case found == string(s.key):
		case found != "":
			wrong++
		case most < 12*8:
			gone++
		default:
			missed++
		}
	}
	return missed, wrong, gone, lost
}

// TestAKeysSpanIsKnown: after it has ended, its samples are Keyed and those around
// it Clean; until then none of them is taken for Clean.
func TestAKeysSpanIsKnown(t *testing.T) {
	for at := range 40 {
		for _, ms := range []float64{40, 75, 300} {
			begin := 1600 + at*4
			end := begin + int(ms*8)
			pcm := make([]int16, 4800)
			s := sound{key: '7', ms: ms, level: -20}
			s.play(pcm, begin)
			coded(pcm)
			var tones dtmf.Tones
			verdicts := make([]dtmf.Verdict, len(pcm)/8)
			for i := 0; i < len(pcm); i += 80 {
				tones.Feed(pcm[i : i+80])
				for j := range (i + 80) / 8 { // each ms, once it is decided
					if v := &verdicts[j]; *v < dtmf.Clean {
						*v = tones.Judge(int64(j*8), int64(j*8+8))
					}
				}
			}
			for j, v := range verdicts {
				in := (j+1)*8 > begin && j*8 < end
				near := (j+1)*8 > begin-120 && j*8 < end+120
				late := j*8 > len(pcm)-200
				if in && v != dtmf.Keyed || !near && !late && v != dtmf.Clean {
					t.Errorf("%v ms from %d: sample %d is %d", ms, begin, j*8, v)
				}
			}
		}
	}
}

// TestAKeyBesideALossIsKeyedOnItsOtherSide: where a packet was lost in the middle
// of it, what came of it before and after is no audio to keep.
func TestAKeyBesideALossIsKeyedOnItsOtherSide(t *testing.T) {
	for at := 8; at < 160; at += 8 {
		begin := 1600 + at
		pcm := make([]int16, 3200)
		sound{key: '7', ms: 40, level: -20}.play(pcm, begin)
		coded(pcm)
		var tones dtmf.Tones
		verdicts := make([]dtmf.Verdict, len(pcm)/160)
		for i := range verdicts {
			if i == 11 {
				tones.Lose(160)
			} else {
				tones.Feed(pcm[i*160 : i*160+160])
			}
			for j := range i + 1 {
				if v := &verdicts[j]; *v < dtmf.Clean {
					*v = tones.Judge(int64(j*160), int64(j*160+160))
				}
			}
		}
		if verdicts[10] != dtmf.Keyed || verdicts[12] != dtmf.Keyed || verdicts[8] != dtmf.Clean || verdicts[15] != dtmf.Clean {
			t.Errorf("a key from %d: %v", begin, verdicts)
		}
	}
}

// FuzzTones: no audio, lengths of packets and losses make it fail; verdicts that
// are final stay; and where nothing is lost, packets' lengths don't matter.
func FuzzTones(f *testing.F) {
	pcm := make([]int16, 1600)
	sound{key: '1', ms: 60, level: -10}.play(pcm, 300)
	seed := make([]byte, len(pcm))
	for i, s := range pcm {
		seed[i] = g711.EncodeUlawFrame(s)
	}
	f.Add(seed, uint8(160), uint16(0))
	f.Add(seed, uint8(40), uint16(700))
	f.Fuzz(func(t *testing.T, audio []byte, length uint8, lost uint16) {
		pcm := make([]int16, len(audio))
		for i, b := range audio {
			pcm[i] = g711.DecodeUlawFrame(b)
		}
		n := int(length) + 1
		if lost == 0 && hear(pcm, n) != hear(pcm, 160) {
			t.Errorf("%q in packets of %d, %q in packets of 160", hear(pcm, n), n, hear(pcm, 160))
		}
		var tones dtmf.Tones
		final := map[int64]dtmf.Verdict{}
		for i := 0; i < len(pcm); i += n {
			if lost > 0 && i/n%7 == int(lost)%7 {
				tones.Lose(1 + int(lost)%480)
			}
			tones.Feed(pcm[i:min(i+n, len(pcm))])
			for at := max(0, tones.End()-1000); at < tones.End(); at += 50 {
				v := tones.Judge(at, at+1)
				if was, ok := final[at]; ok && was == dtmf.Clean && v != was {
					t.Fatalf("sample %d was clean, and is %d", at, v)
				}
				if v >= dtmf.Clean {
					final[at] = v
				}
			}
		}
	})
}

// cpu is the process's CPU time so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTones is a packet of 20 ms.
func BenchmarkTones(b *testing.B) {
	for _, s := range []struct {
		name string
		pcm  []int16
	}{{"silence", make([]int16, 160)}, {"speech", func() []int16 {
		pcm := make([]int16, 160)
		for i := range pcm {
			pcm[i] = int16(8000*math.Sin(float64(i)*0.3) + 3000*math.Sin(float64(i)*0.13))
		}
		return pcm
	}()}, {"key", func() []int16 {
		pcm := make([]int16, 160)
		sound{key: '1', ms: 20, level: -10}.play(pcm, 0)
		return pcm
	}()}} {
		b.Run(s.name, func(b *testing.B) {
			var tones dtmf.Tones
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				tones.Feed(s.pcm)
			}
			b.ReportMetric(float64((cpu()-start).Nanoseconds())/1000/float64(b.N), "us-cpu/packet")
		})
	}
}
