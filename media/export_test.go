package media

import (
	"net/netip"
	"time"

	"consentgate/media/codec"
)

// Receive has the leg decide on a packet as if it had come at a time.
func (l *Leg) Receive(data []byte, from netip.AddrPort, at time.Time) { l.packet(data, from, at) }

// Silent reports whether the leg's latest player sends nothing any more.
func (l *Leg) Silent() bool {
	select {
	case <-l.player.silent:
		return true
	default:
		return false
	}
}

// SendFrame sends one packet of a prompt from a place on, as its player does.
func (l *Leg) SendFrame(a *Audio, from int, packet []byte) bool {
	to := l.place.Load()
	return l.sendFrame(to, packet, a, from, to.samples(), false)
}

// In is the audio as it is kept for all calls.
func (a *Audio) In(name string, clock int) []byte { return a.in(codec.Lookup(name, clock)) }
