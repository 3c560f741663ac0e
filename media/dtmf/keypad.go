// Package dtmf finds telephone keys: in RTP telephone-events (RFC 4733), also
// where they come with redundancy (RFC 2198), and as tones in audio (ITU-T Q.23).
package dtmf

import (
	"encoding/binary"
	"time"

	"consentgate/consent"
)

// shortest is when a key counts though its end isn't known yet: ITU-T Q.24 has
// receivers take tones of 40 ms and more for a digit.
const shortest = 40 * time.Millisecond

// keysByEvent is RFC 4733 table 7: events 0-9, *, #, A-D.
const keysByEvent = "0123456789*#ABCD"

// blockSize is that of one event in a payload, section 2.3.
const blockSize = 4

// Packet is one RTP packet of telephone-events.
type Packet struct {
	SSRC      uint32
	Timestamp uint32 // of the (first) event's start
	Payload   []byte
	ClockRate int       // Hz, more than 0
	At        time.Time // arrival
}

// Keypad finds the keys that one party presses. An event is named by its SSRC,
// its RTP timestamp and its code, which all its packets share, repeated ends and
// redundant blocks too: so each key counts once, whichever of them are lost.
// The zero Keypad is ready. It is for one goroutine.
type Keypad struct {
	recent [8]event // the latest events, overwritten in turn
	latest int
}

type event struct {
	used     bool
	at       time.Time // arrival of its latest packet
	ssrc     uint32
	start    uint32 // RTP timestamp
	code     byte
	length   uint16 // longest reported, RTP time units
	ended    bool
	counted  bool
	swallows bool // it began while the parties were apart, so it is ours to its end
}

// Feed takes a packet and returns the keys that count from now on. apart says
// that the parties don't hear each other now. An event that begins so must not
// be passed on, which swallow says, to its last packet, however they are by then.
func (k *Keypad) Feed(p Packet, apart bool) (presses []consent.Press, swallow bool) {
	if len(p.Payload) < blockSize {
		return nil, apart
	}
	start := p.Timestamp
	// Events packed into one packet follow each other, sections 2.5.1.5 and 2.5.2.4.
	for b := p.Payload; len(b) >= blockSize; b = b[blockSize:] {
		length := binary.BigEndian.Uint16(b[2:])
		e := k.find(event{used: true, ssrc: p.SSRC, start: start, code: b[0], swallows: apart, at: p.At})
		e.at = p.At
		e.length = max(e.length, length)
		e.ended = e.ended || b[1]&0x80 != 0
		swallow = swallow || e.swallows
		if !e.counted && int(e.code) < len(keysByEvent) && (e.ended || units(e.length, p.ClockRate) >= shortest) {
			e.counted = true
			presses = append(presses, consent.Press{Key: consent.Key(keysByEvent[e.code]), Via: "rfc4733", SSRC: e.ssrc,
				RTPTime: e.start, Duration: units(e.length, p.ClockRate), End: e.ended, At: p.At})
		}
		start += uint32(length)
	}
	return presses, swallow
}

// find returns the event that a block is about: n itself if it is a new one.
func (k *Keypad) find(n event) *event {
	for i := range k.recent {
		if e := &k.recent[i]; e.used && e.ssrc == n.ssrc && e.start == n.start && e.code == n.code {
			return e
		}
	}
	if e := &k.recent[k.latest]; e.used && e.code == n.code && e.continues(n) {
		n.counted, n.swallows = e.counted, e.swallows
	}
	k.latest = (k.latest + 1) % len(k.recent)
	k.recent[k.latest] = n
	return &k.recent[k.latest]
}

// together is the longest time between two packets of an event: senders repeat
// them each 50 ms or oftener (section 2.5.1.1), and one or two may be lost.
const together = 160 * time.Millisecond

// continues reports whether n is more of the same press: its next segment, if it
// is too long for one duration field (sections 2.5.1.3 and 2.5.2.3), of which the
// last packets may be lost; the same from a source that has changed its SSRC; or
// from one that gives each packet a time of its own.
func (e *event) continues(n event) bool {
	gone := n.start - e.start
	switch {
	case e.ssrc != n.ssrc:
		return !e.ended && n.at.Sub(e.at) <= together
	case e.ended:
		return gone < uint32(e.length) // no press begins before the same key's last has ended
	case e.length >= 1<<15:
		return gone >= uint32(e.length) && gone <= 1<<16
	}
	return gone <= uint32(e.length)
}

func units(n uint16, clockRate int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(clockRate)
}
