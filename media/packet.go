package media

import (
	"encoding/binary"

	"consentgate/media/sockets"
)

// maxPacket is the largest datagram taken, in bytes.
const maxPacket = sockets.MaxPacket

// headerSize is that of an RTP header without contributors and extension.
const headerSize = 12

// header is what the relay reads of an RTP packet (RFC 3550 section 5.1).
type header struct {
	pt       uint8
	seq      uint16
	ts, ssrc uint32
	payload  []byte // without padding; part of the packet itself
}

// parse reads a packet. It is false for what can't be RTP: STUN and DTLS by
// their first byte (RFC 7983), RTCP by its type (RFC 3551 section 6 keeps payload
// types 72 to 76 free of RTP), and what is shorter than it says.
func parse(b []byte) (h header, ok bool) {
	if len(b) < headerSize || b[0]>>6 != 2 {
		return h, false
	}
	h = header{pt: b[1] & 0x7f, seq: binary.BigEndian.Uint16(b[2:]), ts: binary.BigEndian.Uint32(b[4:]),
		ssrc: binary.BigEndian.Uint32(b[8:])}
	if h.pt >= 72 && h.pt <= 76 {
		return h, false
	}
	n := headerSize + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 { // section 5.3.1: extension
		if len(b) < n+4 {
			return h, false
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if len(b) < n {
		return h, false
	}
	h.payload = b[n:]
	if b[0]&0x20 != 0 { // padding; its length is its last byte
		padding := int(b[len(b)-1])
		if padding == 0 || padding > len(h.payload) {
			return h, false
		}
		h.payload = h.payload[:len(h.payload)-padding]
	}
	return h, true
}

// put writes a header's fields over those of a packet; its first byte and
// payload stay.
func (h header) put(b []byte) {
	binary.BigEndian.PutUint16(b[2:], h.seq)
	binary.BigEndian.PutUint32(b[4:], h.ts)
	binary.BigEndian.PutUint32(b[8:], h.ssrc)
}

// setMarker says that a talkspurt begins (RFC 3551 section 4.1).
func setMarker(b []byte) { b[1] |= 0x80 }
