package media_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"consentgate/consent"
	"consentgate/media"
)

func TestPacketsPassUntouchedBothWays(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	for i, from := range []*end{r.ends[consent.Remote], r.ends[consent.Local]} {
		to := r.ends[1-i]
		raw := voice(9)
		from.send(raw)
		got, ok := to.read(to.rtp, 5*time.Second)
		if !ok || !bytes.Equal(got, raw) {
			t.Errorf("%x became %x", raw[:12], got)
		}
	}
	report, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 7, RTPTime: 99}})
	if err != nil {
		t.Fatal(err)
	}
	from, to := r.ends[consent.Remote], r.ends[consent.Local]
	dest := from.to
	if _, err := from.rtcp.WriteToUDPAddrPort(report, netipNext(dest)); err != nil {
		t.Fatal(err)
	}
	if got, ok := to.read(to.rtcp, 5*time.Second); !ok || !bytes.Equal(got, report) {
		t.Errorf("RTCP: %x", got)
	}
}

func TestNothingPassesWhileTheGateIsShut(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	r.ends[consent.Remote].send(voice(1))
	r.ends[consent.Local].recv()
	r.relay.Gate()
	r.ends[consent.Remote].send(voice(2))
	until(t, "the packet was dropped", func() bool { return r.counter("rtp_dropped_total", "gated") == 1 })
	r.relay.Bridge()
	r.ends[consent.Remote].send(voice(3))
	if p := r.ends[consent.Local].recv(); p.SequenceNumber != 3 {
		t.Errorf("packet %d came through", p.SequenceNumber)
	}
}

// TestInvariant1_NoRecordingWithoutGrant: the zero grant, and one that died,
// open nothing.
func TestInvariant1_NoRecordingWithoutGrant(t *testing.T) {
	r := newRig(t)
	s := &sink{}
	if _, err := r.relay.Open(consent.Grant{}, s); !errors.Is(err, media.ErrNoGrant) {
		t.Errorf("the zero grant: %v", err)
	}
	sess, g := session(t)
	sess.Step(consent.Event{Kind: consent.Withdraw, At: time.Now()})
	if _, err := r.relay.Open(g, s); !errors.Is(err, media.ErrNoGrant) {
		t.Errorf("a withdrawn grant: %v", err)
	}
	// and an open tap takes nothing more once its grant is dead
	sess, g = session(t)
	tap, err := r.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	r.relay.Bridge()
	sess.Step(consent.Event{Kind: consent.HangUp, At: time.Now()})
	r.ends[consent.Remote].send(voice(1))
	r.ends[consent.Local].recv()
	tap.Close("test")
	<-tap.Done()
	if s.count() != 0 {
		t.Errorf("%d packets were recorded", s.count())
	}
	if r.counter("preconsent_packets_recorded_total") != 0 {
		t.Error("the tripwire was touched")
	}
}

func TestNoPreRoll(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	r.ends[consent.Remote].send(voice(1))
	r.ends[consent.Local].recv()
	_, g := session(t)
	s := &sink{}
	tap, err := r.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	r.ends[consent.Remote].send(voice(2))
	r.ends[consent.Local].recv()
	tap.Close("hang-up")
	<-tap.Done()
	if len(s.packets) != 1 || s.packets[0][3] != 2 {
		t.Errorf("%d packets, first %v", len(s.packets), s.packets)
	}
	if len(s.seals) != 1 || s.seals[0] != "hang-up" || len(s.formats) != 1 || s.formats[0] != "PCMU" {
		t.Errorf("seals %v, formats %v", s.seals, s.formats)
	}
}

// TestInvariant3_WithdrawalIsABarrier: packets pour in while the tap is closed,
// or paused. What was sent after the barrier returned is never recorded.
func TestInvariant3_WithdrawalIsABarrier(t *testing.T) {
	for _, barrier := range []string{"close", "pause"} {
		r := newRig(t)
		r.relay.Bridge()
		for round := range 30 {
			_, g := session(t)
			s := &sink{}
			tap, err := r.relay.Open(g, s)
			if err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			var pouring sync.WaitGroup
			pouring.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						r.ends[consent.Remote].send(packet(1, 1, 1, 0, []byte("before")))
					}
				}
			})
			until(t, "recording", func() bool { return s.count() > 0 })
			if barrier == "close" {
				tap.Close("withdrawn")
			} else {
				tap.Pause("pause")
			}
			close(stop)
			pouring.Wait()
			for passed := 0; passed < 5; { // what arrives has gone through the relay, so it met the tap
				r.ends[consent.Remote].send(packet(2, 2, 1, 0, []byte("after")))
				if p := r.ends[consent.Local].recv(); string(p.Payload) == "after" {
					passed++
				}
			}
			tap.Close("end")
			<-tap.Done()
			for _, p := range s.packets {
				if bytes.HasSuffix(p, []byte("after")) {
					t.Fatalf("%s, round %d: a packet from after the barrier was recorded", barrier, round)
				}
			}
			if len(s.seals) != 1 {
				t.Fatalf("sealed %d times", len(s.seals))
			}
			r.relay.Close()
			r = newRig(t)
			r.relay.Bridge()
		}
	}
}

func TestPausesAreCountedByCause(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	_, g := session(t)
	s := &sink{}
	tap, err := r.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	pass := func(seq uint16) {
		r.ends[consent.Remote].send(voice(seq))
		r.ends[consent.Local].recv()
	}
	tap.Pause("pause")
	tap.Pause("hold")
	tap.Resume("hold")
	pass(1)
	tap.Resume("pause")
	pass(2)
	tap.Pause("hold")
	tap.Close("hang-up")
	<-tap.Done()
	if len(s.packets) != 1 || s.packets[0][3] != 2 {
		t.Errorf("%d packets", len(s.packets))
	}
	want := []string{"remote hold", "local hold", "remote pause", "local pause", "remote hold", "local hold"}
	if len(s.gaps) != len(want) {
		t.Fatalf("gaps %v", s.gaps)
	}
	for i := range want {
		if s.gaps[i] != want[i] {
			t.Errorf("gap %d: %s, want %s", i, s.gaps[i], want[i])
		}
	}
}

// TestInvariant5_RecordingTroubleNeverBreaksTheCall: a recorder that hangs, and
// one that fails, cost no packet of the call.
func TestInvariant5_RecordingTroubleNeverBreaksTheCall(t *testing.T) {
	for name, s := range map[string]*sink{"hanging": {block: make(chan struct{})}, "failing": {fail: errDisk}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.relay.Bridge()
			_, g := session(t)
			tap, err := r.relay.Open(g, s)
			if err != nil {
				t.Fatal(err)
			}
			for i := range uint16(2000) { // far more than the tap's queue holds
				r.ends[consent.Remote].send(voice(i))
				if p := r.ends[consent.Local].recv(); p.SequenceNumber != i {
					t.Fatalf("packet %d came, not %d", p.SequenceNumber, i)
				}
			}
			if name == "hanging" {
				if r.counter("tap_dropped_total") == 0 {
					t.Error("nothing was counted as dropped")
				}
				close(s.block)
				tap.Close("hang-up")
				<-tap.Done()
				if len(s.gaps) == 0 || s.gaps[0] != "remote writer-drop" {
					t.Errorf("gaps %v", s.gaps)
				}
				return
			}
			ev := <-r.events
			if ev.Kind != media.TapFailed || !errors.Is(ev.Err, errDisk) {
				t.Errorf("%+v", ev)
			}
			<-tap.Done()
		})
	}
}

// TestInvariant12_OneCallNeverHearsAnother: strangers, and packets of an old
// call on a port that is used again, reach neither party nor recorder.
func TestInvariant12_OneCallNeverHearsAnother(t *testing.T) {
	now := time.Now()
	reg, pool, engine := newEngine(t, media.PoolConfig{Min: 12000, Max: 12003, Now: func() time.Time { return now }})
	sides := media.Sides{Trunk: "main", Remote: loopback, Local: loopback}
	none := func(media.Event) {}
	old, err := engine.NewRelay("old", sides, none)
	if err != nil {
		t.Fatal(err)
	}
	oldPort := old.Leg(consent.Remote).Addr()
	oldCaller := newEnd(t, oldPort)
	old.Leg(consent.Remote).SetPeer(oldCaller.peer())
	old.Close()
	if pool.InUse() != 0 {
		t.Errorf("%d pairs in use after Close", pool.InUse())
	}
	if _, err := engine.NewRelay("early", sides, none); !errors.Is(err, media.ErrNoPorts) {
		t.Fatalf("a port was used again within its quarantine: %v", err)
	}
	now = now.Add(11 * time.Second)
	relay, err := engine.NewRelay("new", sides, none)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	party := consent.Remote
	if relay.Leg(consent.Local).Addr() == oldPort {
		party = consent.Local
	}
	if relay.Leg(party).Addr() != oldPort {
		t.Fatal("the old port isn't used again")
	}
	relay.Bridge()
	_, g := session(t)
	s := &sink{}
	tap, err := relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	oldCaller.send(voice(1)) // before the new call knows its peer
	until(t, "the early packet was dropped", func() bool { return counter(t, reg, "rtp_dropped_total", "stranger") == 1 })
	caller := newEnd(t, oldPort)
	other := newEnd(t, relay.Leg(party.Other()).Addr())
	relay.Leg(party).SetPeer(caller.peer())
	relay.Leg(party.Other()).SetPeer(other.peer())
	caller.send(voice(2)) // the new caller shows where it sends from
	other.recv()
	for range 3 {
		oldCaller.send(voice(3)) // replayed by the old call, same address, another port
		oldCaller.send(event(4, 5, 1, true, 800))
	}
	until(t, "the replay was dropped", func() bool { return counter(t, reg, "rtp_dropped_total", "stranger") == 7 })
	caller.send(voice(5))
	if p := other.recv(); p.SequenceNumber != 5 {
		t.Errorf("packet %d of the old call was heard", p.SequenceNumber)
	}
	tap.Close("hang-up")
	<-tap.Done()
	for _, p := range s.packets {
		if p[3] != 2 && p[3] != 5 {
			t.Errorf("packet %d of the old call was recorded", p[3])
		}
	}
}

func TestAPeersOwnPortIsLearntOnce(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	symmetric := newEnd(t, r.ends[consent.Remote].to) // the same host, another port than described
	symmetric.send(voice(1))
	if p := r.ends[consent.Local].recv(); p.SequenceNumber != 1 {
		t.Fatal("not taken")
	}
	r.ends[consent.Local].send(voice(2))
	if p := symmetric.recv(); p.SequenceNumber != 2 {
		t.Error("not answered where it sends from")
	}
	newEnd(t, r.ends[consent.Remote].to).send(voice(3)) // the place is taken
	until(t, "the second was dropped", func() bool { return r.counter("rtp_dropped_total", "stranger") == 1 })
}

func TestBadPacketsAreCounted(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	bad := [][]byte{{}, {0x80}, bytes.Repeat([]byte{0}, 12), append([]byte{0x40}, make([]byte, 20)...),
		{0x8f, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, {0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0xff, 0xff},
		packet(1, 1, 1, 72, nil)}
	for _, b := range bad {
		r.ends[consent.Remote].send(b)
	}
	until(t, "all were counted", func() bool { return r.counter("rtp_dropped_total", "malformed") == float64(len(bad)) })
	r.ends[consent.Remote].send(voice(1))
	r.ends[consent.Local].recv()
}

func TestNoGoroutineAndNoPortIsLeftBehind(t *testing.T) {
	_, pool, engine := newEngine(t, media.PoolConfig{Min: 42000, Max: 46999, Quarantine: time.Nanosecond})
	before := runtime.NumGoroutine()
	for range 1000 {
		relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		_, g := session(t)
		if _, err := relay.Open(g, &sink{}); err != nil {
			t.Fatal(err)
		}
		relay.Leg(consent.Remote).Notice(nil)
		relay.Close()
	}
	if err := engine.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before+1 })
	if pool.InUse() != 0 {
		t.Errorf("%d pairs still in use", pool.InUse())
	}
}
