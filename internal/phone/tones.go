package phone

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// keyRows and keyColumns are the tones of keys, Hz (ITU-T Q.23).
var (
	keyRows    = [4]float64{697, 770, 852, 941}
	keyColumns = [4]float64{1209, 1336, 1477, 1633}
)

const keyField = "123A456B789C*0#D"

// PlayKeys presses keys of a telephone that has only tones: each sounds so long,
// with 80 ms of silence around it, in place of what the phone says. It returns
// when they are sent.
func (m *Media) PlayKeys(keys string, d time.Duration) error {
	const quiet = 640
	pcm := make([]int16, quiet)
	for _, key := range []byte(keys) {
		at := strings.IndexByte(keyField, key)
		if at < 0 {
			return fmt.Errorf("no telephone has a key %q", key)
		}
		for i := range int(d * 8000 / time.Second) {
			t := 2 * math.Pi * float64(i) / 8000
			pcm = append(pcm, int16(3000*math.Sin(keyRows[at/4]*t)+3000*math.Sin(keyColumns[at%4]*t)))
		}
		pcm = append(pcm, make([]int16, quiet)...)
	}
	said := make(chan struct{})
	m.mu.Lock()
	m.speech, m.said = append(m.speech, pcm...), said
	m.mu.Unlock()
	select {
	case <-said:
		return nil
	case <-m.quit:
		return errOver
	}
}

// HearsKeys reports whether tones of keys came.
func HearsKeys(ps []Packet) bool {
	var pcm []int16
	for _, s := range samples(ps) {
		pcm = append(pcm, int16(s))
	}
	return KeysSound(pcm)
}

// KeysSound reports whether any 15 ms of audio at 8 kHz are the two tones of a key.
func KeysSound(pcm []int16) bool {
	const window = 120
	for at := 0; at+window <= len(pcm); at += window / 3 {
		energy := 0.0
		for _, s := range pcm[at : at+window] {
			energy += float64(s) * float64(s)
		}
		row, column := loudest(pcm[at:at+window], keyRows), loudest(pcm[at:at+window], keyColumns)
		if whole := energy * window / 2; energy > window*50*50 && row+column > 0.8*whole && row > 0.2*whole && column > 0.2*whole {
			return true
		}
	}
	return false
}

func loudest(pcm []int16, hz [4]float64) (power float64) {
	for _, f := range hz {
		w := 2 * math.Cos(2*math.Pi*f/8000)
		var a, b float64
		for _, s := range pcm {
			a, b = float64(s)+w*a-b, a
		}
		power = max(power, a*a+b*b-w*a*b)
	}
	return power
}
