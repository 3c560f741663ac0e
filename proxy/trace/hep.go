package trace

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// Chunk types of HEP3 (Homer Encapsulation Protocol, section 3.3), vendor 0.
const (
	hepFamily      = 0x01
	hepProtocol    = 0x02
	hepSource4     = 0x03
	hepTarget4     = 0x04
	hepSource6     = 0x05
	hepTarget6     = 0x06
	hepSourcePort  = 0x07
	hepTargetPort  = 0x08
	hepSeconds     = 0x09
	hepMicros      = 0x0a
	hepType        = 0x0b
	hepCaptureID   = 0x0c
	hepPayload     = 0x0f
	hepCorrelation = 0x11
)

// hep sends messages to a capture server, each as a datagram.
type hep struct {
	conn *net.UDPConn
	id   uint32
}

func dialHEP(to netip.AddrPort, id uint32) (*hep, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, fmt.Errorf("opening a socket to the HEP server %s: %w", to, err)
	}
	return &hep{conn, id}, nil
}

func (h *hep) close() error { return h.conn.Close() }

// send doesn't wait for the server. An error may be about an earlier message, to
// which there was an ICMP answer.
func (h *hep) send(call string, m Kept) error {
	if _, err := h.conn.Write(hepPacket(h.id, call, m)); err != nil {
		return fmt.Errorf("sending to the HEP server: %w", err)
	}
	return nil
}

// hepPacket is a message with its chunks. Packets over 65535 bytes have a wrong
// length, and no datagram takes them.
func hepPacket(id uint32, call string, m Kept) []byte {
	from, to := m.ends()
	family, source, target, protocol := byte(2), uint16(hepSource4), uint16(hepTarget4), byte(17)
	if from.Addr().Is6() {
		family, source, target = 10, hepSource6, hepTarget6 // AF_INET6 as Linux has it
	}
	if m.Transport != "udp" {
		protocol = 6
	}
	b := append(make([]byte, 0, 256+len(m.Text)), "HEP3\x00\x00"...)
	chunk := func(kind uint16, data []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(kind)) // the vendor, 0, and the type
		b = binary.BigEndian.AppendUint16(b, uint16(6+len(data)))
		b = append(b, data...)
	}
	u16 := func(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
	u32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	chunk(hepFamily, []byte{family})
	chunk(hepProtocol, []byte{protocol})
	chunk(source, from.Addr().AsSlice())
	chunk(target, to.Addr().AsSlice())
	chunk(hepSourcePort, u16(from.Port()))
	chunk(hepTargetPort, u16(to.Port()))
	chunk(hepSeconds, u32(uint32(m.At.Unix())))
	chunk(hepMicros, u32(uint32(m.At.Nanosecond()/1000)))
	chunk(hepType, []byte{1}) // SIP
	chunk(hepCaptureID, u32(id))
	chunk(hepCorrelation, []byte(call))
	chunk(hepPayload, m.Text)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

// ends are where a message came from and went, both of one family.
func (m *Kept) ends() (from, to netip.AddrPort) {
	local, remote := m.Local, netip.AddrPortFrom(m.Remote.Addr().Unmap(), m.Remote.Port())
	if local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port()); local.Addr().Is4() != remote.Addr().Is4() {
		local = netip.AddrPortFrom(unspecified(remote.Addr()), local.Port())
	}
	if m.Sent {
		return local, remote
	}
	return remote, local
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
