package media_test

import (
	"context"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// TestARecorderThatHangsHoldsUpNeitherCallsNorOtherRecordings.
func TestARecorderThatHangsHoldsUpNeitherCallsNorOtherRecordings(t *testing.T) {
	_, _, engine := newEngine(t, media.PoolConfig{Min: 14000, Max: 14099})
	release := make(chan struct{})
	sinks := []*sink{{block: release}, {}, {}, {}}
	var relays []*media.Relay
	for _, s := range sinks {
		relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		relays = append(relays, relay)
		remote, local := newEnd(t, relay.Leg(consent.Remote).Addr()), newEnd(t, relay.Leg(consent.Local).Addr())
		relay.Leg(consent.Remote).SetPeer(remote.peer())
		relay.Leg(consent.Local).SetPeer(local.peer())
		relay.Bridge()
		_, g := session(t)
		if _, err := relay.Open(g, s); err != nil {
			t.Fatal(err)
		}
		for seq := range uint16(10) {
			remote.send(voice(seq))
			local.recv()
		}
	}
	for _, s := range sinks[1:] {
		until(t, "the others got their packets", func() bool { return s.count() == 10 })
	}
	for _, relay := range relays {
		relay.Close()
	}
	for _, s := range sinks[1:] {
		until(t, "the others were sealed", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.seals) == 1 })
	}
	close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := engine.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if n := sinks[0].count(); n != 10 {
		t.Errorf("the one that hung has %d packets of 10", n)
	}
}
