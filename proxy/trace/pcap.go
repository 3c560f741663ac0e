package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
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

// udpProtocol is UDP's number in IP headers.
const udpProtocol = 17

// packet is the message with UDP and IP headers. A text longer than a packet
// takes is cut.
func (m *Kept) packet() []byte {
	from, to := m.ends()
	text := m.Text[:min(len(m.Text), 65535-48)]
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(text)))
	udp = append(append(udp, 0, 0), text...)
	pseudo := append(append([]byte{}, src...), dst...)
	pseudo = append(pseudo, 0, udpProtocol, byte(len(udp)>>8), byte(len(udp)))
	sum := checksum(append(pseudo, udp...))
	if sum == 0 { // RFC 768: 0 is none
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], sum)

	var ip []byte
	if from.Addr().Is4() {
		total := 20 + len(udp)
		ip = []byte{0x45, 0, byte(total >> 8), byte(total), 0, 0, 0x40, 0, 64, udpProtocol, 0, 0}
		ip = append(append(ip, src...), dst...)
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	} else {
		ip = []byte{0x60, 0, 0, 0, byte(len(udp) >> 8), byte(len(udp)), udpProtocol, 64}
		ip = append(append(ip, src...), dst...)
	}
	return append(ip, udp...)
}

// checksum is the Internet's (RFC 1071).
func checksum(data []byte) uint16 {
	sum := uint32(0)
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
