package media_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"log/slog"

	"consentgate/consent"
	"consentgate/media"
)

// strange is an end at another address.
func strange(t testing.TB, to netip.AddrPort) *end {
	t.Helper()
	e := newEnd(t, to)
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(stranger, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	e.rtp = c
	return e
}

func TestAStrangersAddressIsNeverLearnt(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	s := strange(t, c.remote.to)
	s.send(spoken(1, 1, 1, 1))
	s.send(event(2, 2, 1, true, 800))
	c.dropped(t, "stranger", 2)
	c.pbx.send(spoken(2, 1, 1, 1))
	c.remote.recv()
	c.pbx.heardNothing()
	if len(c.events) != 0 {
		t.Errorf("a stranger's key counted: %+v", <-c.events)
	}
}

// TestBehindANATTheFirstAddressHeardIsLearnt: where the side is declared to be
// behind one. It is learnt once, also over another description of the same address.
func TestBehindANATTheFirstAddressHeardIsLearnt(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	natted := c.remote.peer()
	natted.NAT = true
	c.relay.Leg(consent.Remote).SetPeer(natted)
	outside := strange(t, c.remote.to)
	outside.send(spoken(1, 1, 1, 1))
	c.pbx.recv()
	c.pbx.send(spoken(2, 1, 1, 1))
	outside.recv()
	c.relay.Leg(consent.Remote).SetPeer(natted)
	another := newEnd(t, c.remote.to)
	third, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 77)})
	if err != nil {
		t.Fatal(err)
	}
	another.rtp = third
	another.send(spoken(3, 1, 1, 1))
	c.dropped(t, "stranger", 1)
	outside.send(spoken(1, 2, 2, 2))
	c.pbx.recv()
}

func TestTheAddressThatWasSaidBeatsTheOneLearnt(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	stray := newEnd(t, c.remote.to)
	stray.send(spoken(9, 1, 1, 1))
	c.pbx.recv()
	c.remote.send(spoken(1, 1, 1, 2))
	c.pbx.recv()
	stray.send(spoken(9, 2, 2, 3))
	c.dropped(t, "stranger", 1)
	c.pbx.send(spoken(2, 1, 1, 4))
	c.remote.recv()
	stray.heardNothing()
}

func TestNoPortIsLearntAfterTheWindow(t *testing.T) {
	reg := prometheus.NewRegistry()
	pool, err := media.NewPool(media.PoolConfig{Min: 12200, Max: 12299})
	if err != nil {
		t.Fatal(err)
	}
	e := engineOf(t, media.Config{Pool: pool, Metrics: media.NewMetrics(reg, pool), Log: slog.New(slog.DiscardHandler), Learning: time.Nanosecond})
	relay, err := e.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	relay.Bridge()
	said := newEnd(t, relay.Leg(consent.Remote).Addr())
	pbx := newEnd(t, relay.Leg(consent.Local).Addr())
	relay.Leg(consent.Remote).SetPeer(said.peer())
	relay.Leg(consent.Local).SetPeer(pbx.peer())
	newEnd(t, said.to).send(spoken(1, 1, 1, 1))
	until(t, "it was dropped", func() bool { return counter(t, reg, "rtp_dropped_total", "stranger") == 1 })
	said.send(spoken(1, 2, 2, 2))
	if p := pbx.recv(); p.Payload[0] != 2 {
		t.Error("what came after the window was heard")
	}
}

// TestANewDescriptionOpensTheWindowOnceMore: a peer whose NAT has moved it is
// found again by a re-INVITE, and stays where it was until it shows.
func TestANewDescriptionOpensTheWindowOnceMore(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	natted := newEnd(t, c.remote.to)
	natted.send(spoken(1, 1, 1, 1))
	c.pbx.recv()
	c.relay.Leg(consent.Remote).SetPeer(c.remote.peer())
	c.pbx.send(spoken(2, 1, 1, 1))
	natted.recv()
	moved := newEnd(t, c.remote.to)
	moved.send(spoken(1, 2, 2, 2))
	c.pbx.recv()
	natted.send(spoken(1, 3, 3, 3))
	c.dropped(t, "stranger", 1)
	c.pbx.send(spoken(2, 2, 2, 2))
	moved.recv()
}

// TestAnOldCallsSourceIsNotLearnt, though it is the peer's address and within the
// window: a carrier's calls all come from one address. It is known from the
// port's last use.
func TestAnOldCallsSourceIsNotLearnt(t *testing.T) {
	now := time.Now()
	reg, _, engine := newEngine(t, media.PoolConfig{Min: 12300, Max: 12303, Now: func() time.Time { return now }})
	begin := func() (*media.Relay, *end, *end) {
		relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		remote, pbx := newEnd(t, relay.Leg(consent.Remote).Addr()), newEnd(t, relay.Leg(consent.Local).Addr())
		relay.Leg(consent.Remote).SetPeer(remote.peer())
		relay.Leg(consent.Local).SetPeer(pbx.peer())
		relay.Bridge()
		remote.send(spoken(1, 1, 1, 1))
		pbx.recv()
		return relay, remote, pbx
	}
	old, oldRemote, oldPBX := begin()
	old.Close()
	now = now.Add(time.Minute)
	relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	remote, pbx := newEnd(t, relay.Leg(consent.Remote).Addr()), newEnd(t, relay.Leg(consent.Local).Addr())
	relay.Leg(consent.Remote).SetPeer(remote.peer())
	relay.Leg(consent.Local).SetPeer(pbx.peer())
	relay.Bridge()
	for _, e := range []*end{oldRemote, oldPBX} { // first of all, and within the window
		e.send(spoken(1, 2, 2, 2))
		e.send(event(3, 3, 1, true, 800))
	}
	until(t, "the old call's packets were dropped", func() bool { return counter(t, reg, "rtp_dropped_total", "stranger") == 4 })
	remote.heardNothing()
	pbx.heardNothing()
}
