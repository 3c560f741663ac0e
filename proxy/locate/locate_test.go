package locate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/proxy/locate"
)

// zone is DNS as a table: "TYPE name" to records, one a field. It notes what it
// was asked.
type zone struct {
	records map[string]string
	fails   map[string]bool // "TYPE name", or "" for all
	ttl     time.Duration
	asked   []string
}

func (z *zone) Lookup(_ context.Context, name string, t locate.Type) (r locate.Records, err error) {
	q := string(t) + " " + name
	z.asked = append(z.asked, q)
	if z.fails[q] || z.fails[""] {
		return r, errors.New("no DNS today")
	}
	r.TTL = z.ttl
	for _, f := range strings.FieldsFunc(z.records[q], func(r rune) bool { return r == ';' }) {
		switch t {
		case locate.TypeNAPTR:
			var n locate.NAPTR
			if _, err := fmt.Sscan(f, &n.Order, &n.Preference, &n.Flags, &n.Service, &n.Replacement); err != nil {
				return r, err
			}
			r.NAPTR = append(r.NAPTR, n)
		case locate.TypeSRV:
			var s locate.SRV
			if _, err := fmt.Sscan(f, &s.Priority, &s.Weight, &s.Port, &s.Target); err != nil {
				return r, err
			}
			s.Target = strings.TrimSuffix(s.Target, ".")
			r.SRV = append(r.SRV, s)
		default:
			r.Addrs = append(r.Addrs, netip.MustParseAddr(strings.TrimSpace(f)))
		}
	}
	return r, nil
}

// listens is sockets in short: "udp4 tls6".
func listens(s string) (out []locate.Socket) {
	for _, f := range strings.Fields(s) {
		out = append(out, locate.Socket{Transport: f[:3], IPv6: f[3] == '6'})
	}
	return out
}

func show(hops []locate.Hop) string {
	var out []string
	for _, h := range hops {
		out = append(out, h.Transport+" "+h.Addr.String())
	}
	return strings.Join(out, ", ")
}

// TestAPeerIsLocatedAsRFC3263Says: each row is a URI, our sockets, what DNS has,
// and where the peer is then.
func TestAPeerIsLocatedAsRFC3263Says(t *testing.T) {
	hosts := map[string]string{"A a.test": "192.0.2.1", "A b.test": "192.0.2.2", "AAAA b.test": "2001:db8::2", "A c.test": "192.0.2.3",
		"A p.test": "192.0.2.9", "AAAA p.test": "2001:db8::9"}
	all := map[string]string{"SRV _sip._udp.p.test": "10 1 5070 a.test", "SRV _sip._tcp.p.test": "10 1 5080 b.test", "SRV _sips._tcp.p.test": "10 1 5090 c.test"}
	for _, c := range []struct {
		name    string
		peer    locate.Peer
		sockets string
		records map[string]string
		want    string
	}{
		{"an address is what it is", locate.Peer{Host: "192.0.2.7"}, "udp4", nil, "udp 192.0.2.7:5060"},
		{"an address by TLS has TLS's port", locate.Peer{Host: "2001:db8::7", Transport: "tls"}, "tls6", nil, "tls [2001:db8::7]:5061"},
		{"a port says that there is no SRV", locate.Peer{Host: "p.test", Port: 5999}, "udp4 tcp4", all, "udp 192.0.2.9:5999"},
		{"a port and a transport", locate.Peer{Host: "p.test", Port: 5999, Transport: "tcp"}, "udp4 tcp4", all, "tcp 192.0.2.9:5999"},
		{"both families, ours first", locate.Peer{Host: "p.test", Port: 5999}, "udp6 udp4", nil, "udp [2001:db8::9]:5999, udp 192.0.2.9:5999"},
		{"a transport takes its own SRV", locate.Peer{Host: "p.test", Transport: "tcp"}, "udp4 tcp4", all, "tcp 192.0.2.2:5080"},
		{"TLS is SIPS's SRV", locate.Peer{Host: "p.test", Transport: "tls"}, "tls4", all, "tls 192.0.2.3:5090"},
		{"a transport without SRV", locate.Peer{Host: "p.test", Transport: "tls"}, "tls4 tls6", nil, "tls 192.0.2.9:5061, tls [2001:db8::9]:5061"},
		{"nothing but an address", locate.Peer{Host: "p.test"}, "tcp4 udp4", nil, "udp 192.0.2.9:5060"},
		{"nothing but an address, and no UDP", locate.Peer{Host: "p.test"}, "tls4", nil, "tls 192.0.2.9:5061"},
		{"SRV of each transport, in our order", locate.Peer{Host: "p.test"}, "tls4 udp4", all, "tls 192.0.2.3:5090, udp 192.0.2.1:5070"},
		{"an SRV target of both families", locate.Peer{Host: "p.test"}, "tcp4 tcp6", all, "tcp 192.0.2.2:5080, tcp [2001:db8::2]:5080"},
		{"SRV priorities", locate.Peer{Host: "p.test"}, "udp4", map[string]string{"SRV _sip._udp.p.test": "20 9 5060 a.test; 10 1 5060 b.test"},
			"udp 192.0.2.2:5060, udp 192.0.2.1:5060"},
		{"SRV that says no", locate.Peer{Host: "p.test"}, "udp4", map[string]string{"SRV _sip._udp.p.test": "0 0 0 ."}, ""},
		{"SRV that says no to one transport", locate.Peer{Host: "p.test"}, "udp4 tcp4",
			map[string]string{"SRV _sip._udp.p.test": "0 0 0 .", "SRV _sip._tcp.p.test": "1 1 5060 a.test"}, "tcp 192.0.2.1:5060"},
		{"an SRV target without an address", locate.Peer{Host: "p.test"}, "udp4",
			map[string]string{"SRV _sip._udp.p.test": "1 0 5060 gone.test; 2 0 5060 a.test"}, "udp 192.0.2.1:5060"},
		{"NAPTR preferences in one order", locate.Peer{Host: "p.test"}, "udp4 tcp4", map[string]string{
			"NAPTR p.test": "50 60 s SIP+D2U u.test; 50 50 S sip+d2t t.test", "SRV u.test": "1 1 5060 a.test", "SRV t.test": "1 1 5061 c.test"},
			"tcp 192.0.2.3:5061, udp 192.0.2.1:5060"},
		{"NAPTR of a higher order doesn't count", locate.Peer{Host: "p.test"}, "udp4 tcp4", map[string]string{
			"NAPTR p.test": "60 1 s SIP+D2U u.test; 50 50 s SIP+D2T t.test", "SRV u.test": "1 1 5060 a.test", "SRV t.test": "1 1 5061 c.test"},
			"tcp 192.0.2.3:5061"},
		{"NAPTR of what we don't listen on is passed over", locate.Peer{Host: "p.test"}, "udp4", map[string]string{
			"NAPTR p.test": "60 1 s SIP+D2U u.test; 50 50 s SIPS+D2T t.test; 40 1 s E2U+sip x.test; 30 1 u SIP+D2U y.test", "SRV u.test": "1 1 5060 a.test", "SRV t.test": "1 1 5061 c.test"},
			"udp 192.0.2.1:5060"},
		{"NAPTR that leads nowhere", locate.Peer{Host: "p.test"}, "udp4", map[string]string{
			"NAPTR p.test": "60 1 s SIP+D2U u.test", "SRV _sip._udp.p.test": "10 1 5070 a.test"}, "udp 192.0.2.1:5070"},
		{"addresses that aren't anybody's", locate.Peer{Host: "q.test", Port: 5060}, "udp4 udp6", map[string]string{
			"A q.test": "0.0.0.0;224.0.0.1;192.0.2.1", "AAAA q.test": "::;ff02::1;192.0.2.2;2001:db8::2"}, "udp 192.0.2.1:5060, udp [2001:db8::2]:5060"},
		{"an address that stands twice", locate.Peer{Host: "p.test"}, "udp4", map[string]string{
			"SRV _sip._udp.p.test": "1 0 5060 a.test; 2 0 5060 a.test"}, "udp 192.0.2.1:5060"},
	} {
		z := &zone{records: map[string]string{}, ttl: time.Minute}
		for _, m := range []map[string]string{hosts, c.records} {
			for k, v := range m {
				z.records[k] = v
			}
		}
		a, err := c.peer.Locate(t.Context(), z, listens(c.sockets))
		if got := show(a.Hops()); got != c.want {
			t.Errorf("%s: %s\nwant %s\nasked %q", c.name, got, c.want, z.asked)
		}
		if (c.want == "") != errors.Is(err, locate.ErrNowhere) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, q := range z.asked {
			if strings.HasPrefix(q, "AAAA ") && !strings.Contains(c.sockets, "6") || strings.HasPrefix(q, "A ") && !strings.Contains(c.sockets, "4") {
				t.Errorf("%s: was asked for %s, which no socket reaches", c.name, q)
			}
		}
	}
}

// TestADomainCannotMakeUsSendEverywhere: however many records it has.
func TestADomainCannotMakeUsSendEverywhere(t *testing.T) {
	z := &zone{records: map[string]string{}}
	for i := range 1000 {
		z.records["SRV _sip._udp.p.test"] += fmt.Sprintf("1 1 5060 h%d.test;", i)
		z.records[fmt.Sprintf("A h%d.test", i)] = fmt.Sprintf("192.0.%[1]d.%[2]d; 198.51.%[1]d.%[2]d; 198.18.%[1]d.%[2]d", i/256, i%256)
	}
	a, err := locate.Peer{Host: "p.test"}.Locate(t.Context(), z, listens("udp4"))
	if err != nil || len(a.Hops()) != 64 || len(z.asked) > 40 {
		t.Errorf("%d places after %d questions, %v", len(a.Hops()), len(z.asked), err)
	}
}

// TestTheAnswerHoldsForItsShortestTTL, the negative ones included.
func TestTheAnswerHoldsForItsShortestTTL(t *testing.T) {
	z := &zone{records: map[string]string{"A p.test": "192.0.2.1"}, ttl: 7 * time.Minute}
	if a, _ := (locate.Peer{Host: "p.test"}).Locate(t.Context(), z, listens("udp4")); a.TTL != 7*time.Minute {
		t.Errorf("%v", a.TTL)
	}
	if a, _ := (locate.Peer{Host: "192.0.2.1"}).Locate(t.Context(), nil, nil); a.TTL != math.MaxInt64 {
		t.Errorf("an address holds for %v", a.TTL)
	}
}

// first counts who is first in n orders.
func first(a locate.Answer, n int) map[string]int {
	r, out := rand.New(rand.NewPCG(1, 2)), map[string]int{}
	for range n {
		out[a.Order(r)[0].Addr.Addr().String()]++
	}
	return out
}

// TestCallsAreSpreadByWeight: within 4 standard deviations of RFC 2782's shares.
func TestCallsAreSpreadByWeight(t *testing.T) {
	const n = 20000
	for _, c := range []struct {
		records string
		want    map[string]float64
	}{
		{"1 60 1 a.test; 1 30 1 b.test; 1 10 1 c.test; 2 9999 1 d.test", map[string]float64{"192.0.2.1": .6, "192.0.2.2": .3, "192.0.2.3": .1}},
		{"1 0 1 a.test; 1 0 1 b.test; 1 0 1 c.test", map[string]float64{"192.0.2.1": 1. / 3, "192.0.2.2": 1. / 3, "192.0.2.3": 1. / 3}},
		// Weight 0 is drawn where the number is 0: once in sum+1 (and 1 of weight 99 in the rest).
		{"1 0 1 a.test; 1 99 1 b.test", map[string]float64{"192.0.2.1": 1. / 100, "192.0.2.2": 99. / 100}},
	} {
		z := &zone{records: map[string]string{"SRV _sip._udp.p.test": c.records, "A a.test": "192.0.2.1", "A b.test": "192.0.2.2", "A c.test": "192.0.2.3", "A d.test": "192.0.2.4"}}
		a, err := locate.Peer{Host: "p.test"}.Locate(t.Context(), z, listens("udp4"))
		if err != nil {
			t.Fatal(err)
		}
		got := first(a, n)
		for addr, p := range c.want {
			if d := math.Abs(float64(got[addr]) - p*n); d > 4*math.Sqrt(n*p*(1-p)) {
				t.Errorf("%s: %s is first %d times of %d, want about %.0f", c.records, addr, got[addr], n, p*n)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", c.records, got)
		}
	}
}

// TestEveryOrderHasEveryPlaceOnce, priorities and families in their order.
func TestEveryOrderHasEveryPlaceOnce(t *testing.T) {
	z := &zone{records: map[string]string{"SRV _sip._udp.p.test": "1 5 1 a.test; 1 0 1 b.test; 2 1 1 c.test",
		"A a.test": "192.0.2.1;192.0.2.11;192.0.2.12", "AAAA a.test": "2001:db8::1;2001:db8::2", "A b.test": "192.0.2.2", "A c.test": "192.0.2.3"}}
	a, err := locate.Peer{Host: "p.test"}.Locate(t.Context(), z, listens("udp6 udp4"))
	if err != nil {
		t.Fatal(err)
	}
	all, r, seen := a.Hops(), rand.New(rand.NewPCG(1, 2)), map[string]bool{}
	for range 500 {
		order := a.Order(r)
		seen[show(order)] = true
		sorted := slices.Clone(order)
		for _, l := range [][]locate.Hop{sorted, all} {
			slices.SortFunc(l, func(a, b locate.Hop) int { return a.Addr.Compare(b.Addr) })
		}
		if !slices.Equal(sorted, all) || order[6].Addr.Addr().String() != "192.0.2.3" {
			t.Fatalf("%s", show(order))
		}
		six := slices.IndexFunc(order, func(h locate.Hop) bool { return h.Addr.Addr().Is6() })
		if !order[six+1].Addr.Addr().Is6() {
			t.Fatalf("the families are mixed: %s", show(order))
		}
	}
	if len(seen) != 2*2*6 { // a or b first, a's two and three addresses in any order
		t.Errorf("%d different orders", len(seen))
	}
}
