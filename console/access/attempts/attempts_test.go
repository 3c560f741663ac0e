package attempts_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/console/access/attempts"
)

var office = netip.MustParseAddr("192.0.2.1")

func TestTheWaitDoublesUpToAMinuteAndIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := attempts.New()
		want := []time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60}
		check := func() {
			t.Helper()
			for i, w := range want {
				if _, wait := a.Begin("dana", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})); w == 0 && wait != 0 || w > 0 && wait != w*time.Second {
					t.Errorf("try %d waits %v, want %v s", i+1, wait, w)
				}
				time.Sleep(w * time.Second)
				if w > 0 {
					if _, wait := a.Begin("dana", netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})); wait != 0 {
						t.Errorf("after its wait try %d waits %v", i+1, wait)
					}
				}
			}
		}
		check()
		time.Sleep(time.Hour)
		check()
	})
}

func TestATryThatIsTakenBackNeverWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := attempts.New()
		for range 100 {
			try, wait := a.Begin("dana", office)
			if wait > 0 {
				t.Fatal(wait)
			}
			try.Void()
			try.Void() // once is enough
		}
		for range 6 { // failures
			a.Begin("dana", netip.MustParseAddr("198.51.100.1"))
		}
		time.Sleep(10 * time.Second)
		try, wait := a.Begin("dana", office)
		if wait > 0 {
			t.Fatal(wait)
		}
		try.Void()
		if _, wait := a.Begin("dana", office); wait > 0 {
			t.Errorf("a try that was good makes the next wait %v", wait)
		}
	})
}

func TestANetworkIsOneAddress(t *testing.T) {
	for a, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3::4": "2001:db8:1:2::", "fe80::1%eth0": "fe80::"} {
		if got := attempts.Place(netip.MustParseAddr(a)); got.String() != want {
			t.Errorf("%s: %s", a, got)
		}
	}
	if got := attempts.Place(netip.Addr{}); got.IsValid() {
		t.Error(got)
	}
}

func TestEightAddressesOfANameAreRemembered(t *testing.T) {
	a := attempts.New()
	at := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i)) }
	for i := range 9 {
		a.Met("dana", at(i))
	}
	a.Met("dana", at(1)) // is the latest now
	a.Met("dana", at(9))
	for i := range 10 {
		if got, want := a.Knows("dana", at(i)), i != 0 && i != 2; got != want {
			t.Errorf("address %d is known: %v", i, got)
		}
	}
	if a.Knows("erin", at(9)) {
		t.Error("another's addresses are known")
	}
}
