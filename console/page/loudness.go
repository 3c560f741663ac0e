package page

import (
	"bytes"
	"fmt"
)

const (
	barsOfWave = 250
	waveWidth  = 1000
	waveHeight = 128
)

// getLoudness draws how loud each party is: the remote one above the middle, the
// local one below. The colours have enough contrast on both themes' grounds, as a
// picture doesn't know the page's.
func getLoudness(v *visit) error {
	loud, err := v.o.Loudness(v.r.Context(), v.who, v.id(), v.r.URL.Query().Get("purpose"), barsOfWave)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" preserveAspectRatio="none" width="%d" height="%d">`, waveWidth, waveHeight, waveWidth, waveHeight)
	wide := float64(waveWidth) / barsOfWave
	for side, colour := range [2]string{"#3f7fc9", "#1f8f70"} {
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="%.1f" d="`, colour, wide*0.7)
		for i, l := range loud[side] {
			h := max(0.5, l*(waveHeight/2-4))
			if side == 0 {
				h = -h
			}
			fmt.Fprintf(&b, "M%.1f %dv%.1f", (float64(i)+0.5)*wide, waveHeight/2, h)
		}
		b.WriteString(`"/>`)
	}
	b.WriteString(`</svg>`)
	h := v.w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	_, _ = b.WriteTo(v.w) // who asked is gone then
	return nil
}
