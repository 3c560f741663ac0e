package prompt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/zaf/g711"
)

// Rate of prompts, Hz; MaxSeconds is the longest that is taken.
const (
	Rate       = 8000
	MaxSeconds = 60
)

// ReadWAV reads a WAV file (RIFF): PCM of 16 bits, or G.711, mono or stereo, 8
// to 48 kHz. It returns 8 kHz mono.
func ReadWAV(raw []byte) ([]int16, error) {
	if len(raw) < 12 || string(raw[:4]) != "RIFF" || string(raw[8:12]) != "WAVE" {
		return nil, errors.New("it isn't a WAV file")
	}
	var format, data []byte
	for rest := raw[12:]; len(rest) >= 8; {
		n := min(int(binary.LittleEndian.Uint32(rest[4:])), len(rest)-8)
		switch body := rest[8 : 8+n]; string(rest[:4]) {
		case "fmt ":
			format = body
		case "data":
			data = body
		}
		rest = rest[min(8+n+n%2, len(rest)):]
	}
	if len(format) < 16 || data == nil {
		return nil, errors.New("the WAV file has no format or no data")
	}
	channels := int(binary.LittleEndian.Uint16(format[2:]))
	rate := int(binary.LittleEndian.Uint32(format[4:]))
	if channels < 1 || channels > 2 || rate < Rate || rate > 48000 {
		return nil, fmt.Errorf("the WAV file has %d channels at %d Hz; mono or stereo at 8000 to 48000 Hz is taken", channels, rate)
	}
	samples, err := decode(data, binary.LittleEndian.Uint16(format), binary.LittleEndian.Uint16(format[14:]))
	if err != nil {
		return nil, err
	}
	if len(samples)/channels > MaxSeconds*rate {
		return nil, fmt.Errorf("the WAV file is longer than %d s", MaxSeconds)
	}
	return resample(mono(samples, channels), rate), nil
}

func decode(data []byte, format, bits uint16) ([]int16, error) {
	switch {
	case format == 1 && bits == 16, format == 0xfffe && bits == 16: // PCM, and its extensible form
		out := make([]int16, len(data)/2)
		for i := range out {
			out[i] = int16(binary.LittleEndian.Uint16(data[2*i:]))
		}
		return out, nil
	case format == 6 && bits == 8, format == 7 && bits == 8:
		one := g711.DecodeAlawFrame
		if format == 7 {
			one = g711.DecodeUlawFrame
		}
		out := make([]int16, len(data))
		for i, b := range data {
			out[i] = one(b)
		}
		return out, nil
	}
	return nil, fmt.Errorf("the WAV file's coding (%d, %d bits) isn't taken; 16-bit PCM and G.711 are", format, bits)
}

func mono(in []int16, channels int) []int16 {
	if channels == 1 {
		return in
	}
	out := make([]int16, len(in)/2)
	for i := range out {
		out[i] = int16((int(in[2*i]) + int(in[2*i+1])) / 2)
	}
	return out
}

// resample brings audio to 8 kHz by a windowed sinc that cuts off what 8 kHz
// can't hold.
func resample(in []int16, rate int) []int16 {
	if rate == Rate {
		return in
	}
	const zeros = 16 // of the sinc, to each side
	step := float64(rate) / Rate
	out := make([]int16, int(float64(len(in))/step))
	for i := range out {
		centre := float64(i) * step
		from, to := int(centre-zeros*step), int(centre+zeros*step)
		sum, weight := 0.0, 0.0
		for j := max(from, 0); j <= min(to, len(in)-1); j++ {
			x := (float64(j) - centre) / step
			w := sinc(0.95*x) * (0.5 + 0.5*math.Cos(math.Pi*x/zeros))
			sum += w * float64(in[j])
			weight += w
		}
		if weight != 0 {
			sum /= weight
		}
		out[i] = int16(math.Max(math.MinInt16, math.Min(math.MaxInt16, math.Round(sum))))
	}
	return out
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// Tidy cuts silence from both ends but for a little, and brings the loudest
// sample to 3 dB below full scale.
func Tidy(in []int16) []int16 {
	loudest := 0
	for _, s := range in {
		loudest = max(loudest, abs(s))
	}
	if loudest == 0 {
		return in
	}
	first, last := 0, len(in)-1
	for first < last && abs(in[first]) < loudest/100 {
		first++
	}
	for last > first && abs(in[last]) < loudest/100 {
		last--
	}
	const lead, tail = Rate / 5, Rate / 4
	first, last = max(first-lead, 0), min(last+tail, len(in)-1)
	gain := 0.7 * math.MaxInt16 / float64(loudest)
	out := make([]int16, last-first+1)
	for i := range out {
		out[i] = int16(math.Round(float64(in[first+i]) * gain))
	}
	return out
}

func abs(s int16) int {
	if s < 0 {
		return -int(s)
	}
	return int(s)
}

// WriteWAV makes a WAV file of 8 kHz mono.
func WriteWAV(pcm []int16) []byte {
	out := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	out = binary.LittleEndian.AppendUint32(out, Rate)
	out = binary.LittleEndian.AppendUint32(out, 2*Rate)
	out = append(out, 2, 0, 16, 0, 'd', 'a', 't', 'a')
	out = binary.LittleEndian.AppendUint32(out, uint32(2*len(pcm)))
	for _, s := range pcm {
		out = binary.LittleEndian.AppendUint16(out, uint16(s))
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}
