package proxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// TestWhatIsHeardOfAPeerThatMovedMakesNoSeries: an answer to an OPTIONS, or a call
// that failed there, may come after DNS moved it.
func TestWhatIsHeardOfAPeerThatMovedMakesNoSeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := newPeerStates(newMetrics(reg), "main", "pbx")
	old, now := Place{Transport: "udp", Addr: netip.MustParseAddrPort("192.0.2.1:5060")}, Place{Transport: "udp", Addr: netip.MustParseAddrPort("192.0.2.2:5060")}
	p.know([]Place{old})
	p.know([]Place{now})
	p.set(old, true)
	p.set(old, false)
	p.failed(old, 0)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var series []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_peer_up" {
				series = append(series, m.GetLabel()[0].GetValue())
			}
		}
	}
	if strings.Join(series, " ") != "192.0.2.2:5060" {
		t.Errorf("series of %q", series)
	}
	p.failed(now, 0)
	p.know([]Place{now})
	if p.is(now) {
		t.Error("a peer that stayed is up again because DNS was asked")
	}
}
