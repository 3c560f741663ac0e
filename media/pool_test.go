package media_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

func TestAPoolHandsOutPairsLeastRecentlyUsedFirst(t *testing.T) {
	now := time.Now()
	_, pool, engine := newEngine(t, media.PoolConfig{Min: 12401, Max: 12410, Now: func() time.Time { return now }}) // 12402 to 12408
	sides := media.Sides{Remote: loopback, Local: loopback}
	begin := func() *media.Relay {
		t.Helper()
		r, err := engine.NewRelay("c", sides, func(media.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ports := func(r *media.Relay) [2]uint16 {
		return [2]uint16{r.Leg(consent.Remote).Addr().Port(), r.Leg(consent.Local).Addr().Port()}
	}
	a, b := begin(), begin()
	if ports(a) != [2]uint16{12402, 12404} || ports(b) != [2]uint16{12406, 12408} {
		t.Errorf("%v, then %v", ports(a), ports(b))
	}
	if pool.InUse() != 4 {
		t.Errorf("%d in use", pool.InUse())
	}
	if _, err := engine.NewRelay("c", sides, func(media.Event) {}); !errors.Is(err, media.ErrNoPorts) {
		t.Errorf("an empty pool says %v", err)
	}
	b.Close()
	now = now.Add(time.Second)
	a.Close()
	now = now.Add(9*time.Second - 1) // b's quarantine has a nanosecond to go
	if _, err := engine.NewRelay("c", sides, func(media.Event) {}); !errors.Is(err, media.ErrNoPorts) {
		t.Errorf("in quarantine: %v", err)
	}
	now = now.Add(1)
	c := begin()
	defer c.Close()
	if ports(c) != [2]uint16{12406, 12408} {
		t.Errorf("%v isn't what was released first", ports(c))
	}
	if _, err := engine.NewRelay("c", sides, func(media.Event) {}); !errors.Is(err, media.ErrNoPorts) || pool.InUse() != 2 {
		t.Errorf("a's are in quarantine: %v, %d in use", err, pool.InUse())
	}
}

func TestAPortThatAnotherProgramHoldsIsPassedOver(t *testing.T) {
	for _, held := range []uint16{12502, 12503} { // RTP's or RTCP's
		_, pool, engine := newEngine(t, media.PoolConfig{Min: 12500, Max: 12507})
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, held)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		if p := r.Leg(consent.Local).Addr().Port(); p != 12504 || pool.InUse() != 2 {
			t.Errorf("with %d held: port %d, %d in use", held, p, pool.InUse())
		}
		r.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnAddressThatIsNotOursCostsNoPorts: it isn't their fault.
func TestAnAddressThatIsNotOursCostsNoPorts(t *testing.T) {
	_, pool, engine := newEngine(t, media.PoolConfig{Min: 12600, Max: 12603})
	for _, ip := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), {}} {
		for _, sides := range []media.Sides{{Remote: loopback, Local: ip}, {Remote: ip, Local: loopback}} {
			if _, err := engine.NewRelay("c", sides, func(media.Event) {}); err == nil || errors.Is(err, media.ErrNoPorts) {
				t.Errorf("on %v: %v", sides, err)
			}
		}
	}
	if pool.InUse() != 0 {
		t.Errorf("%d in use", pool.InUse())
	}
}

func TestARangeWithoutTwoPairsIsRefused(t *testing.T) {
	for _, c := range []media.PoolConfig{{}, {Min: 20000, Max: 20002}, {Min: 20001, Max: 20004}, {Min: 20010, Max: 20000}, {Min: 65534, Max: 65535}} {
		if _, err := media.NewPool(c); err == nil {
			t.Errorf("%d-%d is taken", c.Min, c.Max)
		}
	}
	if _, err := media.NewPool(media.PoolConfig{Min: 65532, Max: 65535}); err != nil {
		t.Error(err)
	}
}
