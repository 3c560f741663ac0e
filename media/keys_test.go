package media_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/zaf/g711"

	"consentgate/consent"
	"consentgate/media"
)

// talker makes one party's audio packets, 20 ms each, and gives them to its leg.
type talker struct {
	*call
	leg     *media.Leg
	seq     uint16
	sent    [][]byte
	samples int
}

func newTalker(t *testing.T, inBand bool) *talker {
	c := newCall(t)
	p := c.remote.full()
	p.InBand = inBand
	c.relay.Leg(consent.Remote).SetPeer(p)
	return &talker{call: c, leg: c.relay.Leg(consent.Remote)}
}

// say sends so many packets of sines; none is silence. A packet begins with its
// number, so that no two are alike.
func (k *talker) say(packets int, hz ...float64) {
	for range packets {
		payload := make([]byte, 160)
		for i := range payload {
			v := 0.0
			for _, f := range hz {
				v += 3000 * math.Sin(2*math.Pi*f*float64(k.samples)/8000)
			}
			payload[i] = g711.EncodeUlawFrame(int16(v))
			k.samples++
		}
		payload[0] = byte(k.seq)
		k.give(packet(k.seq, uint32(k.samples-160), 7, 0, payload))
	}
}

func (k *talker) give(raw []byte) {
	k.seq++
	k.sent = append(k.sent, bytes.Clone(raw))
	k.leg.Receive(raw, at(k.remote.rtp), time.Now())
}

// heard reports which of the packets sent the other party got.
func (k *talker) heard() string { return k.which(func() []byte { return k.pbx.next() }) }

// next is the packet that lies in the socket, nil if none does.
func (e *end) next() []byte {
	if b, ok := e.read(e.rtp, 50*time.Millisecond); ok {
		return bytes.Clone(b)
	}
	return nil
}

func (k *talker) which(next func() []byte) string {
	var out strings.Builder
	got := next()
	for i, sent := range k.sent {
		if got != nil && bytes.Equal(got, sent) {
			fmt.Fprint(&out, i, " ")
			got = next()
		}
	}
	return out.String()
}

// kept reports which of them a recorder got.
func (k *talker) kept(s *sink) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.packets
	return k.which(func() []byte {
		if len(rest) == 0 {
			return nil
		}
		p := rest[0]
		rest = rest[1:]
		return p
	})
}

// numbers are those from a to b, but for some.
func numbers(a, b int, but ...int) string {
	var out strings.Builder
	for i := a; i <= b; i++ {
		if len(but) == 0 || i < but[0] || i > but[1] {
			fmt.Fprint(&out, i, " ")
		}
	}
	return out.String()
}

// TestTonesAreKeysWhereEventsWereNotAgreedOn, and while keys matter.
func TestTonesAreKeysWhereEventsWereNotAgreedOn(t *testing.T) {
	for _, c := range []struct{ inBand, wanted bool }{{true, true}, {true, false}, {false, true}} {
		k := newTalker(t, c.inBand)
		k.leg.Listen(c.wanted)
		k.say(5, 440)
		k.say(3, 697, 1336)
		k.say(5)
		if c.inBand && c.wanted {
			ev := <-k.events
			p := ev.Press
			if ev.Kind != media.KeyPressed || ev.Party != consent.Remote || p.Key != '2' || p.Via != "inband" || p.SSRC != 7 ||
				p.RTPTime < 760 || p.RTPTime > 840 || p.Duration < 35*time.Millisecond || p.Duration > 60*time.Millisecond {
				t.Errorf("%+v", ev)
			}
		}
		if len(k.events) != 0 {
			t.Errorf("%+v: %+v", c, <-k.events)
		}
	}
}

// TestTonesNeverReachARecorder, whether they are keys to us or an event carries
// the key; the other party hears them at once.
func TestTonesNeverReachARecorder(t *testing.T) {
	for _, inBand := range []bool{true, false} {
		k := newTalker(t, inBand)
		k.leg.Listen(true)
		k.relay.Bridge()
		s := &sink{}
		tap := k.open(t, s)
		k.say(10, 440) // 0 to 9
		k.say(4, 697, 1336)
		k.say(10, 440) // 14 to 23
		if got := k.heard(); got != numbers(0, 23) {
			t.Errorf("the other party heard %s", got)
		}
		tap.Close("end")
		sealed(t, tap)
		if got := k.kept(s); got != numbers(0, 23, 9, 14) && got != numbers(0, 23, 9, 13) && got != numbers(0, 23, 10, 13) && got != numbers(0, 23, 10, 14) {
			t.Errorf("recorded: %s", got)
		}
		if len(s.gaps) != 1 || s.gaps[0] != "remote dtmf" {
			t.Errorf("gaps: %q", s.gaps)
		}
	}
}

// TestAToneThatACloseCutsOffIsNotRecorded, though it was too short to be a key.
func TestAToneThatACloseCutsOffIsNotRecorded(t *testing.T) {
	k := newTalker(t, true)
	k.relay.Bridge()
	s := &sink{}
	tap := k.open(t, s)
	k.say(10, 440)
	k.say(1, 697, 1336)
	tap.Close("end")
	sealed(t, tap)
	if got := k.kept(s); got != numbers(0, 9) && got != numbers(0, 8) || len(s.gaps) != 1 {
		t.Errorf("recorded: %s, gaps %q", got, s.gaps)
	}
}

// TestWhatLeaksOfAnEventsToneIsNotRecorded: a gateway needs 20 ms of a tone to make
// an event of it.
func TestWhatLeaksOfAnEventsToneIsNotRecorded(t *testing.T) {
	k := newTalker(t, false)
	k.relay.Bridge()
	s := &sink{}
	tap := k.open(t, s)
	k.say(10, 440)
	k.say(1, 697, 1336)
	k.give(event(k.seq, uint32(k.samples), 2, false, 160))
	k.give(event(k.seq, uint32(k.samples), 2, true, 800))
	k.samples += 800
	k.say(5, 440) // 13 to 17
	tap.Close("end")
	sealed(t, tap)
	if got := k.kept(s); got != numbers(0, 17, 10, 12) && got != numbers(0, 17, 9, 12) {
		t.Errorf("recorded: %s", got)
	}
}

// TestAudioBeforeAPauseInSpeechIsRecorded: it needn't wait for what comes next.
func TestAudioBeforeAPauseInSpeechIsRecorded(t *testing.T) {
	k := newTalker(t, true)
	k.relay.Bridge()
	s := &sink{}
	tap := k.open(t, s)
	k.say(10, 440)
	until(t, "the last packet is recorded, though none comes after it", func() bool { return s.count() == 10 })
	tap.Close("end")
	sealed(t, tap)
}

// TestTheEndOfAConsentToneIsOurs: the other party doesn't hear it when the
// parties are connected in the middle of it, and hears what follows.
func TestTheEndOfAConsentToneIsOurs(t *testing.T) {
	k := newTalker(t, true)
	k.leg.Listen(true)
	k.say(2)
	k.say(3, 697, 1209)
	<-k.events
	k.leg.Listen(false) // as after a no
	k.relay.Bridge()
	tap := k.open(t, discard{})
	defer tap.Close("end")
	k.say(5, 697, 1209) // 5 to 9
	k.say(6, 440)       // 10 to 15
	got := k.heard()
	if !strings.HasSuffix(got, numbers(12, 15)) || strings.HasPrefix(got, "5 ") || strings.Contains(got, " 9 ") {
		t.Errorf("the other party heard %s", got)
	}
	k.say(3, 697, 1209) // a key pressed while connected
	if got := k.heard(); got != numbers(16, 18) {
		t.Errorf("of the second key the other party heard %s", got)
	}
}

// TestKeysComeWithRedundancy (RFC 2198): they count once, at any clock rate, and
// never reach a recorder.
func TestKeysComeWithRedundancy(t *testing.T) {
	k := newTalker(t, false)
	p := k.remote.full()
	p.Codecs = append(p.Codecs, media.Codec{Name: "red", PayloadType: 121, ClockRate: 48000})
	k.leg.SetPeer(p)
	k.relay.Bridge()
	s := &sink{}
	tap := k.open(t, s)
	k.say(1, 440)
	first, second := []byte{1, 0x8a, 0x12, 0xc0}, []byte{2, 0x8a, 0x12, 0xc0} // 100 ms at 48 kHz
	block := []byte{0x80 | 102, 9600 >> 6, 9600 & 0x3f << 2, 4, 102}
	k.give(packet(k.seq, 20000, 7, 121, append([]byte{102}, first...)))
	k.give(packet(k.seq, 29600, 7, 121, append(append(block, first...), second...)))
	k.give(packet(k.seq, 9, 7, 121, []byte{0x80 | 102, 0, 0})) // cut off: who knows what was in it
	k.say(1, 440)
	for _, want := range "12" {
		if ev := <-k.events; rune(ev.Press.Key) != want || ev.Press.Duration != 100*time.Millisecond {
			t.Errorf("%+v, want %c", ev.Press, want)
		}
	}
	if got := k.heard(); got != numbers(0, 4) || len(k.events) != 0 {
		t.Errorf("the other party heard %s, and %d more events", got, len(k.events))
	}
	tap.Close("end")
	sealed(t, tap)
	if got := k.kept(s); got != "0 4 " {
		t.Errorf("recorded: %s", got)
	}
}

// TestLateAndLostPacketsLeaveTonesWhatTheyAre.
func TestLateAndLostPacketsLeaveTonesWhatTheyAre(t *testing.T) {
	k := newTalker(t, true)
	k.leg.Listen(true)
	k.relay.Bridge()
	s := &sink{}
	tap := k.open(t, s)
	k.say(5, 440)
	k.say(1, 697, 1336)
	late := k.sent[5]
	k.samples += 160 // one is lost
	k.say(2, 697, 1336)
	k.give(packet(99, uint32(6*160), 7, 0, late[12:])) // and comes after all
	k.say(5, 440)                                      // 9 to 13
	if ev := <-k.events; ev.Press.Key != '2' || len(k.events) != 0 {
		t.Errorf("%+v and %d more", ev, len(k.events))
	}
	tap.Close("end")
	sealed(t, tap)
	got := k.kept(s)
	if !strings.HasPrefix(got, numbers(0, 3)) || !strings.HasSuffix(got, numbers(11, 13)) || strings.ContainsAny(strings.Join(strings.Fields(got)[3:], ""), "5678") {
		t.Errorf("recorded: %s", got)
	}
}

// TestLookingForTonesAllocatesNothing per packet.
func TestLookingForTonesAllocatesNothing(t *testing.T) {
	k := newTalker(t, true)
	k.leg.Listen(true)
	k.say(1, 440)
	raw := bytes.Clone(k.sent[0])
	from := at(k.remote.rtp)
	seq := uint32(k.seq)
	if n := testing.AllocsPerRun(200, func() {
		seq++
		copy(raw, packet0(raw, seq))
		k.leg.Receive(raw, from, time.Time{})
	}); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

// packet0 moves a packet to the next place in its stream.
func packet0(raw []byte, seq uint32) []byte {
	raw[2], raw[3] = byte(seq>>8), byte(seq)
	ts := seq * 160
	raw[4], raw[5], raw[6], raw[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
	return raw
}
