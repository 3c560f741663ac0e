package locate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/proxy/locate"
)

// told is what a watch said, and when.
type told struct {
	at   time.Duration
	hops string
	err  error
}

// watched runs a watch for so long, in virtual time. Before each round after the
// first the next change is made to the zone.
func watched(t *testing.T, z *zone, p locate.Peer, d time.Duration, changes ...func()) (out []told) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		begin := time.Now()
		p.Watch(ctx, z, listens("udp4"), func(a locate.Answer, err error) {
			out = append(out, told{time.Since(begin), show(a.Hops()), err})
			if len(changes) > 0 {
				changes[0]()
				changes = changes[1:]
			}
		})
	})
	return out
}

// TestDNSIsAskedAgainAsTheTTLSays, not more often than each 5 s nor more seldom
// than each hour, and each 5 s while it fails.
func TestDNSIsAskedAgainAsTheTTLSays(t *testing.T) {
	for _, c := range []struct {
		ttl, want time.Duration
		fails     bool
	}{{time.Minute, time.Minute, false}, {0, 5 * time.Second, false}, {24 * time.Hour, time.Hour, false}, {time.Hour, 5 * time.Second, true}} {
		z := &zone{records: map[string]string{"A p.test": "192.0.2.1"}, ttl: c.ttl, fails: map[string]bool{"": c.fails}}
		got := watched(t, z, locate.Peer{Host: "p.test", Port: 5060}, 2*c.want+time.Second)
		if len(got) != 3 || got[1].at != c.want || got[2].at != 2*c.want || (got[0].err != nil) != c.fails {
			t.Errorf("TTL %v: %v", c.ttl, got)
		}
	}
}

// TestTheLastAnswerStaysWhileDNSFails, and whatever fails of it: the questions
// that have an answer count, and those that haven't are answered as before.
func TestTheLastAnswerStaysWhileDNSFails(t *testing.T) {
	z := &zone{ttl: time.Minute, fails: map[string]bool{}, records: map[string]string{
		"NAPTR p.test": "1 1 s SIP+D2U u.test", "SRV u.test": "1 1 5060 a.test; 2 1 5060 b.test", "A a.test": "192.0.2.1", "A b.test": "192.0.2.2",
		"A p.test": "192.0.2.80"}} // the domain's web server
	const both = "udp 192.0.2.1:5060, udp 192.0.2.2:5060"
	steps := []struct {
		what   string
		change func()
		want   string
		fails  bool
	}{
		{"at first", func() {}, both, false},
		{"everything fails", func() { z.fails[""] = true }, both, true},
		{"NAPTR alone fails", func() { z.fails = map[string]bool{"NAPTR p.test": true} }, both, true},
		{"a host fails and the other has moved", func() {
			z.fails = map[string]bool{"A a.test": true}
			z.records["A b.test"] = "192.0.2.22"
		}, "udp 192.0.2.1:5060, udp 192.0.2.22:5060", true},
		{"NAPTR leads to a new name that fails", func() {
			z.fails = map[string]bool{"SRV v.test": true}
			z.records["NAPTR p.test"] = "1 1 s SIP+D2U v.test"
		}, "udp 192.0.2.1:5060, udp 192.0.2.22:5060", true},
		{"and then doesn't", func() {
			z.fails = nil
			z.records["SRV v.test"] = "1 1 5070 b.test"
		}, "udp 192.0.2.22:5070", false},
		{"nothing is there any more", func() { z.records = nil }, "udp 192.0.2.22:5070", true},
		{"it is an address now", func() { z.records = map[string]string{"A p.test": "192.0.2.81"} }, "udp 192.0.2.81:5060", false},
	}
	var changes []func()
	for _, s := range steps[1:] {
		changes = append(changes, s.change)
	}
	got := watched(t, z, locate.Peer{Host: "p.test"}, 10*time.Minute, changes...)
	for i, s := range steps {
		if len(got) <= i || got[i].hops != s.want || (got[i].err != nil) != s.fails {
			t.Fatalf("%s: got %v, want %s", s.what, got[min(i, len(got)-1)], s.want)
		}
	}
	if !errors.Is(got[6].err, locate.ErrNowhere) {
		t.Errorf("a domain that is gone: %v", got[6].err)
	}
}

// TestAQuestionThatAlwaysFailsHidesNothing: behind servers that don't know NAPTR
// changes of the address are seen all the same.
func TestAQuestionThatAlwaysFailsHidesNothing(t *testing.T) {
	z := &zone{ttl: time.Minute, fails: map[string]bool{"NAPTR p.test": true}, records: map[string]string{"A p.test": "192.0.2.1"}}
	got := watched(t, z, locate.Peer{Host: "p.test"}, 11*time.Second, func() { z.records["A p.test"] = "192.0.2.2" })
	if len(got) < 2 || got[0].hops != "udp 192.0.2.1:5060" || got[1].hops != "udp 192.0.2.2:5060" {
		t.Errorf("%v", got)
	}
}
