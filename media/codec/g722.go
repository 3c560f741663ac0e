package codec

// G.722 at 64 kbit/s (mode 1), as ITU-T G.722 section 6 computes it: two bands of
// 4 kHz, each coded by ADPCM whose step and predictor follow what was coded. The
// names in brackets are those of the Recommendation.

type g722Encoder struct {
	low, high band
	split     mirror
}

type g722Decoder struct {
	low, high band
	join      mirror
}

func newG722Encoder() *g722Encoder { return &g722Encoder{low: band{step: 32}, high: band{step: 8}} }
func newG722Decoder() *g722Decoder { return &g722Decoder{low: band{step: 32}, high: band{step: 8}} }

// Encode takes 16 kHz audio and makes one byte of each two samples.
func (e *g722Encoder) Encode(payload []byte, audio []int16) []byte {
	for ; len(audio) >= 2; audio = audio[2:] {
		e.split.push(int(audio[0]), int(audio[1]))
		a, b := e.split.filter()
		payload = append(payload, e.codeHigh((b-a)>>14)<<6|e.codeLow((a+b)>>14))
	}
	return payload
}

// Decode makes two samples of each byte.
func (d *g722Decoder) Decode(audio []int16, payload []byte) []int16 {
	for _, code := range payload {
		low := clip(d.low.estimate+d.low.step*fineLevels[code&0x3f]>>15, 14)
		d.low.stepLow(code & 0x3f)
		high := clip(d.high.estimate+d.high.step*highLevels[code>>6]>>15, 14)
		d.high.stepHigh(code >> 6)
		d.join.push(low+high, low-high)
		a, b := d.join.filter()
		audio = append(audio, int16(clip(b>>11, 15)), int16(clip(a>>11, 15)))
	}
	return audio
}

// codeLow finds the 6 bits whose interval holds what the predictor missed
// [QUANTL].
func (e *g722Encoder) codeLow(in int) uint8 {
	missed := clip(in-e.low.estimate, 15)
	size, negative := missed, missed < 0
	if negative {
		size = -missed - 1
	}
	n := 0
	for n < len(lowDecisions) && size >= lowDecisions[n]*e.low.step>>12 {
		n++
	}
	// Codes count down from 61, those of negative differences from 31. That would
	// come to 3 and 2 in the end, which mustn't be sent, for in the modes of fewer
	// bits only zeros would be left of them: the two smallest have the last codes.
	code := uint8(61 - n)
	if negative {
		if code = uint8(63 - n); n >= 2 {
			code = uint8(33 - n)
		}
	}
	e.low.stepLow(code)
	return code
}

// codeHigh finds the 2 bits of the upper band [QUANTH].
func (e *g722Encoder) codeHigh(in int) uint8 {
	missed := clip(in-e.high.estimate, 15)
	size, code := missed, uint8(3)
	if missed < 0 {
		size, code = -missed-1, 1
	}
	if size >= 564*e.high.step>>12 {
		code--
	}
	e.high.stepHigh(code)
	return code
}

// band is what both ends of one band know: they compute it from the codes alone.
type band struct {
	estimate int // of the next sample [SL, SH]
	zeros    int // the zeros' part of it [SZ]
	log      int // logarithm of the step [NBL, NBH]
	step     int // [DETL, DETH]

	poles   [2]int // coefficients [AL1, AL2]
	rebuilt [2]int // the latest samples as the far end has them [RLT]
	partial [2]int // signs of the latest differences and zeros' parts [PLT]
	zero    [6]int // coefficients [BL]
	diffs   [6]int // the latest differences, quantized [DLT]
}

// stepLow adapts to a code of the lower band; the predictor sees only its upper 4
// bits, which every mode of G.722 sends.
func (b *band) stepLow(code uint8) {
	coarse := code >> 2
	b.predict(b.step * coarseLevels[coarse] >> 15)
	b.adapt(lowGains[coarse], 18432, 8)
}

func (b *band) stepHigh(code uint8) {
	b.predict(b.step * highLevels[code] >> 15)
	b.adapt(highGains[code&1], 22528, 10)
}

// adapt makes steps larger after large codes, and smaller otherwise [LOGSCL,
// SCALEL].
func (b *band) adapt(gain, most, shift int) {
	b.log = min(max(b.log*127>>7+gain, 0), most)
	b.step = exponentials[b.log>>6&31]
	if shift -= b.log >> 11; shift >= 0 {
		b.step >>= shift
	} else {
		b.step <<= -shift
	}
	b.step <<= 2
}

// predict takes the latest difference into the predictor, and estimates the next
// sample.
func (b *band) predict(diff int) {
	sample, partial := clip(b.estimate+diff, 15), clip(b.zeros+diff, 15)
	b.adaptPoles(partial)
	b.adaptZeros(diff)
	b.rebuilt = [2]int{sample, b.rebuilt[0]}
	b.partial = [2]int{partial, b.partial[0]}
	copy(b.diffs[1:], b.diffs[:5])
	b.diffs[0] = diff

	b.zeros = 0
	for i, c := range b.zero {
		b.zeros += c * clip(2*b.diffs[i], 15) >> 15
	}
	b.zeros = clip(b.zeros, 15)
	poles := b.poles[0]*clip(2*b.rebuilt[0], 15)>>15 + b.poles[1]*clip(2*b.rebuilt[1], 15)>>15
	b.estimate = clip(clip(poles, 15)+b.zeros, 15)
}

// adaptPoles moves the two poles by the signs of the latest three partial
// samples, within the bounds that keep the filter stable [UPPOL1, UPPOL2].
func (b *band) adaptPoles(partial int) {
	first := clip(4*b.poles[0], 15)
	if same(partial, b.partial[0]) {
		first = min(-first, 1<<15-1)
	}
	second := first>>7 + signed(128, same(partial, b.partial[1])) + b.poles[1]*32512>>15
	second = min(max(second, -12288), 12288)
	first = clip(signed(192, same(partial, b.partial[0]))+b.poles[0]*32640>>15, 15)
	bound := clip(15360-second, 15)
	b.poles = [2]int{min(max(first, -bound), bound), second}
}

// adaptZeros moves the six zeros by the signs of the differences [UPZERO].
func (b *band) adaptZeros(diff int) {
	by := 128
	if diff == 0 {
		by = 0
	}
	for i, c := range b.zero {
		b.zero[i] = clip(signed(by, same(diff, b.diffs[i]))+c*32640>>15, 15)
	}
}

func same(a, b int) bool { return (a < 0) == (b < 0) }

func signed(n int, plus bool) int {
	if plus {
		return n
	}
	return -n
}

// clip keeps a number within so many bits and a sign.
func clip(n, bits int) int { return min(max(n, -1<<bits), 1<<bits-1) }

// mirror is the quadrature mirror filter that parts and joins the bands.
type mirror struct {
	past [24]int // oldest first
}

func (m *mirror) push(a, b int) {
	copy(m.past[:], m.past[2:])
	m.past[22], m.past[23] = a, b
}

// filter returns the sums over every other sample, beginning with the oldest, and
// with the one after it.
func (m *mirror) filter() (a, b int) {
	for i, c := range halfFilter {
		a += m.past[2*i] * c
		b += m.past[2*i+1] * halfFilter[11-i]
	}
	return a, b
}
