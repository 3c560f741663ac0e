package media

import (
	"net/netip"
	"time"
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
