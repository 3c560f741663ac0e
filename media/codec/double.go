package codec

import "math"

// Doubler brings a stream of 8 kHz to 16 kHz, 1.5 ms later. The zero Doubler is
// ready.
type Doubler struct {
	past [2 * reach]float64 // oldest first
}

// reach is how many samples to each side a new one is made of.
const reach = 12

// between are the weights of the samples round the middle of two: a sinc, cut off
// by a raised cosine.
var between = func() (w [2 * reach]float64) {
	sum := 0.0
	for i := range w {
		x := float64(i) - reach + 0.5
		w[i] = math.Sin(math.Pi*x) / (math.Pi * x) * (1 + math.Cos(math.Pi*x/reach))
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}()

// Double appends two samples for each.
func (d *Doubler) Double(out, in []int16) []int16 {
	for _, s := range in {
		copy(d.past[:], d.past[1:])
		d.past[len(d.past)-1] = float64(s)
		sum := 0.0
		for i, w := range between {
			sum += w * d.past[i]
		}
		middle := math.Round(min(max(sum, math.MinInt16), math.MaxInt16))
		out = append(out, int16(d.past[reach-1]), int16(middle))
	}
	return out
}
