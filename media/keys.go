package media

import (
	"sync/atomic"
	"time"

	"consentgate/consent"
	"consentgate/media/codec"
	"consentgate/media/dtmf"
)

// keys finds the keys of a leg's peer. It is for the sockets' thread, but for
// wanted.
type keys struct {
	events dtmf.Keypad
	tones  *tones      // made when it is first needed
	wanted atomic.Bool // keys mean something to the call now
}

// Listen says whether keys that the peer presses matter. Tones are looked for
// only while they do; those in a recording are its writer's.
func (l *Leg) Listen(on bool) { l.keys.wanted.Store(on) }

// heed looks for keys in an RTP packet, and hands to the tap what may be recorded
// of it. ours says that it must not be passed on.
func (l *Leg) heed(p *place, y *payload, h header, data []byte, bridged bool, at time.Time) (ours bool) {
	switch {
	case y.event != 0:
		return l.event(h, y.event, !bridged, at)
	case y.blocks:
		if isKey, ours := l.redundant(p, h, !bridged, at); isKey {
			return ours
		}
	}
	t := l.relay.tap.Load()
	if t != nil && (!bridged || !t.Open()) {
		t = nil
	}
	return l.audio(p, y.plays, h, data, t, bridged, at)
}

// event reports the keys in a telephone-event, and whether it must not be passed on.
// The tap hears of it: the beginning of its tone may have come as audio, for who makes
// the event needs some of the tone to know it, and the rest of it leaves a gap.
func (l *Leg) event(h header, rate int, apart bool, at time.Time) (ours bool) {
	presses, ours := l.keys.events.Feed(dtmf.Packet{SSRC: h.ssrc, Timestamp: h.ts, Payload: h.payload, ClockRate: rate, At: at}, apart)
	for _, press := range presses {
		l.press(press)
	}
	if t := l.relay.tap.Load(); t != nil && !apart {
		t.keyed(l.party, at)
	}
	return ours
}

// redundant looks for events in a payload of RFC 2198. isKey: there are some, or
// it can't be known.
func (l *Leg) redundant(p *place, h header, apart bool, at time.Time) (isKey, ours bool) {
	blocks := 0
	for r := dtmf.NewRedundant(h.payload, h.ts); r.Next(); blocks++ {
		if rate := p.payload(r.Type).event; rate != 0 {
			block := header{ssrc: h.ssrc, ts: r.Timestamp, payload: r.Payload}
			isKey, ours = true, l.event(block, rate, apart, at) || ours
		}
	}
	return isKey || blocks == 0, ours
}

func (l *Leg) press(p consent.Press) {
	l.relay.emit(Event{Kind: KeyPressed, Party: l.party, Press: p})
}

// audio hands a packet of audio to the tap, if there is one, and looks for tones
// in it, where they matter to the call.
func (l *Leg) audio(p *place, c *codec.Codec, h header, data []byte, t *Tap, bridged bool, at time.Time) (ours bool) {
	if t != nil {
		t.offer(l.party, p, data, at)
	}
	if c == nil || !l.inward.inBand || !l.keys.wanted.Load() && !l.keys.tones.oursSounds() {
		return false
	}
	if l.keys.tones == nil {
		l.keys.tones = new(tones)
	}
	b := l.keys.tones
	if _, key := b.take(h, c); key != 0 {
		b.ours = !bridged
		since, _ := b.found.Sounds()
		sofar := b.found.End() - since
		l.press(consent.Press{Key: key, Via: "inband", SSRC: h.ssrc, RTPTime: b.next - uint32(sofar)*uint32(c.Clock/dtmf.Rate),
			Duration: samples(int(sofar)), At: at})
	}
	return b.oursSounds()
}

// tones finds keys in one leg's audio, however its packets come.
type tones struct {
	found dtmf.Tones
	begun bool
	cut   bool // what came before the packet that is expected wasn't to be heard
	ssrc  uint32
	next  uint32 // RTP time of the packet that is expected
	ours  bool   // the latest key began while the parties were apart: the other doesn't hear its end

	codec   *codec.Codec // of the latest packet
	decoder codec.Decoder
	pcm     []int16 // of the packet in hand
}

// oursSounds reports whether a key goes on that began while the parties were
// apart. A no has made keys worthless by then, but the other party needn't hear it.
func (b *tones) oursSounds() bool {
	if b == nil || !b.ours {
		return false
	}
	_, sounds := b.found.Sounds()
	return sounds
}

// missed says that the party wasn't listened to for a while.
func (b *tones) missed() { b.cut = true }

// span is a packet's place in a leg's audio, in samples.
type span struct{ from, to int64 }

// longestLoss is how much of a tone may be lost in one piece; a longer break is
// silence.
const longestLoss = 3 * dtmf.Rate / 50

// take looks for tones in a packet, and returns its place and the key that counts
// with it, if one does.
func (b *tones) take(h header, c *codec.Codec) (s span, key consent.Key) {
	ticks := c.Clock / dtmf.Rate // of the RTP clock to a sample
	gap := int32(h.ts-b.next) / int32(ticks)
	n := len(h.payload) / c.Width / ticks
	switch {
	case b.cut: // there may have been a tone that goes on
		b.found.Lose(longestLoss)
	case b.begun && h.ssrc != b.ssrc: // another source goes on where the last one stopped
	case b.begun && gap < 0 && gap > -dtmf.Rate: // it is late, and was taken for lost
		from := b.found.End() + int64(gap)
		return span{from, from + int64(n)}, 0
	case b.begun && gap > 0 && gap <= longestLoss:
		b.found.Lose(int(gap))
	case gap != 0:
		b.found.Rest()
	}
	b.begun, b.cut, b.ssrc, b.next = true, false, h.ssrc, h.ts+uint32(n*ticks)
	b.decode(h.payload, c)
	s.from = b.found.End()
	key = b.found.Feed(b.pcm[:n])
	s.to = b.found.End()
	return s, key
}

// decode puts a payload's audio at 8 kHz into pcm. Two samples of 16 kHz make one
// by their mean, which leaves little above the telephone's band where a key's
// frequencies would have their mirror images.
func (b *tones) decode(payload []byte, c *codec.Codec) {
	if b.codec != c {
		b.codec, b.decoder = c, c.NewDecoder()
	}
	b.pcm = b.decoder.Decode(b.pcm[:0], payload)
	if c.Rate == dtmf.Rate {
		return
	}
	for i := range len(b.pcm) / 2 {
		b.pcm[i] = int16((int(b.pcm[2*i]) + int(b.pcm[2*i+1])) / 2)
	}
}
