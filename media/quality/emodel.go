package quality

import "time"

// codec is what a codec costs on the E-model's scale: Ie without loss, and Bpl,
// its robustness to loss (ITU-T G.113 appendix I).
type codec struct{ ie, bpl float64 }

// codecs; G.711 and G.722 with the concealment that today's telephones have.
var codecs = map[string]codec{
	"PCMU": {0, 25.1}, "PCMA": {0, 25.1}, "G722": {0, 25.1}, "L16": {0, 25.1},
	"G729": {11, 19}, "G723": {15, 16.1}, "GSM": {20, 10}, "ILBC": {11, 32}, "OPUS": {0, 20}, "AMR": {5, 10},
}

const (
	// plainR is R of a perfect line (ITU-T G.107 with its default values).
	plainR = 93.2
	// packets is what making a packet and playing it take, beside the network.
	packets = 40 * time.Millisecond
)

// MOS estimates the mean opinion score of one direction, 1 to 4.5: its loss as a
// share, its jitter, and half of the round trips of both sides as its delay. An
// unknown codec is taken for G.711.
func MOS(name string, loss float64, jitter, delay time.Duration) float64 {
	c, ok := codecs[name]
	if !ok {
		c = codecs["PCMU"]
	}
	percent := 100 * min(max(loss, 0), 1)
	impairment := c.ie + (95-c.ie)*percent/(percent+c.bpl) // G.107 section 7.5, random loss
	return score(plainR - delayImpairment(delay+packets+2*jitter) - impairment)
}

// delayImpairment is Id, in its usual short form: 0.024 d, and more from 177.3 ms
// on (R. G. Cole and J. H. Rosenbluth, "Voice over IP Performance Monitoring", 2001).
func delayImpairment(d time.Duration) float64 {
	ms := float64(d) / float64(time.Millisecond)
	id := 0.024 * ms
	if ms > 177.3 {
		id += 0.11 * (ms - 177.3)
	}
	return id
}

// score turns R into a mean opinion score (G.107 annex B).
func score(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}
