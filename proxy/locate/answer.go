package locate

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Answer is where a peer is. It isn't changed once it is made.
type Answer struct {
	services [][]server // in the order to try them; each sorted by priority
	TTL      time.Duration
}

// server is one target of an SRV record, or a host by itself.
type server struct {
	priority, weight uint16
	hops             []Hop // by family, in the order of our sockets; then by address
}

// hops are the addresses of a host that our sockets reach by a transport.
func (l *locating) hops(host, transport string, port uint16) (out []Hop) {
	asked := map[Type]bool{}
	for _, s := range l.sockets {
		t := TypeA
		if s.IPv6 {
			t = TypeAAAA
		}
		if s.Transport != transport || asked[t] {
			continue
		}
		asked[t] = true
		addrs := slices.Clone(l.ask(host, t).Addrs)
		slices.SortFunc(addrs, netip.Addr.Compare)
		for _, a := range addrs {
			if a.IsUnspecified() || a.IsMulticast() || a.Is4() == s.IPv6 { // the last: IPv4 in the guise of IPv6
				continue
			}
			if l.found++; l.found <= maxHops {
				out = append(out, Hop{transport, netip.AddrPortFrom(a, port)})
			}
		}
	}
	return out
}

// Hops are all places there are, each once, the preferred ones first; equal
// answers have equal ones.
func (a Answer) Hops() []Hop {
	return a.collect(func(s []server) []server { return s }, func([]Hop) {})
}

// Order is the order in which one call tries them: services and priorities as
// they come, within a priority at random by weight, and a host's addresses of one
// family at random.
func (a Answer) Order(r *rand.Rand) []Hop {
	return a.collect(func(s []server) []server { return weighted(s, r) }, func(hops []Hop) {
		other := slices.IndexFunc(hops, func(h Hop) bool { return h.Addr.Addr().Is4() != hops[0].Addr.Addr().Is4() })
		if other < 0 {
			other = len(hops)
		}
		for _, family := range [][]Hop{hops[:other], hops[other:]} {
			r.Shuffle(len(family), func(i, j int) { family[i], family[j] = family[j], family[i] })
		}
	})
}

func (a Answer) collect(arrange func([]server) []server, mix func([]Hop)) (out []Hop) {
	seen := map[Hop]bool{}
	for _, servers := range a.services {
		for from := 0; from < len(servers); {
			to := from
			for to < len(servers) && servers[to].priority == servers[from].priority {
				to++
			}
			for _, s := range arrange(servers[from:to]) {
				hops := slices.Clone(s.hops)
				mix(hops)
				for _, h := range hops {
					if !seen[h] {
						seen[h] = true
						out = append(out, h)
					}
				}
			}
			from = to
		}
	}
	return out
}

// weighted puts servers of one priority in the order of RFC 2782: again and again
// one is drawn with a chance by its weight, where those of weight 0 come first in
// the row, so that they have a small one.
func weighted(servers []server, r *rand.Rand) []server {
	row := slices.Clone(servers)
	r.Shuffle(len(row), func(i, j int) { row[i], row[j] = row[j], row[i] })
	slices.SortStableFunc(row, func(a, b server) int { return min(int(a.weight), 1) - min(int(b.weight), 1) })
	sum := 0
	for _, s := range row {
		sum += int(s.weight)
	}
	out := make([]server, 0, len(row))
	for len(row) > 0 {
		drawn, running, i := r.IntN(sum+1), 0, 0
		for i = range row {
			if running += int(row[i].weight); running >= drawn {
				break
			}
		}
		sum -= int(row[i].weight)
		out = append(out, row[i])
		row = slices.Delete(row, i, i+1)
	}
	return out
}
