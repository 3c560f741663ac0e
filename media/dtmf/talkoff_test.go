package dtmf_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zaf/g711"

	"consentgate/media/dtmf"
)

// speakers are espeak-ng's languages and voices, which differ in phonemes, pitch
// and timbre.
var (
	languages = strings.Fields("en-gb en-us en-gb-scotland en-029 de fr es it pt-br nl pl ru sv fi tr el hu cs ro hi cmn ar vi sw")
	voices    = strings.Fields("f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt4 croak whisper whisperf grandma grandpa " +
		"belinda linda steph2 steph3 anika aunty adam boris caleb edward john max miguel pablo victor zac")
	words = strings.Fields("the of and a to in is you that it he was for on are as with his they I at be this have from or one had " +
		"by word but not what all were we when your can said there use an each which she do how their if will up other about out " +
		"many then them these so some her would make like him into time has look two more write go see number no way could people " +
		"my than first water been call who oil its now find long down day did get come made may part over new sound take only little " +
		"work know place year live me back give most very after thing our just name good sentence man think say great where help " +
		"through much before line right too mean old any same tell boy follow came want show also around farm three small set put end " +
		"does another well large must big even such because turn here why ask went men read need land different home us move try kind " +
		"hand picture again change off play spell air away animal house point page letter mother answer found study still learn should " +
		"account invoice delivery insurance contract appointment Wednesday thirty-seven forty zero double hello yes certainly thank")
)

// TestNobodyIsTakenForAKey: no key is found in speech and music of many voices,
// with and without lost packets. TALKOFF is how much of it, 30 minutes where it
// isn't said, and TALKOFF_SEED the first seed. The same seed makes the same
// audio, but for what espeak-ng leaves to chance.
func TestNobodyIsTakenForAKey(t *testing.T) {
	for _, tool := range []string{"espeak-ng", "sox"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	total, err := time.ParseDuration(cmp.Or(os.Getenv("TALKOFF"), "30m"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.ParseUint(cmp.Or(os.Getenv("TALKOFF_SEED"), "0"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard, people time.Duration
	var speakers sync.WaitGroup
	seeds := make(chan uint64)
	for range 2 {
		speakers.Go(func() {
			for seed := range seeds {
				pcm, what, err := speech(seed)
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				for _, found := range listenTo(pcm, seed) {
					t.Errorf("seed %d, %s: %s", seed, what, found)
				}
				mu.Lock()
				long := time.Duration(len(pcm)) * time.Second / dtmf.Rate
				heard += long
				if strings.HasPrefix(what, "recording") {
					people += long
				}
				mu.Unlock()
			}
		})
	}
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return heard >= total
	}
	for seed := first; !enough(); seed++ {
		seeds <- seed
	}
	close(seeds)
	speakers.Wait()
	t.Logf("%s of speech, %s of it of people", heard.Round(time.Second), people.Round(time.Second))
}

// listenTo feeds audio in packets of 20 ms through G.711, loses a fiftieth of them
// with every other seed, and returns the keys found.
func listenTo(pcm []int16, seed uint64) (found []string) {
	var tones dtmf.Tones
	r := rand.New(rand.NewPCG(seed, 2))
	for at := 0; at+160 <= len(pcm); at += 160 {
		if seed%2 == 1 && r.IntN(50) == 0 {
			tones.Lose(160)
			continue
		}
		packet := make([]int16, 160)
		for i, s := range pcm[at : at+160] {
			if seed%4 < 2 {
				packet[i] = g711.DecodeUlawFrame(g711.EncodeUlawFrame(s))
			} else {
				packet[i] = g711.DecodeAlawFrame(g711.EncodeAlawFrame(s))
			}
		}
		if k := tones.Feed(packet); k != 0 {
			found = append(found, fmt.Sprintf("%c at %d ms", k, at/8))
		}
	}
	return found
}

// speech is about a minute of somebody: a voice, rate, pitch, level, line and
// background by the seed. Each fifth is recorded people, where recordings
// are installed.
func speech(seed uint64) (pcm []int16, what string, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	line := []string{}
	if r.IntN(2) == 0 {
		line = []string{"sinc", "300-3400"} // a telephone's band: harmonics without their fundamental
	}
	source := "espeak-ng"
	if files := recordings(); len(files) > 0 && seed%5 == 4 {
		pcm, what, err = recorded(r, files, line)
		source = "recording"
	} else {
		pcm, what, err = spoken(r, line)
	}
	if err != nil {
		return nil, what, err
	}
	level := -8 - 20*r.Float64() // dB, the loudest sample
	scale(pcm, 32767*math.Pow(10, level/20))
	background := r.IntN(4)
	switch background {
	case 1:
		for i := range pcm {
			pcm[i] += int16(r.NormFloat64() * 150)
		}
	case 2:
		music(r, pcm)
	}
	return pcm, fmt.Sprintf("%s %s %v, %.0f dB, background %d", source, what, line, level, background), nil
}

func spoken(r *rand.Rand, line []string) ([]int16, string, error) {
	voice := pick(r, languages) + "+" + pick(r, voices)
	rate, pitch := strconv.Itoa(90+r.IntN(220)), strconv.Itoa(r.IntN(100))
	what := voice + " -s " + rate + " -p " + pitch
	speaker := exec.Command("espeak-ng", "-v", voice, "-s", rate, "-p", pitch, "--stdin", "--stdout")
	speaker.Stdin = strings.NewReader(text(r))
	wav, err := speaker.Output()
	if err != nil {
		return nil, what, fmt.Errorf("espeak-ng: %w", err)
	}
	pcm, err := sox(wav, append([]string{"-t", "wav", "-"}, raw...), line)
	return pcm, what, err
}

var raw = []string{"-t", "raw", "-r", "8000", "-e", "signed", "-b", "16", "-c", "1", "-"}

func sox(in []byte, args, effects []string) ([]int16, error) {
	cmd := exec.Command("sox", append(append(append([]string{"-V1"}, args...), "gain", "-9"), effects...)...)
	cmd.Stdin = bytes.NewReader(in)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("sox: %w: %s", err, said.String())
	}
	pcm := make([]int16, len(out)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(out[2*i:]))
	}
	return pcm, nil
}

// text is for about a minute: sentences of words, numbers and syllables.
func text(r *rand.Rand) string {
	var b strings.Builder
	for range 16 {
		for range 5 + r.IntN(9) {
			switch r.IntN(8) {
			case 0:
				fmt.Fprint(&b, r.IntN(10000), " ")
			case 1:
				for range 2 + r.IntN(3) {
					b.WriteString(pick(r, strings.Fields("ba bo di du ee fa go hi ja ki la lu mi mo na oo pi ra si so ta tu vi wo ya zu")))
				}
				b.WriteByte(' ')
			default:
				b.WriteString(pick(r, words) + " ")
			}
		}
		b.WriteString(pick(r, []string{". ", "? ", "! ", ", "}))
	}
	return b.String()
}

func pick(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

// recordings are the prompts that packages bring, spoken by people.
var recordings = sync.OnceValue(func() (files []string) {
	_ = filepath.WalkDir("/usr/share/asterisk/sounds", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".wav" || !e.Type().IsRegular() {
			return err
		}
		if i, err := e.Info(); err == nil && i.Size() > 1000 {
			files = append(files, path)
		}
		return nil
	})
	return files
})

// recorded is a minute of prompts, at another speed, so another pitch, each time.
func recorded(r *rand.Rand, files, line []string) (pcm []int16, what string, err error) {
	args := []string{}
	for range 25 {
		args = append(args, pick(r, files))
	}
	speed := fmt.Sprintf("%.3f", 0.85+0.4*r.Float64())
	pcm, err = sox(nil, append(args, raw...), append([]string{"speed", speed}, line...))
	return pcm, strings.Join(args, " ") + " speed " + speed, err
}

// music adds chords of instruments that have harmonics, in tempered notes.
func music(r *rand.Rand, pcm []int16) {
	for at := 0; at < len(pcm); {
		n := min(dtmf.Rate/8+r.IntN(dtmf.Rate), len(pcm)-at)
		for range 1 + r.IntN(4) {
			f := 220 * math.Pow(2, float64(r.IntN(36))/12)
			loud := 200 + 1800*r.Float64()
			bright := 0.3 + 0.5*r.Float64() // each harmonic beside the one before
			for i := range n {
				a := loud * math.Exp(-float64(i)/dtmf.Rate*2)
				for h := 1.0; h <= 6 && h*f < 3600; h++ {
					pcm[at+i] += int16(a * math.Sin(2*math.Pi*f*h*float64(i)/dtmf.Rate))
					a *= bright
				}
			}
		}
		at += n
	}
}

// scale makes the loudest sample that loud.
func scale(pcm []int16, to float64) {
	top := 1.0
	for _, s := range pcm {
		top = max(top, math.Abs(float64(s)))
	}
	for i, s := range pcm {
		pcm[i] = int16(float64(s) * to / top)
	}
}
