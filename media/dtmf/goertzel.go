package dtmf

import (
	"math"

	"consentgate/consent"
)

// Tolerances of ITU-T Q.24 and of Bell's receivers. Frequencies within 1.5 % must
// be taken and beyond 3.5 % be refused: between, speech is refused.
const (
	tolerance   = 0.020
	normalTwist = 8.5  // dB by which the row's tone may be the stronger: 8, and what G.711 errs
	otherTwist  = 4.5  // dB by which the column's may be: 4, likewise
	quietest    = -34  // dBm0 of each tone; 0 dBm0 is 3.14 dB below the loudest sine of G.711
	purity      = 0.90 // of the window's energy, in the two tones
	harmonic    = 0.02 // of a tone's energy, in its second harmonic: speech has more
	steadiness  = 3    // dB by which a tone may change while it sounds
	// leastRow of the window's energy is in the row's tone of any key: with less, the
	// column's would be the stronger by more than it may, both corrected.
	leastRow = 0.1
)

var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
	keypad  = [4]string{"123A", "456B", "789C", "*0#D"}

	full, short = newShape(window), newShape(brief)

	coefficient [8]float64 // Goertzel's, of rows and columns

	normal, other, steady = ratio(normalTwist), ratio(otherTwist), ratio(steadiness)
)

// loudness is the amplitude of the quietest tone. A window with nothing as loud
// can't have the energy of two of them.
var loudness = int16(32124 * math.Sqrt(ratio(quietest-3.14)))

// ratio is that of two powers.
func ratio(db float64) float64 { return math.Pow(10, db/10) }

func init() {
	for i := range 4 {
		coefficient[i], coefficient[4+i] = 2*math.Cos(radians(rows[i])), 2*math.Cos(radians(columns[i]))
	}
}

// shape is Hann's window of some length.
type shape struct {
	hann, slope []float64 // the window, and its derivative per sample
	n           float64   // its length
	squared     float64   // the square of a tone's amplitude, by |X|^2
	least       float64   // |X|^2 of the quietest tone
}

func newShape(n int) *shape {
	s := &shape{hann: make([]float64, n), slope: make([]float64, n), n: float64(n)}
	for i := range n {
		a := 2 * math.Pi * (float64(i) + 0.5) / s.n
		s.hann[i] = (1 - math.Cos(a)) / 2
		s.slope[i] = math.Pi / s.n * math.Sin(a)
	}
	s.squared = 16 / (s.n * s.n)
	s.least = 32124 * 32124 * ratio(quietest-3.14) / s.squared
	return s
}

func radians(hz float64) float64 { return 2 * math.Pi * hz / Rate }

// pair are a key's two tones in a window. The zero pair is no key.
type pair struct {
	key         consent.Key
	row, column float64 // squares of amplitudes
}

// steady reports whether two windows can have the same press in them.
func (p pair) steady(q pair) bool {
	near := func(a, b float64) bool { return a < b*steady && b < a*steady }
	return p.key == q.key && near(p.row, q.row) && near(p.column, q.column)
}

// listen returns the key whose tones fill a window.
func (s *shape) listen(x []float64) pair {
	var buf [window]float64
	y, energy := buf[:len(x)], 0.0
	for i, v := range x {
		v *= s.hann[i]
		y[i] = v
		energy += v * v
	}
	// Of a sine the transform has |X|^2 = energy * n / 3, with Hann's window.
	all := energy * s.n / 3
	if all < 2*s.least {
		return pair{}
	}
	low := powers(y, coefficient[:4])
	row := strongest(low[:])
	r := low[row]
	if r < leastRow*all {
		return pair{} // the columns needn't be looked at
	}
	high := powers(y, coefficient[4:])
	column := strongest(high[:])
	c := high[column]
	// A tone 2 % off is up to 1.4 dB weaker where it should be: the corrected
	// powers are compared below.
	if r+c < purity*all*0.7 {
		return pair{}
	}
	r, okR := s.tone(x, y, rows[row])
	if !okR {
		return pair{}
	}
	c, okC := s.tone(x, y, columns[column])
	if !okC || r+c < purity*all || r < s.least || c < s.least ||
		r > c*normal || c > r*other || s.overtones(y, rows[row], columns[column], r, c) {
		return pair{}
	}
	return pair{consent.Key(keypad[row][column]), r * s.squared, c * s.squared}
}

// powers are Goertzel's at four frequencies, side by side: chains that don't wait
// for each other.
func powers(y, k []float64) (p [4]float64) {
	k0, k1, k2, k3 := k[0], k[1], k[2], k[3]
	var a0, a1, a2, a3, b0, b1, b2, b3 float64
	for _, v := range y {
		a0, b0 = (v-b0)+k0*a0, a0
		a1, b1 = (v-b1)+k1*a1, a1
		a2, b2 = (v-b2)+k2*a2, a2
		a3, b3 = (v-b3)+k3*a3, a3
	}
	for i, s := range [4][2]float64{{a0, b0}, {a1, b1}, {a2, b2}, {a3, b3}} {
		p[i] = s[0]*s[0] + s[1]*s[1] - k[i]*s[0]*s[1]
	}
	return p
}

func strongest(p []float64) (at int) {
	for i := range p {
		if p[i] > p[at] {
			at = i
		}
	}
	return at
}

// goertzel is the transform at one frequency, turned by an angle that depends on
// the frequency alone.
func goertzel(y []float64, hz float64) complex128 {
	w := radians(hz)
	k := 2 * math.Cos(w)
	var a, b float64
	for _, v := range y {
		a, b = v+k*a-b, a
	}
	sin, cos := math.Sincos(w)
	return complex(a-b*cos, b*sin)
}

// tone measures the tone nearest to a frequency: its power, as it would be if
// there were no error, and whether its frequency is within the tolerance. The
// transform of a window's derivative is that of the window, times the distance
// from the tone's frequency: one window is enough to know it.
func (s *shape) tone(x, y []float64, hz float64) (power float64, ok bool) {
	var buf [window]float64
	d := buf[:len(x)]
	for i, v := range x {
		d[i] = v * s.slope[i]
	}
	at := goertzel(y, hz)
	off := imag(goertzel(d, hz)/at) * Rate / (2 * math.Pi) // Hz
	if !(math.Abs(off) <= hz*tolerance) {                  // nor is what isn't a number
		return 0, false
	}
	g := s.response(off)
	return (real(at)*real(at) + imag(at)*imag(at)) / (g * g), true
}

// response is the window's answer to a tone that is so far off, of 1.
func (s *shape) response(hz float64) float64 {
	d := hz * s.n / Rate
	if math.Abs(d) < 1e-6 {
		return 1
	}
	return math.Sin(math.Pi*d) / (math.Pi * d * (1 - d*d))
}

// overtones reports whether either tone has a second harmonic, where the other
// tone doesn't hide it.
func (s *shape) overtones(y []float64, row, column, r, c float64) bool {
	has := func(hz, of float64) bool {
		x := goertzel(y, hz)
		return real(x)*real(x)+imag(x)*imag(x) > of*harmonic
	}
	return has(2*column, c) || math.Abs(2*row-column) > 2*Rate/s.n+100 && has(2*row, r)
}
