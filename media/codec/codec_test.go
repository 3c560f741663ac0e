package codec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"consentgate/media/codec"
)

// all are the codecs by the names that SDP gives them.
func all(t testing.TB) []*codec.Codec {
	t.Helper()
	var out []*codec.Codec
	for _, c := range []struct {
		name  string
		clock int
	}{{"PCMU", 8000}, {"PCMA", 8000}, {"G722", 8000}, {"L16", 8000}, {"L16", 16000}} {
		found := codec.Lookup(c.name, c.clock)
		if found == nil {
			t.Fatalf("there is no %s/%d", c.name, c.clock)
		}
		out = append(out, found)
	}
	return out
}

func sine(hz float64, rate, n int) []int16 {
	out := make([]int16, n)
	for i := range out {
		out[i] = int16(math.Round(8000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return out
}

// noise is a signal that is quiet, loud and clipped in turn, computed without
// rounding, so that it is the same on every machine.
func noise(n int) []int16 {
	out := make([]int16, n)
	x := uint32(1)
	for i := range out {
		x = x*1664525 + 1013904223
		saw := int32(i*i/64%16384) - 8192
		v := saw + int32(x)>>(16+i/800%12)
		out[i] = int16(min(max(v, math.MinInt16), math.MaxInt16))
	}
	return out
}

// snr is how far what differs lies below what was meant, in dB, at the delay that
// fits best.
func snr(want, got []int16) float64 {
	best := math.Inf(-1)
	for delay := range 40 {
		signal, rest := 0.0, 1e-9
		for i := 400; i+delay < min(len(want), len(got)); i++ {
			w, d := float64(want[i]), float64(want[i])-float64(got[i+delay])
			signal += w * w
			rest += d * d
		}
		best = max(best, 10*math.Log10(signal/rest))
	}
	return best
}

func TestOnlyWhatCanBeEncodedIsFound(t *testing.T) {
	for name, clock := range map[string]int{"PCMU": 16000, "G722": 16000, "L16": 44100, "OPUS": 48000, "G729": 8000, "L16/2": 16000} {
		if codec.Lookup(name, clock) != nil {
			t.Errorf("%s/%d was found", name, clock)
		}
	}
}

// TestAudioComesBack: within what the codec is good for, tones in the telephone's
// band and, where it goes further, above it. The figures are what each does, less
// 2 dB; L16 loses nothing.
func TestAudioComesBack(t *testing.T) {
	for i, least := range []map[float64]float64{
		{440: 37, 1000: 41, 2900: 37},
		{440: 37, 1000: 35, 2900: 37},
		{440: 54, 1000: 45, 2900: 42, 5500: 23},
		{440: 150, 1000: 150, 2900: 150},
		{440: 150, 1000: 150, 2900: 150, 5500: 150},
	} {
		c := all(t)[i]
		for hz, db := range least {
			in := sine(hz, c.Rate, c.Rate)
			if got := snr(in, c.NewDecoder().Decode(nil, c.NewEncoder().Encode(nil, in))); got < db {
				t.Errorf("%s/%d at %v Hz: %.1f dB, want %.0f", c.Name, c.Clock, hz, got, db)
			}
		}
	}
}

// TestAPayloadLastsAsLongAsItsAudio, and packets of any length are the same bytes
// as one long one: what a codec remembers goes on from packet to packet.
func TestAPayloadLastsAsLongAsItsAudio(t *testing.T) {
	for _, c := range all(t) {
		in := noise(c.Rate)
		whole := c.NewEncoder().Encode(nil, in)
		if len(whole) != c.Clock*c.Width {
			t.Errorf("%s/%d: a second takes %d bytes", c.Name, c.Clock, len(whole))
		}
		back := c.NewDecoder().Decode(nil, whole)
		if len(back) != c.Rate {
			t.Errorf("%s/%d: a second comes back as %d samples", c.Name, c.Clock, len(back))
		}
		for _, ms := range []int{5, 10, 20, 30, 60, 100} {
			enc, dec := c.NewEncoder(), c.NewDecoder()
			var payload []byte
			var audio []int16
			for packet := range slices.Chunk(in, c.Rate*ms/1000) {
				n := len(payload)
				payload = enc.Encode(payload, packet)
				audio = dec.Decode(audio, payload[n:])
			}
			if !bytes.Equal(payload, whole) || !slices.Equal(audio, back) {
				t.Errorf("%s/%d: packets of %d ms aren't the whole", c.Name, c.Clock, ms)
			}
		}
	}
}

// TestL16IsInNetworkByteOrder, and half a sample isn't one.
func TestL16IsInNetworkByteOrder(t *testing.T) {
	c := codec.Lookup("L16", 16000)
	if got := c.NewEncoder().Encode(nil, []int16{0x1234, -2}); !bytes.Equal(got, []byte{0x12, 0x34, 0xff, 0xfe}) {
		t.Errorf("% x", got)
	}
	if got := c.NewDecoder().Decode(nil, []byte{0x12, 0x34, 0xff}); !slices.Equal(got, []int16{0x1234}) {
		t.Errorf("%x", got)
	}
}

func littleEndian(pcm []int16) []byte {
	var out []byte
	for _, s := range pcm {
		out = binary.LittleEndian.AppendUint16(out, uint16(s))
	}
	return out
}

// TestG722IsBitForBitWhatFFmpegMakes of the same signal, in both directions: a
// coder that nobody here wrote.
func TestG722IsBitForBitWhatFFmpegMakes(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ffmpeg is missing: run 'make peers'")
		}
		t.Skip("NOT TESTED: ffmpeg is missing, run 'make peers'")
	}
	dir := t.TempDir()
	pcm, coded, decoded := filepath.Join(dir, "in.raw"), filepath.Join(dir, "coded.g722"), filepath.Join(dir, "out.raw")
	if err := os.WriteFile(pcm, littleEndian(noise(32000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-f", "s16le", "-ar", "16000", "-ac", "1", "-i", pcm, "-c:a", "g722", "-f", "g722", coded},
		{"-f", "g722", "-i", coded, "-f", "s16le", decoded}} {
		if out, err := exec.Command(ffmpeg, append([]string{"-v", "error"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	theirs, err1 := os.ReadFile(coded)
	theirAudio, err2 := os.ReadFile(decoded)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	c := codec.Lookup("G722", 8000)
	if ours := c.NewEncoder().Encode(nil, noise(32000)); !bytes.Equal(ours, theirs) {
		t.Errorf("%d bytes of ours aren't the %d of ffmpeg", len(ours), len(theirs))
	}
	if ours := littleEndian(c.NewDecoder().Decode(nil, theirs)); !bytes.Equal(ours, theirAudio) {
		t.Errorf("%d bytes of audio of ours aren't the %d of ffmpeg", len(ours), len(theirAudio))
	}
}

// TestG722IsWhatItWas when it was compared with ffmpeg, for machines without it.
func TestG722IsWhatItWas(t *testing.T) {
	c := codec.Lookup("G722", 8000)
	coded := c.NewEncoder().Encode(nil, noise(32000))
	sum := sha256.Sum256(append(coded, littleEndian(c.NewDecoder().Decode(nil, coded))...))
	if got := hex.EncodeToString(sum[:]); got != "1bd8fe0b0895bfdcffc57221cd4efdff828c6c1ee57d38eae15dcaff8114d357" {
		t.Errorf("%s", got)
	}
}

// TestG722AfterSpeechIsQuietForAsLongAsItGoesOn, also when the end of its silence
// is repeated without end: 32 is 60 dB below full scale.
func TestG722AfterSpeechIsQuietForAsLongAsItGoesOn(t *testing.T) {
	c := codec.Lookup("G722", 8000)
	coded := c.NewEncoder().Encode(nil, append(noise(16000), make([]int16, 16000)...))
	for range 200 {
		coded = append(coded, coded[16000-160:16000]...)
	}
	for i, s := range c.NewDecoder().Decode(nil, coded)[17600:] {
		if s > 32 || s < -32 {
			t.Fatalf("%d, %d samples after the end", s, i+1600)
		}
	}
}

// TestAStreamIsDoubled: a tone stays, its mirror image doesn't come.
func TestAStreamIsDoubled(t *testing.T) {
	for _, hz := range []float64{300, 1000, 3400} {
		in, want := sine(hz, 8000, 8000), sine(hz, 16000, 16000)
		got := new(codec.Doubler).Double(nil, in)
		if len(got) != len(want) || snr(want, got) < 35 {
			t.Errorf("%v Hz: %d samples, %.1f dB", hz, len(got), snr(want, got))
		}
		var d codec.Doubler
		var parts []int16
		for part := range slices.Chunk(in, 77) {
			parts = d.Double(parts, part)
		}
		if !slices.Equal(parts, got) {
			t.Errorf("%v Hz: in parts it is another", hz)
		}
	}
}

func TestNothingIsAllocatedWhereThereIsRoom(t *testing.T) {
	for _, c := range all(t) {
		enc, dec, in := c.NewEncoder(), c.NewDecoder(), noise(c.Rate/50)
		payload, audio := make([]byte, 0, 2000), make([]int16, 0, 2000)
		if n := testing.AllocsPerRun(100, func() { dec.Decode(audio, enc.Encode(payload, in)) }); n != 0 {
			t.Errorf("%s/%d: %v allocations a packet", c.Name, c.Clock, n)
		}
	}
}

// FuzzDecode: what strangers send neither panics nor lasts longer than it says.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 1, 2, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, c := range all(t) {
			if got, want := len(c.NewDecoder().Decode(nil, payload)), len(payload)/c.Width*c.Rate/c.Clock; got != want {
				t.Errorf("%s/%d: %d samples of %d bytes, want %d", c.Name, c.Clock, got, len(payload), want)
			}
		}
	})
}

// BenchmarkG722 is 20 ms of a prompt, and of a recording.
func BenchmarkG722(b *testing.B) {
	c := codec.Lookup("G722", 8000)
	in := noise(320)
	coded := c.NewEncoder().Encode(nil, in)
	b.Run("encode", func(b *testing.B) {
		enc, out := c.NewEncoder(), make([]byte, 0, 160)
		for b.Loop() {
			enc.Encode(out, in)
		}
	})
	b.Run("decode", func(b *testing.B) {
		dec, out := c.NewDecoder(), make([]int16, 0, 320)
		for b.Loop() {
			dec.Decode(out, coded)
		}
	})
}
