package dtmf

// Redundant goes through the blocks of a payload of RFC 2198, oldest first: each
// has the payload type, time and bytes of a packet of its own.
//
//	for r := dtmf.NewRedundant(payload, timestamp); r.Next(); {
//		use(r.Type, r.Timestamp, r.Payload)
//	}
type Redundant struct {
	Type      uint8
	Timestamp uint32
	Payload   []byte

	at      uint32 // the packet's own time
	headers []byte
	blocks  []byte
}

// NewRedundant begins with a packet's payload and time. One that isn't whole has
// no blocks.
func NewRedundant(payload []byte, timestamp uint32) Redundant {
	headers, length := 0, 0
	for headers < len(payload) && payload[headers]&0x80 != 0 {
		if headers+4 > len(payload) {
			return Redundant{}
		}
		length += int(payload[headers+2]&3)<<8 | int(payload[headers+3])
		headers += 4
	}
	headers++ // the last has its type alone: section 3
	if headers+length > len(payload) {
		return Redundant{}
	}
	return Redundant{at: timestamp, headers: payload[:headers], blocks: payload[headers:]}
}

// Next goes on to the next block; false: there is none.
func (r *Redundant) Next() bool {
	if len(r.headers) == 0 {
		return false
	}
	h := r.headers
	r.Type, r.Timestamp, r.Payload = h[0]&0x7f, r.at, r.blocks
	if h[0]&0x80 == 0 {
		r.headers = nil
		return true
	}
	n := int(h[2]&3)<<8 | int(h[3])
	r.Timestamp -= uint32(h[1])<<6 | uint32(h[2])>>2
	r.Payload, r.blocks, r.headers = r.blocks[:n], r.blocks[n:], h[4:]
	return true
}
