// Package datagram makes IP and UDP headers for data that is written into a
// capture.
package datagram

import (
	"encoding/binary"
	"net/netip"
)

const (
	udpProtocol = 17 // UDP's number in IP headers

	head4 = 20
	head6 = 40
	head  = 8 // of UDP

	// Most is how many bytes of data fit into a datagram of IPv4.
	Most = 65535 - head4 - head
)

// Append appends a datagram with its IP header; both addresses are of one family.
// Data beyond Most is cut off.
func Append(b []byte, from, to netip.AddrPort, data []byte) []byte {
	data = data[:min(len(data), Most)]
	size := head + len(data)
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	if from.Addr().Is4() {
		at, total := len(b), head4+size
		b = append(b, 0x45, 0, byte(total>>8), byte(total), 0, 0, 0x40, 0, 64, udpProtocol, 0, 0)
		b = append(append(b, src...), dst...)
		binary.BigEndian.PutUint16(b[at+10:], fold(sum(0, b[at:])))
	} else {
		b = append(b, 0x60, 0, 0, 0, byte(size>>8), byte(size), udpProtocol, 64)
		b = append(append(b, src...), dst...)
	}
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(append(b, 0, 0), data...)
	check := fold(sum(sum(sum(uint64(udpProtocol+size), src), dst), b[at:]))
	if check == 0 { // RFC 768: 0 is none
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b[at+6:], check)
	return b
}

// Data is what a datagram of IPv4 holds; ok is false where b isn't one as Append
// makes it, by its lengths.
func Data(b []byte) (data []byte, ok bool) {
	if len(b) < head4+head || b[0] != 0x45 || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
		return nil, false
	}
	return b[head4+head:], true
}

// sum adds up 16-bit words (RFC 1071), the last filled up with zeros.
func sum(so uint64, b []byte) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		so += uint64(b[0])<<8 | uint64(b[1])
	}
	if len(b) == 1 {
		so += uint64(b[0]) << 8
	}
	return so
}

func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
