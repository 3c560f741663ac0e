package proxy

import (
	"net/netip"
	"testing"
	"time"
)

// TestAnAddressThatVanishedIsAcceptedForAWhile, not for ever, and not too many are.
func TestAnAddressThatVanishedIsAcceptedForAWhile(t *testing.T) {
	a, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	first := &located{accepted: map[netip.Addr]time.Time{a: {}}}
	gone := &located{accepted: map[netip.Addr]time.Time{}}
	gone.linger(first, now)
	if !gone.accepted[a].Equal(now.Add(lingering)) {
		t.Errorf("accepted until %v", gone.accepted[a])
	}
	later := &located{accepted: map[netip.Addr]time.Time{}}
	later.linger(gone, now.Add(lingering-time.Second))
	if !later.accepted[a].Equal(now.Add(lingering)) {
		t.Errorf("a further change moves its end to %v", later.accepted[a])
	}
	after := &located{accepted: map[netip.Addr]time.Time{}}
	after.linger(later, now.Add(lingering))
	if len(after.accepted) > 0 {
		t.Error("it is accepted for ever")
	}

	many := &located{accepted: map[netip.Addr]time.Time{}}
	for i := range 2 * maxLingering {
		many.accepted[netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})] = now.Add(time.Duration(1+i) * time.Second)
	}
	bounded := &located{accepted: map[netip.Addr]time.Time{}}
	bounded.linger(many, now)
	if len(bounded.accepted) != maxLingering || !bounded.accepted[netip.AddrFrom4([4]byte{10, 0, 0, 0})].IsZero() {
		t.Errorf("%d are accepted", len(bounded.accepted))
	}

	s := &side{conf: &Side{}}
	for until, want := range map[time.Time]bool{{}: true, now.Add(time.Minute): true, now.Add(-time.Minute): false} {
		s.where.now.Store(&located{accepted: map[netip.Addr]time.Time{a: until}})
		if s.accepts(a) != want {
			t.Errorf("accepted until %v: %v", until, !want)
		}
	}
	if s.accepts(netip.MustParseAddr("192.0.2.2")) {
		t.Error("a stranger is accepted")
	}
}
