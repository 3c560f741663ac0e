// Package pcapng writes and reads the part of the pcapng format
// (draft-ietf-opsawg-pcapng) that a capture of packets needs: one section, its
// interfaces, and packets. It is little-endian, with times in microseconds.
package pcapng

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	sectionBlock   = 0x0a0d0d0a
	interfaceBlock = 1
	packetBlock    = 6 // enhanced packet
	byteOrder      = 0x1a2b3c4d

	linkRaw = 101 // packets begin with their IP header (LINKTYPE_RAW)

	optEnd     = 0
	optApp     = 4 // of a section: who wrote it
	optName    = 2 // of an interface
	optAbout   = 3 // of an interface
	packetHead = 28
	frame      = 4 // the block's length again, behind it

	// maxBlock bounds a block that a reader takes, in bytes.
	maxBlock = 128 << 10
)

// Interface is where packets came in.
type Interface struct{ Name, About string }

// Packet is one, with the number of its interface and the time of its arrival in
// microseconds since 1970.
type Packet struct {
	Interface uint32
	At        int64
	Data      []byte // of a reader: valid until the next packet is read
}

// AppendHead appends what a capture begins with.
func AppendHead(b []byte, app string, interfaces ...Interface) []byte {
	body := binary.LittleEndian.AppendUint32(nil, byteOrder)
	body = append(body, 1, 0, 0, 0)                                    // version 1.0
	body = append(body, 255, 255, 255, 255, 255, 255, 255, 255)        // the section's length isn't told
	b = appendBlock(b, sectionBlock, appendOptions(body, optApp, app)) // its options are text
	for _, i := range interfaces {
		body := binary.LittleEndian.AppendUint32([]byte{linkRaw, 0, 0, 0}, 0) // packets are whole
		b = appendBlock(b, interfaceBlock, appendOptions(body, optName, i.Name, optAbout, i.About))
	}
	return b
}

func appendOptions(b []byte, pairs ...any) []byte {
	for ; len(pairs) > 0; pairs = pairs[2:] {
		text := pairs[1].(string)
		b = binary.LittleEndian.AppendUint16(b, uint16(pairs[0].(int)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
		b = pad(append(b, text...), len(text))
	}
	return append(b, optEnd, 0, 0, 0)
}

// pad fills up n bytes that were appended to a multiple of four.
func pad(b []byte, n int) []byte { return append(b, make([]byte, -n&3)...) }

func appendBlock(b []byte, kind uint32, body []byte) []byte {
	size := uint32(8 + len(body) + frame)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint32(append(b, body...), size)
}

// AppendPacket appends a packet.
func AppendPacket(b []byte, p Packet) []byte {
	n := len(p.Data)
	size := uint32(packetHead + n + -n&3 + frame)
	for _, v := range [...]uint32{packetBlock, size, p.Interface, uint32(uint64(p.At) >> 32), uint32(p.At), uint32(n), uint32(n)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint32(pad(append(b, p.Data...), n), size)
}

// ErrFormat means that it isn't such a capture, or no longer.
var ErrFormat = errors.New("not a capture as it was written")

// Reader reads packets in order. What AppendHead and AppendPacket don't write it
// refuses.
type Reader struct {
	in    *bufio.Reader
	head  []byte
	begun bool
	buf   []byte
	off   int64
}

// NewReader reads a capture that begins with head, as AppendHead made it.
func NewReader(r io.Reader, head []byte) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10), head: head}
}

// NewReaderAt reads packets on from an offset of a capture, which r stands at.
func NewReaderAt(r io.Reader, off int64) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10), begun: true, off: off}
}

// Offset is where the next packet begins.
func (r *Reader) Offset() int64 { return r.off }

// Next returns the next packet; io.EOF behind the last. ErrFormat means what it
// says, with the offset; other errors are those of the source.
func (r *Reader) Next() (p Packet, err error) {
	if !r.begun {
		got := make([]byte, len(r.head))
		if _, err := io.ReadFull(r.in, got); err != nil {
			return p, r.cut(err)
		}
		if !bytes.Equal(got, r.head) {
			return p, fmt.Errorf("%w: its head is another", ErrFormat)
		}
		r.begun, r.off = true, int64(len(got))
	}
	var start [8]byte
	if _, err := io.ReadFull(r.in, start[:]); errors.Is(err, io.EOF) {
		return p, io.EOF
	} else if err != nil {
		return p, r.cut(err)
	}
	size := binary.LittleEndian.Uint32(start[4:])
	if binary.LittleEndian.Uint32(start[:]) != packetBlock || size > maxBlock || size%4 != 0 || size < packetHead+frame {
		return p, fmt.Errorf("%w: at byte %d there is no packet", ErrFormat, r.off)
	}
	r.buf = append(r.buf[:0], start[:]...)
	r.buf = append(r.buf, make([]byte, size-8)...)
	if _, err := io.ReadFull(r.in, r.buf[8:]); errors.Is(err, io.EOF) {
		return p, r.cut(io.ErrUnexpectedEOF)
	} else if err != nil {
		return p, r.cut(err)
	}
	if p, err = Parse(r.buf); err != nil {
		return p, fmt.Errorf("%w, at byte %d", err, r.off)
	}
	r.off += int64(size)
	return p, nil
}

func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends at byte %d, in a block", ErrFormat, r.off)
	}
	return err
}

// Parse reads one block, which must be a packet's, whole. Its data is part of b.
func Parse(b []byte) (p Packet, err error) {
	if len(b) < packetHead+frame || len(b)%4 != 0 || binary.LittleEndian.Uint32(b) != packetBlock {
		return p, fmt.Errorf("%w: a block isn't a packet", ErrFormat)
	}
	field := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	size, n := field(1), field(5)
	room := uint32(len(b) - packetHead - frame)
	if int(size) != len(b) || n > room || room != n+-n&3 || field(6) != n || binary.LittleEndian.Uint32(b[len(b)-frame:]) != size {
		return p, fmt.Errorf("%w: a packet's lengths contradict each other", ErrFormat)
	}
	p = Packet{Interface: field(2), At: int64(uint64(field(3))<<32 | uint64(field(4))), Data: b[packetHead : packetHead+n]}
	for _, fill := range b[packetHead+n : len(b)-frame] {
		if fill != 0 {
			return p, fmt.Errorf("%w: something stands where nothing should", ErrFormat)
		}
	}
	return p, nil
}

// LastBlock is how many bytes the last block has, by the four bytes that a
// capture ends with. ErrFormat: that can't be.
func LastBlock(end [4]byte) (int64, error) {
	n := binary.LittleEndian.Uint32(end[:])
	if n > maxBlock || n < packetHead+frame {
		return 0, fmt.Errorf("%w: its last block has %d bytes", ErrFormat, n)
	}
	return int64(n), nil
}
