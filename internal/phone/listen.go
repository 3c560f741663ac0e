package phone

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/zaf/g711"
)

// WaitFor returns when what has come satisfies f, which is asked at each packet.
func (m *Media) WaitFor(ctx context.Context, f func([]Packet) bool) error {
	for {
		m.mu.Lock()
		got, arrived := m.got, m.arrived
		m.mu.Unlock()
		if f(got) {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("after %d packets: %w", len(got), ctx.Err())
		case <-m.quit:
			return fmt.Errorf("the call ended after %d packets", len(got))
		}
	}
}

// loud is the least root mean square that counts as sound.
const loud = 100

// WaitSound returns when the listener has heard speech or a tone.
func (m *Media) WaitSound(ctx context.Context) error {
	return m.WaitFor(ctx, func(ps []Packet) bool { return len(ps) > 0 && Level(ps[len(ps)-1:]) > loud })
}

// WaitQuiet returns when nothing but silence has been heard for d.
func (m *Media) WaitQuiet(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		m.mu.Lock()
		got, arrived := m.got, m.arrived
		m.mu.Unlock()
		last := time.Time{}
		for i := len(got) - 1; i >= 0 && last.IsZero(); i-- {
			if Level(got[i:i+1]) > loud {
				last = got[i].At
			}
		}
		left := d - time.Since(last)
		if left <= 0 {
			return nil
		}
		select {
		case <-arrived:
		case <-time.After(left):
		case <-ctx.Done():
			return ctx.Err()
		case <-m.quit:
			return nil
		}
	}
}

// WaitTone returns when a tone of that frequency has been heard for 100 ms.
func (m *Media) WaitTone(ctx context.Context, hz float64) error {
	return m.WaitFor(ctx, func(ps []Packet) bool { return len(ps) >= 5 && Share(ps[len(ps)-5:], hz) > 0.5 })
}

// samples decodes packets' audio.
func samples(ps []Packet) (out []float64) {
	for _, p := range ps {
		for _, b := range p.Payload {
			switch p.PayloadType {
			case 0:
				out = append(out, float64(g711.DecodeUlawFrame(b)))
			case 8:
				out = append(out, float64(g711.DecodeAlawFrame(b)))
			}
		}
	}
	return out
}

// Level is the root mean square of packets' audio, of 32767.
func Level(ps []Packet) float64 {
	s := samples(ps)
	if len(s) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range s {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(s)))
}

// Share is how much of the audio's energy is at a frequency, 0 to 1 (Goertzel).
func Share(ps []Packet, hz float64) float64 {
	s := samples(ps)
	if len(s) == 0 {
		return 0
	}
	w := 2 * math.Cos(2*math.Pi*hz/8000)
	var a, b, energy float64
	for _, v := range s {
		a, b = v+w*a-b, a
		energy += v * v
	}
	if energy == 0 {
		return 0
	}
	power := a*a + b*b - w*a*b
	return 2 * power / (energy * float64(len(s)))
}

// Jumps counts breaks in what was heard: another SSRC, a sequence number that
// isn't the next, a time that goes back or on by more than slack samples beside
// the clock.
func Jumps(ps []Packet) (ssrc, seq, ts int) {
	const slack = 8000 / 5
	for i := 1; i < len(ps); i++ {
		a, b := ps[i-1], ps[i]
		if a.SSRC != b.SSRC {
			ssrc++
			continue
		}
		if b.SequenceNumber != a.SequenceNumber+1 {
			seq++
		}
		step := int64(int32(b.Timestamp - a.Timestamp))
		clock := int64(b.At.Sub(a.At) * 8000 / time.Second)
		if !a.isKey() && !b.isKey() && (step < 0 || step > clock+slack || step < clock-slack) {
			ts++
		}
	}
	return ssrc, seq, ts
}

// isKey reports whether a packet is a telephone-event's (RFC 4733).
func (p *Packet) isKey() bool { return p.PayloadType >= 96 && len(p.Payload) == 4 }

// Keys are the keys that were heard by RFC 4733, in order: an event is its
// stream, its time and its code, however many packets of it came.
func Keys(ps []Packet) string {
	type event struct {
		ssrc, ts uint32
		code     byte
	}
	seen := map[event]bool{}
	var out []byte
	for _, p := range ps {
		if !p.isKey() || int(p.Payload[0]) >= len(keypad) {
			continue
		}
		if e := (event{p.SSRC, p.Timestamp, p.Payload[0]}); !seen[e] {
			seen[e] = true
			out = append(out, keypad[e.code])
		}
	}
	return string(out)
}

// KeyTypes are the payload types that keys came by.
func KeyTypes(ps []Packet) (out []uint8) {
	for _, p := range ps {
		if p.isKey() && !slices.Contains(out, p.PayloadType) {
			out = append(out, p.PayloadType)
		}
	}
	return out
}

// Hears reports whether 100 ms of a tone of that frequency came at any time.
func Hears(ps []Packet, hz float64) bool {
	const window = 5
	for i := window; i <= len(ps); i++ {
		if Share(ps[i-window:i], hz) > 0.5 {
			return true
		}
	}
	return false
}
