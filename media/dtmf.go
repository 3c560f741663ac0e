package media

import (
	"encoding/binary"
	"time"

	"consentgate/consent"
)

// countsAfter is when a key counts: ITU-T Q.24 takes tones of 40 ms and more
// for a digit, in RTP time units of 8 kHz. The end bit counts earlier.
const countsAfter = 40 * sampleRate / 1000

// keyOf is RFC 4733 table 7: events 0-9, *, #, A-D.
const keysByEvent = "0123456789*#ABCD"

// keypad finds keys in the telephone-event packets of one party (RFC 4733). An
// event is named by its SSRC and RTP timestamp, which all its packets share,
// repeated end packets too; so each key counts once, whichever packets are lost.
type keypad struct {
	known   bool
	ssrc    uint32
	start   uint32 // RTP timestamp
	event   byte
	length  uint16
	counted bool
	gated   bool // it began while the parties were apart, so it is ours to its end
}

// feed takes one packet. press is set when a key counts; ours says that the
// packet must not be passed on. gated is whether the parties are apart now.
func (k *keypad) feed(ssrc, timestamp uint32, payload []byte, gated bool, at time.Time) (press consent.Press, counts, ours bool) {
	if len(payload) < 4 {
		return press, false, gated
	}
	event, end, length := payload[0], payload[1]&0x80 != 0, binary.BigEndian.Uint16(payload[2:])
	switch {
	case k.known && k.ssrc == ssrc && k.start == timestamp && k.event == event:
		k.length = max(k.length, length)
	case k.known && k.ssrc == ssrc && k.event == event && timestamp-k.start == uint32(k.length) && k.length >= 0xff00:
		k.start, k.length = timestamp, length // the next segment of a long press, RFC 4733 section 2.5.1.3
	case k.known && k.ssrc == ssrc && int32(timestamp-k.start) < 0:
		return press, false, k.gated // a straggler of an earlier key
	default:
		*k = keypad{known: true, ssrc: ssrc, start: timestamp, event: event, length: length, gated: gated}
	}
	if k.counted || !end && k.length < countsAfter || int(event) >= len(keysByEvent) {
		return press, false, k.gated
	}
	k.counted = true
	return consent.Press{Key: consent.Key(keysByEvent[event]), Via: "rfc4733", SSRC: ssrc, RTPTime: timestamp,
		Duration: time.Duration(k.length) * time.Second / sampleRate, End: end, At: at}, true, k.gated
}
