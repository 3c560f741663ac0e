package prompt

import (
	"math"

	"consentgate/media"
)

// Ringing is the ringing tone that a caller hears while a phone rings: 425 Hz
// for a second, four of silence (ITU-T E.182 section 5.2; ETSI TR 101 041).
func Ringing() *media.Audio {
	const rate, hz, level = 8000, 425, 3000
	pcm := make([]int16, 5*rate)
	for i := range pcm[:rate] {
		pcm[i] = int16(level * math.Sin(2*math.Pi*hz*float64(i)/rate))
	}
	return &media.Audio{ID: "ringing", PCM: pcm}
}
