package store

import (
	"encoding/binary"
	"errors"
	"time"

	"consentgate/consent"
)

// A frame's content is a run of records. Times are microseconds since the
// recording's start.

const (
	recMeta   = 'M' // first record of a file: JSON
	recFormat = 'F' // what a payload type means
	recRTP    = 'R' // a packet as it came
	recGap    = 'G' // a span without packets, and why
	recEnd    = 'E' // the end, and why
)

// meta is the first record.
type meta struct {
	Grant   consent.Hash   `json:"grant"`
	Record  consent.Record `json:"record"` // the Granted record itself
	Started time.Time      `json:"started"`
}

// content is one decoded record; its kind tells which fields are set.
type content struct {
	kind      byte
	party     consent.Party
	at, to    time.Duration
	pt        uint8
	clockRate int
	text      string // encoding, cause or reason
	data      []byte // the packet, or JSON; valid as long as the frame
}

func appendRecord(b []byte, c content) []byte {
	b = append(b, c.kind)
	switch c.kind {
	case recMeta:
		b = binary.AppendUvarint(b, uint64(len(c.data)))
		b = append(b, c.data...)
	case recFormat:
		b = append(b, byte(c.party), c.pt)
		b = binary.AppendUvarint(b, uint64(c.clockRate))
		b = appendText(b, c.text)
	case recRTP:
		b = append(b, byte(c.party))
		b = appendTime(b, c.at)
		b = binary.AppendUvarint(b, uint64(len(c.data)))
		b = append(b, c.data...)
	case recGap:
		b = append(b, byte(c.party))
		b = appendText(b, c.text)
		b = appendTime(appendTime(b, c.at), c.to)
	case recEnd:
		b = appendTime(b, c.at)
		b = appendText(b, c.text)
	}
	return b
}

func appendTime(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64(min(max(d, 0), maxTime)/time.Microsecond))
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

var errContent = errors.New("a frame's content can't be read")

// decoder takes a frame's content apart.
type decoder struct {
	b   []byte
	bad bool
}

// next returns the next record; ok is false at the end, or at what can't be read.
func (d *decoder) next() (c content, ok bool) {
	if len(d.b) == 0 || d.bad {
		return c, false
	}
	c.kind = d.byte()
	switch c.kind {
	case recMeta:
		c.data = d.bytes(d.number())
	case recFormat:
		c.party, c.pt = d.party(), d.byte()
		c.clockRate = int(d.number())
		c.text = string(d.bytes(uint64(d.byte())))
	case recRTP:
		c.party = d.party()
		c.at = d.time()
		c.data = d.bytes(d.number())
	case recGap:
		c.party = d.party()
		c.text = string(d.bytes(uint64(d.byte())))
		c.at, c.to = d.time(), d.time()
	case recEnd:
		c.at = d.time()
		c.text = string(d.bytes(uint64(d.byte())))
	default:
		d.bad = true
	}
	return c, !d.bad
}

func (d *decoder) err() error {
	if d.bad {
		return errContent
	}
	return nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) party() consent.Party {
	v := d.byte()
	d.bad = d.bad || v > byte(consent.Local)
	return consent.Party(v & 1)
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// maxTime bounds times within a recording: no call is longer, and sums can't
// overflow.
const maxTime = 7 * 24 * time.Hour

func (d *decoder) time() time.Duration {
	v := d.number()
	if v > uint64(maxTime/time.Microsecond) {
		d.bad = true
		return 0
	}
	return time.Duration(v) * time.Microsecond
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}
