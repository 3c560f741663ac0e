package locate

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrNowhere is that DNS answered, and the answer leads to no address that one
// of our sockets reaches.
var ErrNowhere = errors.New("it leads to no address that a listening socket reaches")

// Who runs a domain mustn't choose how much we ask, send and show.
const (
	maxServers = 32 // of one service
	maxHops    = 64 // of one peer
)

// Locate finds a peer's servers (RFC 3263 sections 4.1 and 4.2), asking only for
// what one of our sockets reaches; these are in the order of preference. There
// may be an answer beside an error: the best that can be told when a question
// failed.
func (p Peer) Locate(ctx context.Context, dns Lookup, sockets []Socket) (Answer, error) {
	if hop, ok := p.Fixed(); ok {
		return Answer{services: [][]server{{{hops: []Hop{hop}}}}, TTL: math.MaxInt64}, nil
	}
	l := &locating{ctx: ctx, dns: dns, sockets: sockets, ttl: math.MaxInt64}
	services := l.peer(p)
	a := Answer{services: services, TTL: l.ttl}
	if l.err == nil && len(a.Hops()) == 0 {
		l.err = ErrNowhere
	}
	return a, l.err
}

// locating is one run of the procedure.
type locating struct {
	ctx     context.Context
	dns     Lookup
	sockets []Socket
	ttl     time.Duration // the shortest of what was heard
	err     error         // the first
	found   int           // addresses
}

// ask asks one question. A failure is noted and the procedure goes on as if
// there were no records, or with those that were true last.
func (l *locating) ask(name string, t Type) Records {
	r, err := l.dns.Lookup(l.ctx, name, t)
	if err != nil {
		if l.err == nil {
			l.err = err
		}
		return r
	}
	l.ttl = min(l.ttl, r.TTL)
	return r
}

func (l *locating) peer(p Peer) [][]server {
	switch {
	case p.Port != 0:
		return l.plain(p, p.transport())
	case p.Transport != "":
		if services, found := l.services([]service{serviceOf(p.Transport, p.Host)}); found {
			return services
		}
		return l.plain(p, p.Transport)
	}
	if services, found := l.services(l.rules(p.Host)); found {
		return services
	}
	var guesses []service
	for _, t := range l.transports() {
		guesses = append(guesses, serviceOf(t, p.Host))
	}
	if services, found := l.services(guesses); found {
		return services
	}
	if l.reaches("udp") || len(l.sockets) == 0 {
		return l.plain(p, "udp")
	}
	return l.plain(p, l.transports()[0])
}

// service is a name that has SRV records.
type service struct{ transport, name string }

// serviceOf is a transport's service of a domain. TLS is that of SIPS, since the
// plain one's ports speak TCP.
func serviceOf(transport, domain string) service {
	return service{transport, map[string]string{"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}[transport] + domain}
}

var naptrServices = map[string]string{"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}

// rules are the services that the domain's NAPTR records lead to, those that we
// have a socket for. Of several orders the first counts alone (RFC 3403 section
// 4.1: Order); within it the others are what a client turns to next.
func (l *locating) rules(domain string) (out []service) {
	rules := slices.Clone(l.ask(domain, TypeNAPTR).NAPTR)
	slices.SortStableFunc(rules, func(a, b NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	order := uint16(0)
	for _, r := range rules {
		transport := naptrServices[strings.ToUpper(r.Service)]
		if !strings.EqualFold(r.Flags, "s") || r.Regexp || r.Replacement == "" || !l.reaches(transport) {
			continue
		}
		if len(out) == 0 {
			order = r.Order
		}
		if r.Order == order {
			out = append(out, service{transport, r.Replacement})
		}
	}
	return out
}

// services asks for the servers of each service. Found is whether there was any
// record: then the domain's own address isn't asked for (RFC 3263 section 4.2).
func (l *locating) services(services []service) (out [][]server, found bool) {
	for _, s := range services {
		records := slices.Clone(l.ask(s.name, TypeSRV).SRV)
		found = found || len(records) > 0
		slices.SortStableFunc(records, func(a, b SRV) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
		})
		var servers []server
		for _, r := range records[:min(len(records), maxServers)] {
			if r.Target != "" { // RFC 2782: "." is that there is none, decidedly
				servers = append(servers, server{r.Priority, r.Weight, l.hops(r.Target, s.transport, r.Port)})
			}
		}
		out = append(out, servers)
	}
	return out, found
}

func (l *locating) plain(p Peer, transport string) [][]server {
	return [][]server{{{hops: l.hops(p.Host, transport, p.port(transport))}}}
}

// transports are those of our sockets, in their order.
func (l *locating) transports() (out []string) {
	for _, s := range l.sockets {
		if !slices.Contains(out, s.Transport) {
			out = append(out, s.Transport)
		}
	}
	return out
}

func (l *locating) reaches(transport string) bool { return slices.Contains(l.transports(), transport) }
