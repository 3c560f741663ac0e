package media_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zaf/g711"

	"consentgate/consent"
	"consentgate/media"
)

func TestAPromptArrivesWholeAndInStep(t *testing.T) {
	c := newCall(t)
	audio := speech(160*3 + 40) // the last packet is filled with silence
	begun := time.Now()
	played := play(t, c.relay.Leg(consent.Remote), audio)
	if played.Err != nil || !played.Complete || played.Heard != audio.Duration() {
		t.Errorf("played %+v, want %v complete", played, audio.Duration())
	}
	if took := time.Since(begun); took < audio.Duration() {
		t.Errorf("heard to its end after %v, before it can have been", took)
	}
	want := make([]byte, 0, 640)
	for _, s := range audio.PCM {
		want = append(want, g711.EncodeUlawFrame(s))
	}
	for len(want) < 640 {
		want = append(want, g711.EncodeUlawFrame(0))
	}
	var got []byte
	first := c.remote.recv()
	if !first.Marker || first.PayloadType != 0 {
		t.Errorf("the first packet is %v", first.Header)
	}
	for p, i := first, 0; ; i++ {
		got = append(got, p.Payload...)
		if p.SSRC != first.SSRC || p.SequenceNumber != first.SequenceNumber+uint16(i) || p.Timestamp != first.Timestamp+uint32(160*i) || p.Marker != (i == 0) {
			t.Errorf("packet %d is %v after %v", i, p.Header, first.Header)
		}
		if len(got) == 640 {
			break
		}
		p = c.remote.recv()
	}
	if string(got) != string(want) {
		t.Error("the payload isn't the prompt")
	}
	c.pbx.heardNothing()
}

func TestWhatCannotBePlayedEndsAtOnce(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	for name, p := range map[string]media.Peer{
		"no address":     {Codec: media.Codec{Name: "PCMU", ClockRate: 8000}},
		"no codec":       {RTP: at(c.remote.rtp)},
		"another codec":  {RTP: at(c.remote.rtp), Codec: media.Codec{Name: "OPUS", PayloadType: 96, ClockRate: 48000}},
		"unusable clock": {RTP: at(c.remote.rtp), Codec: media.Codec{Name: "PCMU", PayloadType: 96, ClockRate: 16000}},
	} {
		l.SetPeer(p)
		if played := play(t, l, speech(160)); !errors.Is(played.Err, media.ErrCannotPlay) || played.Complete || played.Heard != 0 {
			t.Errorf("%s: %+v", name, played)
		}
	}
	l.SetPeer(c.remote.peer())
	for name, a := range map[string]*media.Audio{"nil": nil, "empty": {}} {
		if played := play(t, l, a); !errors.Is(played.Err, media.ErrCannotPlay) || played.Complete {
			t.Errorf("%s: %+v", name, played)
		}
	}
	c.relay.Close()
	if played := play(t, l, speech(160)); !errors.Is(played.Err, media.ErrCannotPlay) {
		t.Errorf("after Close: %+v", played)
	}
}

func TestAPartyThatHasNoDescriptionYetGetsNoPrompt(t *testing.T) {
	_, _, engine := newEngine(t, media.PoolConfig{Min: 12100, Max: 12199})
	r, err := engine.NewRelay("call", media.Sides{Trunk: "main", Remote: loopback, Local: loopback}, func(media.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l := r.Leg(consent.Remote)
	if played := play(t, l, speech(160)); played.Err == nil {
		t.Error("a prompt was played to nobody")
	}
	l.Notice(nil)
	p := newEnd(t, l.Addr())
	l.SetPeer(p.peer())
	p.recv() // it begins when it can
}

func TestANewPromptReplacesTheOldInTheSameStream(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	old := make(chan media.Played, 2)
	l.Play(speech(8000*60), func(p media.Played) { old <- p })
	last := c.remote.recv()
	next := make(chan media.Played, 2)
	l.Play(speech(160), func(p media.Played) { next <- p })
	if p := ended(t, old); p.Complete || p.Err != nil || p.Heard == 0 || p.Heard > time.Minute/2 {
		t.Errorf("the old prompt: %+v", p)
	}
	if p := ended(t, next); !p.Complete {
		t.Errorf("the new prompt: %+v", p)
	}
	l.Notice(nil)
	for spurts := 0; spurts < 2; {
		p := c.remote.recv()
		if p.SSRC != last.SSRC || p.SequenceNumber != last.SequenceNumber+1 || int32(p.Timestamp-last.Timestamp) < 160 {
			t.Fatalf("%v follows %v", p.Header, last.Header)
		}
		if p.Marker {
			spurts++
		}
		last = p
	}
	l.Stop()
	if len(old) != 0 || len(next) != 0 {
		t.Error("done was called twice")
	}
}

func TestDoneMayStartTheNextPrompt(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	done := make(chan media.Played, 1)
	l.Play(speech(160), func(media.Played) {
		l.Stop()
		l.Play(speech(320), func(p media.Played) { done <- p })
	})
	if p := ended(t, done); !p.Complete || p.Heard != 40*time.Millisecond {
		t.Errorf("the second prompt: %+v", p)
	}
}

func TestClosingTheRelayEndsThePromptIncomplete(t *testing.T) {
	c := newCall(t)
	var calls atomic.Int32
	var got media.Played
	c.relay.Leg(consent.Remote).Play(speech(8000*60), func(p media.Played) { calls.Add(1); got = p })
	c.remote.raw(c.remote.rtp)
	c.relay.Close()
	if calls.Load() != 1 || got.Complete || got.Heard == 0 {
		t.Errorf("done was called %d times with %+v", calls.Load(), got)
	}
}

func TestAPromptFollowsTheCodecOfTheMoment(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	l.Play(speech(8000*60), func(media.Played) {})
	last := c.remote.recv()
	p := c.remote.peer()
	p.Codec = media.Codec{Name: "PCMA", PayloadType: 8, ClockRate: 8000}
	p.Ptime = 30 * time.Millisecond
	l.SetPeer(p)
	for last.PayloadType != 8 {
		next := c.remote.recv()
		if next.SequenceNumber != last.SequenceNumber+1 || next.Timestamp != last.Timestamp+uint32(len(last.Payload)) {
			t.Fatalf("%v follows %v of %d samples", next.Header, last.Header, len(last.Payload))
		}
		last = next
	}
	if len(last.Payload) != 240 {
		t.Errorf("a packet of 30 ms holds %d samples", len(last.Payload))
	}
}

func TestOnlyWhatWasSentWasHeard(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	done := make(chan media.Played, 1)
	l.Play(speech(1600), func(p media.Played) { done <- p })
	first := c.remote.recv()
	l.SetPeer(media.Peer{Codec: media.Codec{Name: "PCMU", ClockRate: 8000}}) // on hold for the rest of it
	played := ended(t, done)
	if played.Complete || played.Heard >= 200*time.Millisecond {
		t.Errorf("on hold, yet: %+v", played)
	}
	l.SetPeer(c.remote.peer())
	l.Notice(nil)
	for n := 160; ; n += 160 {
		p := c.remote.recv()
		if p.Marker { // the notice; what came before was heard
			if gone := p.Timestamp - first.Timestamp; gone < uint32(1600) {
				t.Errorf("%d samples of time went by during 1600 of prompt", gone)
			}
			if played.Heard != time.Duration(n)*time.Second/8000 {
				t.Errorf("%v heard, but %d samples came", played.Heard, n)
			}
			return
		}
	}
}

func TestANoticeGoesOnAsSilence(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Local)
	l.Notice(speech(160))
	if p := c.pbx.recv(); p.Payload[0] == g711.EncodeUlawFrame(0) {
		t.Error("the notice begins with silence")
	}
	for range 3 {
		for _, b := range c.pbx.recv().Payload {
			if b != g711.EncodeUlawFrame(0) {
				t.Fatalf("silence holds %#x", b)
			}
		}
	}
	c.relay.Bridge()
	for c.remote.send(spoken(1, 1, 1, 42)); len(c.pbx.recv().Payload) == 160; {
	}
}

func TestNothingOfAPromptFollowsItsStop(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	for range 50 {
		l.Notice(speech(160))
		c.remote.recv()
		l.Stop()
		if !l.Silent() {
			t.Fatal("Stop returned before the player's end")
		}
	}
}

// TestTimeGoesOnDuringAHoldInMidPrompt: the listener is on hold for a part of a
// notice, and hears the rest at its time, as a new talkspurt.
func TestTimeGoesOnDuringAHoldInMidPrompt(t *testing.T) {
	c := newCall(t)
	l := c.relay.Leg(consent.Remote)
	l.Notice(speech(8000 * 60))
	last := c.remote.recv()
	l.SetPeer(media.Peer{Codec: media.Codec{Name: "PCMU", ClockRate: 8000}})
	begun := time.Now()
	<-time.After(100 * time.Millisecond) // the hold itself: how long doesn't matter
	gone := uint32(time.Since(begun) * 8000 / time.Second)
	l.SetPeer(c.remote.peer())
	for {
		p := c.remote.recv()
		if p.SequenceNumber != last.SequenceNumber+1 {
			t.Fatalf("%v follows %v", p.Header, last.Header)
		}
		if p.Marker {
			if p.Timestamp-last.Timestamp < gone {
				t.Errorf("%d samples of time passed in a hold of %d", p.Timestamp-last.Timestamp, gone)
			}
			return
		}
		if p.Timestamp-last.Timestamp != 160 {
			t.Fatalf("%v follows %v, and no talkspurt began", p.Header, last.Header)
		}
		last = p
	}
}
