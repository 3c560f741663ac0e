package media_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/media"
)

// watched is a rig whose engine misses audio soon.
func watched(t *testing.T, timeout time.Duration) *rig {
	t.Helper()
	pool, err := media.NewPool(media.PoolConfig{Min: 13000, Max: 13099})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, events: make(chan media.Event, 1024), reg: prometheus.NewRegistry(), pool: pool}
	r.engine = engineOf(t, media.Config{Pool: pool, Metrics: media.NewMetrics(r.reg, pool), Log: slog.New(slog.DiscardHandler),
		NoAudio: 50 * time.Millisecond, Timeout: timeout})
	r.connect()
	return r
}

// missing waits for an event of that kind, while the PBX's side goes on sending.
func (r *rig) missing(kind media.EventKind) media.Event {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for seq := uint16(0); ; seq++ {
		select {
		case ev := <-r.events:
			if ev.Kind == kind {
				return ev
			}
		case <-time.After(10 * time.Millisecond):
			r.ends[consent.Local].send(voice(seq))
		case <-deadline:
			r.t.Fatal("it wasn't told")
		}
	}
}

// TestOneWayAudioIsTold: of the silent party, and once.
func TestOneWayAudioIsTold(t *testing.T) {
	r := watched(t, 0)
	r.relay.Bridge()
	if ev := r.missing(media.AudioMissing); ev.Party != consent.Remote {
		t.Errorf("told of %s", ev.Party)
	}
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // over the next look
		r.ends[consent.Local].send(voice(1))
	}
	for {
		select {
		case ev := <-r.events:
			if ev.Party == consent.Remote { // a slow machine may well miss the other's, too
				t.Fatalf("told again: %+v", ev)
			}
		default:
			return
		}
	}
}

// TestWhoIsOnHoldIsNotMissed: nor is a call lost in which somebody is.
func TestWhoIsOnHoldIsNotMissed(t *testing.T) {
	r := watched(t, time.Millisecond)
	held := r.ends[consent.Remote].peer()
	held.Mute = true
	r.relay.Leg(consent.Remote).SetPeer(held)
	r.relay.Bridge()
	select {
	case ev := <-r.events: // the two are looked at together, the remote party first
		if ev.Kind != media.AudioMissing || ev.Party != consent.Local {
			t.Errorf("told of %s: %d", ev.Party, ev.Kind)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the other party's silence wasn't told")
	}
	select {
	case ev := <-r.events:
		t.Errorf("told of %s, too: %d", ev.Party, ev.Kind)
	case <-time.After(1500 * time.Millisecond): // over the next look
	}
}

func TestACallWithoutAnyMediaIsLost(t *testing.T) {
	r := watched(t, time.Millisecond)
	r.relay.Bridge()
	until(t, "the call was told to be lost", func() bool {
		for {
			select {
			case ev := <-r.events:
				if ev.Kind == media.MediaLost {
					return true
				}
			default:
				return false
			}
		}
	})
}

// TestQualityIsToldAtTheEnd: loss and a round trip that were made, by side.
func TestQualityIsToldAtTheEnd(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	for seq := range uint16(200) {
		if seq%10 != 3 {
			r.ends[consent.Remote].send(voice(seq))
		}
	}
	until(t, "all packets were taken", func() bool { return r.counter("rtp_packets_total", "carrier") == 180 })
	send := func(p consent.Party, report rtcp.Packet) {
		raw, err := rtcp.Marshal([]rtcp.Packet{report})
		if err != nil {
			t.Fatal(err)
		}
		e := r.ends[p]
		if _, err := e.rtcp.WriteToUDPAddrPort(raw, netipNext(e.to)); err != nil {
			t.Fatal(err)
		}
	}
	send(consent.Remote, &rtcp.SenderReport{SSRC: 7, NTPTime: 0x0001_0002_0003_0004})
	if _, ok := r.ends[consent.Local].read(r.ends[consent.Local].rtcp, 5*time.Second); !ok {
		t.Fatal("the sender report didn't pass")
	}
	send(consent.Local, &rtcp.ReceiverReport{SSRC: 8, Reports: []rtcp.ReceptionReport{{SSRC: 7, LastSenderReport: 0x0002_0003}}})
	if _, ok := r.ends[consent.Remote].read(r.ends[consent.Remote].rtcp, 5*time.Second); !ok {
		t.Fatal("the receiver report didn't pass")
	}
	r.relay.Close()
	for name, want := range map[string]struct {
		side string
		low  float64
		high float64
	}{"rtp_loss_ratio": {"carrier", 0.09, 0.11}, "rtp_round_trip_seconds": {"pbx", 0, 5}, "rtp_mos": {"carrier", 1, 4.3}} {
		if n, sum := histogram(t, r.reg, name, want.side); n != 1 || sum < want.low || sum > want.high {
			t.Errorf("%s of %s: %d observations, sum %v", name, want.side, n, sum)
		}
	}
	if n, _ := histogram(t, r.reg, "rtp_loss_ratio", "pbx"); n != 0 {
		t.Error("a side that said nothing has a quality")
	}
}

// TestKeysAndComfortNoiseAreNoLoss: their packets have numbers of the same row.
func TestKeysAndComfortNoiseAreNoLoss(t *testing.T) {
	r := newRig(t)
	r.relay.Bridge()
	for seq := range uint16(200) {
		switch {
		case seq%20 < 8:
			r.ends[consent.Remote].send(event(seq, 160, 5, false, 160*(seq%20+1)))
		case seq%20 == 8:
			r.ends[consent.Remote].send(packet(seq, uint32(seq)*160, 7, 13, []byte{60}))
		default:
			r.ends[consent.Remote].send(voice(seq))
		}
	}
	until(t, "all packets were taken", func() bool { return r.counter("rtp_packets_total", "carrier") == 200 })
	r.relay.Close()
	if n, sum := histogram(t, r.reg, "rtp_loss_ratio", "carrier"); n != 1 || sum != 0 {
		t.Errorf("%d observations, a loss of %v", n, sum)
	}
}

// histogram is how often a series was observed, and the sum.
func histogram(t *testing.T, reg *prometheus.Registry, name, side string) (uint64, float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_"+name && hasAll(m.GetLabel(), []string{side}) {
				return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
			}
		}
	}
	return 0, 0
}
