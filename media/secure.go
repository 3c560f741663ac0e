package media

import (
	"errors"
	"math/rand/v2"
	"sync"

	"consentgate/media/srtp"
)

// A leg opens its peer's packets as soon as they are known to come from there,
// whether or not they go any further: how often sequence numbers have wrapped
// isn't said in a packet, so that none may be missed (RFC 3711 section 3.3.1).
// It seals what goes to its peer last, when nothing is changed any more.

// room is what a sealed packet needs.
type room [maxPacket + srtp.Overhead]byte

// sealing lends rooms: RTP of one leg is sent from the other's reader and from a
// player, and room behind a packet that was received may be another's.
var sealing = sync.Pool{New: func() any { return new(room) }}

// isVersion2: what isn't is neither RTP nor SRTP, but STUN or DTLS (RFC 7983),
// and found malformed.
func isVersion2(b []byte) bool { return len(b) > 0 && b[0]>>6 == 2 }

// opened takes what became of a peer's packet; nil: it isn't sealed with the
// peer's key, or came before, and has been counted.
func (l *Leg) opened(data []byte, err error) []byte {
	switch {
	case err == nil:
		return data
	case errors.Is(err, srtp.ErrReplay):
		l.relay.drop(replayed)
	default:
		l.relay.drop(unauthentic)
	}
	return nil
}

// sealed takes what became of a packet to the peer; nil: it can't be sealed, and
// has been counted.
func (l *Leg) sealed(data []byte, err error) []byte {
	if err != nil {
		l.relay.drop(unsealed)
		return nil
	}
	return data
}

// follow begins the stream to a peer anew where the peer may not know how often
// its numbers have wrapped: one with another address may be another telephone,
// and one with another key of ours begins to count, or doesn't (RFC 4568 section
// 7.1.4, RFC 3711 section 3.3.1). Of a new source everybody knows that it hasn't.
func (l *Leg) follow(old, now *place) {
	if old == nil || old.Out == nil || now.Out == nil || !now.RTP.IsValid() || old.Out == now.Out && old.RTP == now.RTP {
		return
	}
	if old.Out.Wrapped(l.out.source()) {
		l.out.renew()
	}
}

// source is the stream's SSRC.
func (s *stream) source() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ssrc
}

// renew makes what follows another source; its time goes on.
func (s *stream) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ours, s.join = true, nil
	s.ssrc, s.seq = rand.Uint32(), firstNumber()
}

// firstNumber is of a stream of ours: in the lower half, so that a listener who
// misses the first packets doesn't miss a wrap (RFC 3711 section 3.3.1).
func firstNumber() uint32 { return rand.Uint32() & 0x7fff }
