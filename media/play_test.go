package media_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/media"
)

func netipNext(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), a.Port()+1) }

// tone is audio that isn't silence.
func tone(d time.Duration) *media.Audio {
	pcm := make([]int16, d*8000/time.Second)
	for i := range pcm {
		pcm[i] = int16(8000 * (1 - 2*(i/4%2)))
	}
	return &media.Audio{ID: "tone", PCM: pcm}
}

// TestPromptAndSpeechAreOneStream: early media, prompt, prompt again and speech
// reach the listener under one SSRC, each packet numbered after the last.
func TestPromptAndSpeechAreOneStream(t *testing.T) {
	r := newRig(t)
	listener, speaker := r.ends[consent.Remote], r.ends[consent.Local]
	var heard []rtp.Packet
	take := func(n int) {
		for range n {
			heard = append(heard, listener.recv())
		}
	}
	r.relay.Bridge()
	for i := range uint16(3) {
		speaker.send(voice(100 + i))
		take(1)
	}
	r.relay.Gate()
	for range 2 {
		done := make(chan media.Played, 1)
		r.relay.Leg(consent.Remote).Play(tone(200*time.Millisecond), func(p media.Played) { done <- p })
		take(10)
		if p := <-done; !p.Complete || p.Heard != 200*time.Millisecond || p.Err != nil {
			t.Errorf("%+v", p)
		}
	}
	r.relay.Bridge()
	for i := range uint16(3) {
		speaker.send(packet(5000+i, 777000+uint32(i)*160, 99, 0, make([]byte, 160)))
		take(1)
	}
	speaker.send(packet(4999, 777000-160, 99, 0, make([]byte, 160))) // too late: from before the talkspurt
	speaker.send(packet(5003, 777000+480, 99, 0, make([]byte, 160)))
	take(1)
	speaker.send(packet(1, 1, 100, 0, make([]byte, 160))) // the source changes: still one stream
	take(1)
	markers := 0
	for i := 1; i < len(heard); i++ {
		a, b := heard[i-1], heard[i]
		if b.SSRC != a.SSRC || b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) <= 0 ||
			b.Timestamp-a.Timestamp > 8000 {
			t.Errorf("packet %d: %x/%d/%d after %x/%d/%d", i, b.SSRC, b.SequenceNumber, b.Timestamp, a.SSRC, a.SequenceNumber, a.Timestamp)
		}
		if b.Marker {
			markers++
		}
	}
	if markers != 4 { // two prompts, two sources
		t.Errorf("%d markers", markers)
	}
	if r.counter("rtp_dropped_total", "late") != 1 {
		t.Error("the late packet wasn't dropped")
	}
}

// TestRTCPIsTrueForAMovedStream: after a prompt, reports speak of the numbers
// that each side knows.
func TestRTCPIsTrueForAMovedStream(t *testing.T) {
	r := newRig(t)
	listener, speaker := r.ends[consent.Remote], r.ends[consent.Local]
	done := make(chan media.Played, 1)
	r.relay.Leg(consent.Remote).Play(tone(40*time.Millisecond), func(p media.Played) { done <- p })
	<-done
	listener.recv()
	listener.recv()
	r.relay.Bridge()
	speaker.send(packet(5000, 8000, 99, 0, make([]byte, 160)))
	moved := listener.recv()
	send := func(e *end, ps ...rtcp.Packet) {
		raw, err := rtcp.Marshal(ps)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.rtcp.WriteToUDPAddrPort(raw, netipNext(e.to)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(e *end) []rtcp.Packet {
		raw, ok := e.read(e.rtcp, 5*time.Second)
		ps, err := rtcp.Unmarshal(raw)
		if !ok || err != nil {
			t.Fatal("no RTCP", err)
		}
		return ps
	}
	send(speaker, &rtcp.SenderReport{SSRC: 99, RTPTime: 8000})
	if sr := get(listener)[0].(*rtcp.SenderReport); sr.SSRC != moved.SSRC || sr.RTPTime != moved.Timestamp {
		t.Errorf("%+v, the listener knows %x at %d", sr, moved.SSRC, moved.Timestamp)
	}
	send(listener, &rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{
		{SSRC: moved.SSRC, LastSequenceNumber: 1<<16 | uint32(moved.SequenceNumber)}, {SSRC: 12345}}})
	rr := get(speaker)[0].(*rtcp.ReceiverReport)
	if len(rr.Reports) != 1 || rr.Reports[0].SSRC != 99 || uint16(rr.Reports[0].LastSequenceNumber) != 5000 {
		t.Errorf("%+v", rr)
	}
}

func TestStoppedPromptsAreIncomplete(t *testing.T) {
	r := newRig(t)
	leg := r.relay.Leg(consent.Remote)
	done := make(chan media.Played, 1)
	play := func() {
		leg.Play(tone(10*time.Second), func(p media.Played) { done <- p })
		r.ends[consent.Remote].recv()
	}
	for name, stop := range map[string]func(){"stop": leg.Stop, "another": func() { leg.Notice(nil) }, "bridge": r.relay.Bridge} {
		play()
		stop()
		if p := <-done; p.Complete || p.Heard > 5*time.Second {
			t.Errorf("%s: %+v", name, p)
		}
	}
	play()
	r.relay.Close()
	if p := <-done; p.Complete {
		t.Errorf("close: %+v", p)
	}
}

func TestWhatCannotBePlayedSaysSo(t *testing.T) {
	r := newRig(t)
	leg, e := r.relay.Leg(consent.Remote), r.ends[consent.Remote]
	held, noCodec := e.peer(), e.peer()
	held.RTP = netip.AddrPort{}
	noCodec.Codec = media.Codec{Name: "G729", ClockRate: 8000}
	for name, p := range map[string]media.Peer{"held": held, "no codec": noCodec} {
		leg.SetPeer(p)
		done := make(chan media.Played, 1)
		leg.Play(tone(time.Second), func(p media.Played) { done <- p })
		if got := <-done; got.Err == nil || got.Complete {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestACodecChangeInMidPromptIsFollowed, as by a re-INVITE.
func TestACodecChangeInMidPromptIsFollowed(t *testing.T) {
	r := newRig(t)
	e := r.ends[consent.Remote]
	done := make(chan media.Played, 1)
	r.relay.Leg(consent.Remote).Play(tone(400*time.Millisecond), func(p media.Played) { done <- p })
	if p := e.recv(); p.PayloadType != 0 {
		t.Fatal("not PCMU")
	}
	alaw := e.peer()
	alaw.Codec = media.Codec{Name: "PCMA", PayloadType: 8, ClockRate: 8000}
	r.relay.Leg(consent.Remote).SetPeer(alaw)
	saw := false
	for range 19 {
		saw = saw || e.recv().PayloadType == 8
	}
	if p := <-done; !p.Complete || !saw {
		t.Errorf("%+v, PCMA heard: %v", p, saw)
	}
}

func TestKeysCountOnceHoweverTheyCome(t *testing.T) {
	type pkt struct {
		ts       uint32
		code     byte
		end      bool
		duration uint16
	}
	for name, c := range map[string]struct {
		packets []pkt
		keys    string
	}{
		"as it should be":           {[]pkt{{1, 1, false, 0}, {1, 1, false, 160}, {1, 1, false, 320}, {1, 1, true, 480}, {1, 1, true, 480}, {1, 1, true, 480}}, "1"},
		"only an end packet":        {[]pkt{{1, 10, true, 800}}, "*"},
		"no end packet":             {[]pkt{{1, 11, false, 160}, {1, 11, false, 400}}, "#"},
		"a stray first packet":      {[]pkt{{1, 1, false, 0}}, ""},
		"two keys":                  {[]pkt{{1, 10, true, 800}, {5000, 9, true, 800}}, "*9"},
		"the same key twice":        {[]pkt{{1, 1, true, 800}, {9000, 1, true, 800}}, "11"},
		"a straggler":               {[]pkt{{1, 1, true, 800}, {9000, 2, true, 800}, {1, 1, true, 800}}, "12"},
		"a press of 10 seconds":     {[]pkt{{1, 5, false, 400}, {1, 5, false, 0xffff}, {1 + 0xffff, 5, false, 400}, {1 + 0xffff, 5, true, 800}}, "5"},
		"an event that isn't a key": {[]pkt{{1, 16, true, 800}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for i, p := range c.packets {
				r.ends[consent.Remote].send(event(uint16(i), p.ts, p.code, p.end, p.duration))
			}
			until(t, "all were taken", func() bool { return r.counter("rtp_packets_total", "carrier") == float64(len(c.packets)) })
			got := ""
			for len(r.events) > 0 {
				ev := <-r.events
				got += string(rune(ev.Press.Key))
				if ev.Party != consent.Remote || ev.Press.Via != "rfc4733" || ev.Press.SSRC != 7 || ev.Press.At.IsZero() {
					t.Errorf("%+v", ev)
				}
			}
			if got != c.keys {
				t.Errorf("%q, want %q", got, c.keys)
			}
		})
	}
}

// TestAConsentKeyIsSwallowedToItsEnd: begun while the parties were apart, its
// last packets don't pass although they are bridged by then. Later keys pass,
// and none reaches a recorder.
func TestAConsentKeyIsSwallowedToItsEnd(t *testing.T) {
	r := newRig(t)
	r.ends[consent.Remote].send(event(1, 100, 1, false, 400))
	<-r.events
	r.relay.Bridge()
	_, g := session(t)
	s := &sink{}
	tap, err := r.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint16(3) {
		r.ends[consent.Remote].send(event(2+i, 100, 1, true, 800))
	}
	r.ends[consent.Remote].send(event(9, 9000, 5, true, 800))
	if p := r.ends[consent.Local].recv(); p.PayloadType != 101 || p.Payload[0] != 5 {
		t.Errorf("%+v was heard", p)
	}
	r.ends[consent.Remote].send(voice(10))
	r.ends[consent.Local].recv()
	tap.Close("hang-up")
	<-tap.Done()
	if len(s.packets) != 1 || s.packets[0][1]&0x7f != 0 {
		t.Errorf("%d packets were recorded", len(s.packets))
	}
}
