package media_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// pass sends a packet of one byte from the remote party through the relay.
func (c *call) pass(b byte) {
	c.remote.send(spoken(1, uint16(b), uint32(b), b))
	c.pbx.recv()
}

func expect(t testing.TB, s *script, want ...string) {
	t.Helper()
	if got := s.told(); !slices.Equal(got, want) {
		t.Errorf("the recorder was told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARecordingTellsItsFormatsGapsAndEndInOrder(t *testing.T) {
	c := newCall(t)
	c.relay.Leg(consent.Remote).SetPeer(c.remote.full())
	c.relay.Bridge()
	c.pass(1) // before the tap
	s := &script{}
	tap := c.open(t, s)
	c.pass(2)
	c.remote.send(packet(3, 3, 1, 96, []byte{3}))
	c.pbx.recv()
	c.pbx.send(spoken(2, 1, 1, 4))
	c.remote.recv()
	tap.Pause("pause")
	c.pass(5)
	tap.Pause("hold")
	tap.Resume("pause")
	c.pass(6)
	tap.Resume("hold")
	tap.Resume("hold") // not paused for that
	c.pass(7)
	tap.Pause("hold")
	tap.Close("withdrawn")
	tap.Close("hang-up") // too late to be the reason
	tap.Pause("pause")
	tap.Resume("pause")
	c.pass(8)
	sealed(t, tap)
	expect(t, s, "format remote 0 PCMU/8000", "rtp remote 02", "format remote 96 OPUS/48000", "rtp remote 03",
		"format local 0 PCMU/8000", "rtp local 04", "gap remote pause", "gap local pause", "gap remote hold", "gap local hold",
		"rtp remote 07", "gap remote hold", "gap local hold", "seal withdrawn")
}

func TestAFormatIsToldAgainWhenItsMeaningChanges(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	s := &script{}
	tap := c.open(t, s)
	for i, name := range []string{"OPUS", "OPUS", "G726-32"} {
		p := c.remote.full()
		p.Codecs = []media.Codec{{Name: name, PayloadType: 96, ClockRate: 8000}}
		c.relay.Leg(consent.Remote).SetPeer(p)
		c.remote.send(packet(uint16(i), 1, 1, 96, []byte{byte(i)}))
		c.pbx.recv()
	}
	tap.Close("end")
	sealed(t, tap)
	expect(t, s, "format remote 96 OPUS/8000", "rtp remote 00", "rtp remote 01", "format remote 96 G726-32/8000", "rtp remote 02", "seal end")
}

// TestKeysNeverReachARecorder, at whatever clock rate and payload type.
func TestKeysNeverReachARecorder(t *testing.T) {
	c := newCall(t)
	c.relay.Leg(consent.Remote).SetPeer(c.remote.full())
	c.relay.Bridge()
	s := &script{}
	tap := c.open(t, s)
	c.remote.send(event(1, 1, 5, true, 800))
	c.pbx.recv()
	c.remote.send(packet(2, 9, 1, 102, []byte{6, 0x8a, 0x12, 0xc0})) // 4,800 units of 48 kHz
	c.pbx.recv()
	c.pass(3)
	tap.Close("end")
	sealed(t, tap)
	expect(t, s, "format remote 0 PCMU/8000", "rtp remote 03", "seal end")
	for _, want := range "56" {
		if ev := <-c.events; rune(ev.Press.Key) != want || ev.Press.Duration != 100*time.Millisecond {
			t.Errorf("%+v, want %c for 100 ms", ev.Press, want)
		}
	}
}

// TestWhatIsHeardApartIsNotRecorded: the tap takes only what the parties say to
// each other, and strangers never.
func TestWhatIsHeardApartIsNotRecorded(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	s := &script{}
	tap := c.open(t, s)
	c.relay.Gate()
	c.remote.send(spoken(1, 1, 1, 1))
	c.dropped(t, "gated", 1)
	c.relay.Bridge()
	c.pass(2)
	newEnd(t, c.remote.to).send(spoken(1, 3, 3, 3))
	c.dropped(t, "stranger", 1)
	c.pass(4)
	tap.Close("end")
	sealed(t, tap)
	expect(t, s, "format remote 0 PCMU/8000", "rtp remote 02", "rtp remote 04", "seal end")
}

// TestTheRecorderGetsWhatWasReceived, not what the listener hears: after a prompt
// the two differ.
func TestTheRecorderGetsWhatWasReceived(t *testing.T) {
	c, _, _, _ := prompted(t)
	s := &sink{}
	tap := c.open(t, s)
	sent := spoken(77, 5, 6, 7)
	c.remote.send(sent)
	c.pbx.recv()
	tap.Close("end")
	sealed(t, tap)
	if len(s.packets) != 1 || string(s.packets[0]) != string(sent) {
		t.Errorf("% x was sent, % x recorded", sent, s.packets)
	}
}

func TestOneTapAtATime(t *testing.T) {
	c := newCall(t)
	tap := c.open(t, &script{})
	_, g := session(t)
	if _, err := c.relay.Open(g, &script{}); !errors.Is(err, media.ErrNotOpen) {
		t.Errorf("a second tap: %v", err)
	}
	tap.Close("end")
	second := c.open(t, &script{})
	c.relay.Close()
	sealed(t, second)
	if _, err := c.relay.Open(g, &script{}); !errors.Is(err, media.ErrNotOpen) {
		t.Errorf("after the call: %v", err)
	}
}

// TestADeadGrantStopsTheTapByItself, whatever its owner forgets.
func TestADeadGrantStopsTheTapByItself(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	owner, g := session(t)
	s := &script{}
	tap, err := c.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(1)
	owner.Step(consent.Event{Kind: consent.HangUp, At: time.Now()})
	c.pass(2)
	tap.Close("end")
	sealed(t, tap)
	expect(t, s, "format remote 0 PCMU/8000", "rtp remote 01", "seal end")
}

// TestTheTripwireIsReal: a packet that reaches the recorder's door from before
// the record of its consent is counted and turned away.
func TestTheTripwireIsReal(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	later := time.Now().Add(time.Hour) // the record claims so; no tap's own clock would catch it
	owner := consent.NewSession(&consent.Call{ID: "c"}, &consent.Policy{Action: consent.Ask, Parties: []consent.Party{consent.Remote},
		Accept: '1', Attempts: 1}, memory{})
	var g consent.Grant
	step := func(ev consent.Event) {
		ev.At = later
		acts, _ := owner.Step(ev)
		for _, a := range acts {
			if a.Do == consent.Commit {
				acts, _ := owner.Step(owner.Commit(context.Background(), a.Record))
				g = acts[0].Grant
			}
		}
	}
	step(consent.Event{Kind: consent.Start})
	step(consent.Event{Kind: consent.PromptEnd, Heard: consent.Heard{Complete: true}})
	step(consent.Event{Kind: consent.KeyPressed, Press: consent.Press{Key: '1'}})
	s := &script{}
	tap, err := c.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(1)
	tap.Close("end")
	sealed(t, tap)
	expect(t, s, "seal end")
	if n := c.counter("preconsent_packets_recorded_total"); n != 1 {
		t.Errorf("the tripwire counted %v", n)
	}
}

// TestEveryErrorOfARecorderIsReportedOnce and the call goes on.
func TestEveryErrorOfARecorderIsReportedOnce(t *testing.T) {
	for _, fail := range []string{"format", "rtp", "gap"} {
		t.Run(fail, func(t *testing.T) {
			c := newCall(t)
			c.relay.Bridge()
			s := &script{fail: fail}
			tap := c.open(t, s)
			c.pass(1)
			tap.Pause("hold")
			tap.Resume("hold")
			c.pass(2)
			sealed(t, tap) // by itself
			c.pass(3)
			c.relay.Close()
			if ev := <-c.events; ev.Kind != media.TapFailed || !errors.Is(ev.Err, errDisk) || len(c.events) != 0 {
				t.Errorf("%+v and %d more", ev, len(c.events))
			}
			told := s.told()
			if n := len(told); !strings.HasPrefix(told[n-2], fail) || !strings.HasPrefix(told[n-1], "seal recorder failed") {
				t.Errorf("the recorder was told %q", told)
			}
		})
	}
}

// TestADropIsAGapWhereItHappened: between the packets before and after it.
func TestADropIsAGapWhereItHappened(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	s := &script{hold: make(chan struct{})}
	tap := c.open(t, s)
	n := 0
	for c.counter("tap_dropped_total") == 0 {
		for range 50 {
			c.pass(1)
			n++
		}
	}
	close(s.hold)
	until(t, "the recorder caught up", func() bool { return len(s.told()) > n/2 && len(s.told()) >= n-int(c.counter("tap_dropped_total"))+1 })
	c.pass(2)
	tap.Close("end")
	sealed(t, tap)
	told := s.told()
	if want := n - int(c.counter("tap_dropped_total")) + 4; len(told) != want {
		t.Errorf("%d lines, want %d", len(told), want)
	}
	if tail := told[len(told)-4:]; !slices.Equal(tail, []string{"rtp remote 01", "gap remote writer-drop", "rtp remote 02", "seal end"}) {
		t.Errorf("the recording ends %q", tail)
	}
}

func TestWaitWaitsForTheLastSeal(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	s := &script{hold: make(chan struct{})}
	tap := c.open(t, s)
	c.relay.Close() // doesn't wait for the recorder
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.engine.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a recorder that hangs: %v", err)
	}
	close(s.hold)
	if err := c.engine.Wait(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case <-tap.Done():
	default:
		t.Error("Wait returned before the seal")
	}
}

// TestNothingIsReportedAfterClose though a recorder fails then.
func TestNothingIsReportedAfterClose(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	s := &script{hold: make(chan struct{}), fail: "rtp"}
	tap := c.open(t, s)
	c.pass(1)
	c.relay.Close()
	close(s.hold)
	sealed(t, tap)
	if len(c.events) != 0 {
		t.Errorf("reported: %+v", <-c.events)
	}
}

// TestAPacketInHandIsNotRecorded: one received before the tap opened, or during a
// pause, and dealt with only afterwards.
func TestAPacketInHandIsNotRecorded(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	from := at(c.remote.rtp)
	s := &script{}
	early := time.Now()
	tap := c.open(t, s)
	l := c.relay.Leg(consent.Remote)
	l.Receive(spoken(1, 1, 1, 1), from, early)
	l.Receive(spoken(1, 2, 2, 2), from, time.Now())
	tap.Pause("hold")
	during := time.Now()
	tap.Resume("hold")
	l.Receive(spoken(1, 3, 3, 3), from, during)
	l.Receive(spoken(1, 4, 4, 4), from, time.Now())
	tap.Close("end")
	sealed(t, tap)
	expect(t, s, "format remote 0 PCMU/8000", "rtp remote 02", "gap remote hold", "gap local hold", "rtp remote 04", "seal end")
}
