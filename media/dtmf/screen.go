package dtmf

import "math"

// Nearly every window ends with a look at its energy and the strongest row. For
// that each hop is looked at once, and a window is the sum of three: without Hann's
// shape, and at half the rate, by the sums of neighbours. That errs by some dB, which
// leastScreened allows for; what passes is looked at in earnest.

// leastScreened of a window's energy is in the row's tone of any key: leastRow, less
// 0.6 dB for the sums, 1.2 dB where the tone is 2 % off, and what the column's tone
// takes away that isn't where a window without a shape hears nothing of it.
const leastScreened = 0.04

// hops in a window.
const hops = window / hop

// heard is what a hop has of the rows, by its transform at their frequencies, turned
// to its end.
type heard struct {
	energy float64
	re, im [4]float64
}

var (
	screening [4]float64          // Goertzel's coefficients of the rows, at half the rate
	back      [4]complex128       // by a sample of that rate
	turned    [4][hops]complex128 // by hops
)

func init() {
	for i, hz := range rows {
		w := 2 * radians(hz)
		screening[i] = 2 * math.Cos(w)
		back[i] = complex(math.Cos(w), -math.Sin(w))
		for n := range hops {
			a := w * float64(n*hop/2)
			turned[i][n] = complex(math.Cos(a), math.Sin(a))
		}
	}
}

// hear listens to a hop's samples.
func (h *heard) hear(x []float64) {
	k := &screening
	var a0, a1, a2, a3, b0, b1, b2, b3, even, odd float64
	for i := 1; i < len(x); i += 2 {
		u, v := x[i-1], x[i]
		even += u * u
		odd += v * v
		v = (u + v) / 2
		a0, b0 = (v-b0)+k[0]*a0, a0
		a1, b1 = (v-b1)+k[1]*a1, a1
		a2, b2 = (v-b2)+k[2]*a2, a2
		a3, b3 = (v-b3)+k[3]*a3, a3
	}
	h.energy = even + odd
	for i, s := range [4][2]float64{{a0, b0}, {a1, b1}, {a2, b2}, {a3, b3}} {
		h.re[i], h.im[i] = s[0]+s[1]*-real(back[i]), s[1]*-imag(back[i])
	}
}

// promising reports whether there may be a key in the window of these hops, the
// oldest first.
func promising(w *[hops]heard) bool {
	energy, strongest := 0.0, 0.0
	for i := range w {
		energy += w[i].energy
	}
	for row := range rows {
		var x complex128
		for i := range w {
			x += complex(w[i].re[row], w[i].im[row]) * turned[row][hops-1-i]
		}
		strongest = max(strongest, real(x)*real(x)+imag(x)*imag(x))
	}
	// Of a sine the transform has |X|^2 = energy * n / 2; half as many sums have a
	// fourth of it.
	return 4*strongest >= leastScreened*energy*window/2
}
