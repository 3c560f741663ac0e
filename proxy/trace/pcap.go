package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"consentgate/internal/datagram"
)

// WritePcap writes messages as UDP packets in the classic pcap format, with
// packets that begin with their IP header (LINKTYPE_RAW, 101). The headers are
// made up from the addresses, also for what went by TCP or TLS.
func WritePcap(w io.Writer, messages []Kept) error {
	var b bytes.Buffer
	put := func(v ...any) {
		for _, x := range v {
			_ = binary.Write(&b, binary.LittleEndian, x) // to memory: it can't fail
		}
	}
	put(uint32(0xa1b2c3d4), uint16(2), uint16(4), uint64(0), uint32(1<<18), uint32(101))
	for _, m := range messages {
		p := m.packet()
		put(uint32(m.At.Unix()), uint32(m.At.Nanosecond()/1000), uint32(len(p)), uint32(len(p)))
		b.Write(p)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing packets: %w", err)
	}
	return nil
}

// packet is the message with UDP and IP headers. A text longer than a packet
// takes is cut.
func (m *Kept) packet() []byte {
	from, to := m.ends()
	return datagram.Append(nil, from, to, m.Text)
}
