package media_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/media/codec"
)

// playable are the codecs that a prompt can be played in, as a description might
// number them.
var playable = []media.Codec{{Name: "PCMU", ClockRate: 8000}, {Name: "PCMA", PayloadType: 8, ClockRate: 8000},
	{Name: "G722", PayloadType: 9, ClockRate: 8000, Channels: 1}, {Name: "L16", PayloadType: 97, ClockRate: 8000},
	{Name: "L16", PayloadType: 98, ClockRate: 16000}}

// eventsAt16k is what a telephone that talks L16 at 16 kHz has for its keys.
var eventsAt16k = media.Codec{Name: "TELEPHONE-EVENT", PayloadType: 102, ClockRate: 16000}

func (e *end) speaking(c media.Codec, ptime time.Duration) media.Peer {
	p := e.peer()
	p.Codec, p.Codecs, p.Ptime = c, []media.Codec{c, eventsAt16k}, ptime
	return p
}

func decoder(t testing.TB, c media.Codec) codec.Decoder {
	t.Helper()
	found := codec.Lookup(c.Name, c.ClockRate)
	if found == nil {
		t.Fatalf("there is no %s/%d", c.Name, c.ClockRate)
	}
	return found.NewDecoder()
}

// share is how much of the energy is at a frequency.
func share(pcm []int16, hz float64, rate int) float64 {
	var re, im, energy float64
	for i, s := range pcm {
		w := 2 * math.Pi * hz * float64(i) / float64(rate)
		re, im, energy = re+float64(s)*math.Cos(w), im+float64(s)*math.Sin(w), energy+float64(s)*float64(s)
	}
	return 2 * (re*re + im*im) / (energy*float64(len(pcm)) + 1)
}

func sine(hz float64, d time.Duration) *media.Audio {
	pcm := make([]int16, d*8000/time.Second)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/8000))
	}
	return &media.Audio{ID: "sine", PCM: pcm}
}

// TestAPromptIsHeardInEveryCodecAndPacketLength: the tone comes whole, in one
// stream whose time is that of the codec's clock, in packets that aren't
// fragmented on the way.
func TestAPromptIsHeardInEveryCodecAndPacketLength(t *testing.T) {
	audio := sine(1000, 240*time.Millisecond)
	for _, c := range playable {
		for _, ms := range []int{5, 10, 20, 30, 40, 60} {
			t.Run(fmt.Sprintf("%s-%d-%dms", c.Name, c.ClockRate, ms), func(t *testing.T) {
				hears(t, c, audio, ms)
			})
		}
	}
}

func hears(t *testing.T, c media.Codec, audio *media.Audio, ms int) {
	call := newCall(t)
	l := call.relay.Leg(consent.Remote)
	l.SetPeer(call.remote.speaking(c, time.Duration(ms)*time.Millisecond))
	if played := play(t, l, audio); !played.Complete || played.Heard != audio.Duration() || played.Err != nil {
		t.Errorf("%+v", played)
	}
	if c.Name == "L16" && c.ClockRate == 16000 && ms == 60 {
		ms = 20
	}
	dec := decoder(t, c)
	var pcm []int16
	var last rtp.Packet
	for i := range 240 / ms {
		p := call.remote.recv()
		gone := p.Timestamp - last.Timestamp
		inStep := gone == uint32(ms*c.ClockRate/1000) && !p.Marker
		slept := gone > uint32(ms*c.ClockRate/1000) && p.Marker // the machine did: time went on
		if p.PayloadType != c.PayloadType || i > 0 && (p.SSRC != last.SSRC || p.SequenceNumber != last.SequenceNumber+1 || !inStep && !slept) || i == 0 && !p.Marker {
			t.Fatalf("packet %d is %v after %v", i, p.Header, last.Header)
		}
		last = p
		if raw := len(p.Payload) + 12; raw > 1472 {
			t.Fatalf("a packet of %d bytes", raw)
		}
		pcm = dec.Decode(pcm, p.Payload)
	}
	call.remote.heardNothing()
	rate := codec.Lookup(c.Name, c.ClockRate).Rate
	if len(pcm) != 240*rate/1000 {
		t.Errorf("%d samples came", len(pcm))
	}
	if s := share(pcm, 1000, rate); s < 0.97 {
		t.Errorf("%.2f of what came is the tone", s)
	}
}

// TestSilenceAfterANoticeIsSilentInEveryCodec: it is what the codec has for it.
func TestSilenceAfterANoticeIsSilentInEveryCodec(t *testing.T) {
	for _, c := range playable {
		call := newCall(t)
		l := call.relay.Leg(consent.Local)
		l.SetPeer(call.pbx.speaking(c, 20*time.Millisecond))
		l.Notice(sine(1000, 40*time.Millisecond))
		dec := decoder(t, c)
		var last rtp.Packet
		for i := range 70 { // beyond the silence that is encoded
			p := call.pbx.recv()
			if i > 0 && (p.SequenceNumber != last.SequenceNumber+1 || p.Timestamp != last.Timestamp+uint32(c.ClockRate/50)) {
				t.Fatalf("%v follows %v", p.Header, last.Header)
			}
			last = p
			for _, s := range dec.Decode(nil, p.Payload) {
				if i > 10 && (s > 32 || s < -32) {
					t.Fatalf("%s/%d: packet %d of a notice of two has a sample of %d", c.Name, c.ClockRate, i, s)
				}
			}
		}
	}
}

// TestStereoIsNotPlayable, nor other rates.
func TestStereoIsNotPlayable(t *testing.T) {
	for _, c := range []media.Codec{{Name: "L16", ClockRate: 16000, Channels: 2}, {Name: "L16", ClockRate: 44100}, {Name: "OPUS", ClockRate: 48000, Channels: 2}} {
		if c.Playable() {
			t.Errorf("%+v", c)
		}
	}
	for _, c := range playable {
		if !c.Playable() {
			t.Errorf("%+v isn't", c)
		}
	}
}

// TestSpeechJoinsAPromptByItsOwnClock: from prompt to speech it is one stream, and
// the time between them is counted in ticks of the codec's clock, for speech and
// for a key of the same clock.
func TestSpeechJoinsAPromptByItsOwnClock(t *testing.T) {
	for name, c := range map[string]struct {
		codec media.Codec
		pt    uint8
		body  []byte
	}{
		"G.722":            {playable[2], 9, make([]byte, 160)},
		"L16 at 16 kHz":    {playable[4], 98, make([]byte, 640)},
		"a key at 16 kHz":  {playable[4], 102, []byte{1, 10, 0, 160}},
		"a key with G.722": {playable[2], 101, []byte{1, 10, 0, 160}},
	} {
		call := newCall(t)
		play(t, call.relay.Leg(consent.Local), speech(160)) // in PCMU, before a re-INVITE
		call.pbx.recv()
		call.relay.Leg(consent.Local).SetPeer(call.pbx.speaking(c.codec, 20*time.Millisecond))
		call.relay.Leg(consent.Remote).SetPeer(call.remote.speaking(c.codec, 20*time.Millisecond))
		begun := time.Now()
		play(t, call.relay.Leg(consent.Local), speech(160))
		prompt := call.pbx.recv()
		call.relay.Bridge()
		came := time.Now()
		<-time.After(50 * time.Millisecond) // how long doesn't matter, but that it counts
		waited := time.Since(came)
		call.remote.send(packet(65535, 4_000_000_000, 77, c.pt, c.body))
		first := call.pbx.recv()
		least, most := ticks(waited, c.codec), ticks(time.Since(begun), c.codec)+uint32(c.codec.ClockRate/50)
		if gone := first.Timestamp - prompt.Timestamp; gone < least || gone > most {
			t.Errorf("%s: %d ticks between prompt and speech, %d to %d went by", name, gone, least, most)
		}
		call.remote.send(packet(0, 4_000_000_000+uint32(c.codec.ClockRate/50), 77, c.pt, c.body))
		second := call.pbx.recv()
		if first.SSRC != prompt.SSRC || first.SequenceNumber != prompt.SequenceNumber+1 || !first.Marker ||
			second.SSRC != prompt.SSRC || second.SequenceNumber != first.SequenceNumber+1 || second.Marker ||
			second.Timestamp != first.Timestamp+uint32(c.codec.ClockRate/50) || !bytes.Equal(first.Payload, c.body) {
			t.Errorf("%s: %v and %v follow %v", name, first.Header, second.Header, prompt.Header)
		}
	}
}

func ticks(d time.Duration, c media.Codec) uint32 {
	return uint32(d * time.Duration(c.ClockRate) / time.Second)
}

// TestAPromptJoinsSpeechByItsClock: the other way round.
func TestAPromptJoinsSpeechByItsClock(t *testing.T) {
	call := newCall(t)
	c := playable[4]
	call.relay.Leg(consent.Local).SetPeer(call.pbx.speaking(c, 20*time.Millisecond))
	call.relay.Leg(consent.Remote).SetPeer(call.remote.speaking(c, 20*time.Millisecond))
	call.relay.Bridge()
	begun := time.Now()
	call.remote.send(packet(7, 1000, 77, 98, make([]byte, 640)))
	call.pbx.recv()
	call.relay.Gate()
	came := time.Now()
	<-time.After(50 * time.Millisecond)
	waited := time.Since(came)
	play(t, call.relay.Leg(consent.Local), speech(160))
	p := call.pbx.recv()
	least, most := ticks(waited, c), ticks(time.Since(begun), c)+320
	if gone := p.Timestamp - 1000; p.SSRC != 77 || p.SequenceNumber != 8 || !p.Marker || gone < least || gone > most {
		t.Errorf("%v: %d ticks, %d to %d went by", p.Header, gone, least, most)
	}
}

// TestEachPacketOfAPromptLastsByItsOwnClock when a re-INVITE changes the codec in
// the middle of it.
func TestEachPacketOfAPromptLastsByItsOwnClock(t *testing.T) {
	call := newCall(t)
	l := call.relay.Leg(consent.Remote)
	audio := speech(8000 * 20)
	for _, c := range playable { // the first call in a codec would wait for it
		audio.In(c.Name, c.ClockRate)
	}
	l.Play(audio, func(media.Played) {})
	last := call.remote.recv()
	lasts := map[uint8]uint32{0: 160, 9: 160, 98: 320}
	for _, c := range []media.Codec{playable[4], playable[2], playable[4], playable[0]} {
		l.SetPeer(call.remote.speaking(c, 20*time.Millisecond))
		for last.PayloadType != c.PayloadType {
			next := call.remote.recv()
			if next.SSRC != last.SSRC || next.SequenceNumber != last.SequenceNumber+1 || next.Timestamp != last.Timestamp+lasts[last.PayloadType] {
				t.Fatalf("%v follows %v", next.Header, last.Header)
			}
			last = next
		}
	}
}

// TestKeysAt16kHzLastByTheirClock: 40 ms are 640 ticks, and less doesn't count yet.
func TestKeysAt16kHzLastByTheirClock(t *testing.T) {
	call := newCall(t)
	call.relay.Leg(consent.Remote).SetPeer(call.remote.speaking(playable[4], 20*time.Millisecond))
	call.remote.send(packet(1, 100, 7, 102, []byte{5, 10, 2, 0x7f}))
	call.remote.send(packet(2, 9000, 7, 102, []byte{6, 10, 2, 0x80}))
	ev := <-call.events
	if ev.Press.Key != '6' || ev.Press.Duration != 40*time.Millisecond {
		t.Errorf("%+v", ev.Press)
	}
}

// TestAPromptIsEncodedOnceForAllCalls, and sending a packet of it allocates
// nothing.
func TestAPromptIsEncodedOnceForAllCalls(t *testing.T) {
	audio := sine(1000, time.Second)
	for _, c := range playable {
		call := newCall(t)
		l := call.relay.Leg(consent.Remote)
		l.SetPeer(call.remote.speaking(c, 20*time.Millisecond))
		buf := make([]byte, 0, 2000)
		n := 0
		if allocs := testing.AllocsPerRun(100, func() { l.SendFrame(audio, n, buf); n += 160 }); allocs != 0 {
			t.Errorf("%s/%d: %v allocations a packet", c.Name, c.ClockRate, allocs)
		}
		if a, b := audio.In(c.Name, c.ClockRate), audio.In(c.Name, c.ClockRate); &a[0] != &b[0] {
			t.Errorf("%s/%d was encoded twice", c.Name, c.ClockRate)
		}
	}
}

// TestKeysAreTonesInEveryCodec: 60 ms of a key between speech are that key, where
// they were, and reach no recorder.
func TestKeysAreTonesInEveryCodec(t *testing.T) {
	for _, c := range playable {
		call := newCall(t)
		l := call.relay.Leg(consent.Remote)
		p := call.remote.speaking(c, 20*time.Millisecond)
		p.InBand = true
		l.SetPeer(p)
		l.Listen(true)
		call.relay.Bridge()
		s := &sink{}
		tap := call.open(t, s)
		found := codec.Lookup(c.Name, c.ClockRate)
		enc, rate := found.NewEncoder(), found.Rate
		const packets, first, last = 40, 20, 22
		for i := range packets {
			hz := []float64{440, 3100}
			if i >= first && i <= last {
				hz = []float64{770, 1336}
			}
			pcm := make([]int16, rate/50)
			for j := range pcm {
				for _, f := range hz {
					pcm[j] += int16(4000 * math.Sin(2*math.Pi*f*float64(i*len(pcm)+j)/float64(rate)))
				}
			}
			l.Receive(packet(uint16(i), uint32(i*c.ClockRate/50), 7, c.PayloadType, enc.Encode(nil, pcm)), at(call.remote.rtp), time.Now())
		}
		tap.Close("end")
		sealed(t, tap)
		select {
		case ev := <-call.events:
			begun := float64(ev.Press.RTPTime) / float64(c.ClockRate)
			if ev.Press.Key != '5' || ev.Press.Via != "inband" || begun < 0.39 || begun > 0.41 {
				t.Errorf("%s/%d: %+v, %.3f s from the beginning", c.Name, c.ClockRate, ev.Press, begun)
			}
		default:
			t.Errorf("%s/%d: no key", c.Name, c.ClockRate)
		}
		for _, raw := range s.packets {
			if n := int(raw[3]); n >= first && n <= last {
				t.Errorf("%s/%d: packet %d of the key was recorded", c.Name, c.ClockRate, n)
			}
		}
		if len(s.packets) < packets-6 || len(call.events) != 0 {
			t.Errorf("%s/%d: %d packets were recorded, %d more keys came", c.Name, c.ClockRate, len(s.packets), len(call.events))
		}
	}
}
