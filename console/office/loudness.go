package office

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"consentgate/console/access"
	"consentgate/store"
)

// Loudness tells how loud the parties are in each of parts of a recording's time,
// remote and local, from 0 to 1. No word can be heard from it, so it isn't a use that
// is logged; yet it shows who spoke when, so it is given to who may listen, for a
// purpose that was consented to, and not where the recording is restricted. Memory is
// that of the result, whatever the recording's length.
func (o *Office) Loudness(ctx context.Context, p access.Principal, id, purpose string, parts int) (loud [2][]float64, err error) {
	if parts < 1 || parts > 10_000 {
		return loud, fmt.Errorf("%w: %d parts", ErrInput, parts)
	}
	s, sum, err := o.recording(id)
	if err != nil {
		return loud, err
	}
	if err := o.mayUse(ctx, s, p, sum, purpose, store.Play); err != nil {
		return loud, err
	}
	if err := o.turns.take(ctx); err != nil {
		return loud, err
	}
	defer o.turns.give()
	sound, err := s.OpenWAV(ctx, id, store.WAVOptions{})
	if err != nil {
		return loud, err
	}
	defer sound.Close() // it was read only
	if _, err := sound.Seek(sound.Head(), io.SeekStart); err != nil {
		return loud, err
	}
	return peaks(sound, (sound.Size()-sound.Head())/4, parts)
}

// peaks are the largest samples of stereo PCM in each part, on a scale of decibels
// from -60 up, as ears have it.
func peaks(r io.Reader, samples int64, parts int) (loud [2][]float64, err error) {
	loud = [2][]float64{make([]float64, parts), make([]float64, parts)}
	in := bufio.NewReaderSize(r, 64<<10)
	var frame [4]byte
	for at := range samples {
		if _, err := io.ReadFull(in, frame[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			return loud, fmt.Errorf("measuring loudness: %w", err)
		}
		part := at * int64(parts) / samples
		for side := range loud {
			v := math.Abs(float64(int16(binary.LittleEndian.Uint16(frame[2*side:])))) / 32768
			loud[side][part] = max(loud[side][part], v)
		}
	}
	for side := range loud {
		for i, v := range loud[side] {
			loud[side][i] = max(0, 1+20*math.Log10(max(v, 1e-6))/60)
		}
	}
	return loud, nil
}
