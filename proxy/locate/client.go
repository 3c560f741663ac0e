package locate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience bounds one question to one server.
	patience = 2 * time.Second
	// rounds is how often all servers are asked before a question fails.
	rounds = 2
	// datagram is what servers may send by UDP: what passes without fragments
	// everywhere (the DNS flag day's 1232 bytes).
	datagram = 1232
	// noTTL is how long a negative answer holds that doesn't say (RFC 2308
	// section 5 wants it to).
	noTTL = 30 * time.Second
)

// Client asks DNS servers. Names of /etc/hosts are taken from there, and servers
// aren't asked about them at all. Safe for concurrent use.
type Client struct {
	servers       []string // host:port; none: those of resolv
	hosts, resolv string   // files
}

// NewClient makes a client of servers (address and port), or of those of
// /etc/resolv.conf if there are none; that is read again for each question.
func NewClient(servers ...string) *Client {
	return &Client{servers: servers, hosts: "/etc/hosts", resolv: "/etc/resolv.conf"}
}

// Lookup is Lookup's: it asks one server after the other until one knows.
func (c *Client) Lookup(ctx context.Context, name string, t Type) (Records, error) {
	name = strings.TrimSuffix(name, ".")
	if addrs := hostsFile(c.hosts, domain(name)); len(addrs) > 0 {
		return fromHosts(addrs, t), nil
	}
	servers, names := c.config(name, t)
	var out Records
	for _, n := range names {
		r, err := c.ask(ctx, servers, n, t)
		if err != nil {
			return Records{}, fmt.Errorf("asking DNS for %s of %s: %w", t, name, err)
		}
		if out = r; len(r.NAPTR)+len(r.SRV)+len(r.Addrs) > 0 {
			break
		}
	}
	return out, nil
}

// domain is the domain whose service a name is.
func domain(name string) string {
	for strings.HasPrefix(name, "_") {
		_, name, _ = strings.Cut(name, ".")
	}
	return name
}

// fromHosts: a name of the file has addresses and nothing else; they hold until
// the next look.
func fromHosts(addrs []netip.Addr, t Type) (r Records) {
	for _, a := range addrs {
		if t == TypeA && a.Is4() || t == TypeAAAA && a.Is6() {
			r.Addrs = append(r.Addrs, a)
		}
	}
	return r
}

// config is who is asked, and under which full names: a host's may be short for
// one in a search domain (resolv.conf(5)), a service's is not.
func (c *Client) config(name string, t Type) (servers, names []string) {
	full := []string{dns.Fqdn(name)}
	conf, err := dns.ClientConfigFromFile(c.resolv)
	if err != nil || len(conf.Servers) == 0 { // as the C library does
		conf = &dns.ClientConfig{Servers: []string{"127.0.0.1"}, Port: "53", Ndots: 1}
	}
	if t == TypeA || t == TypeAAAA {
		full = conf.NameList(name)
	}
	if len(c.servers) > 0 {
		return c.servers, full
	}
	for _, s := range conf.Servers {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	return servers, full
}

// ask gets the answer to one question.
func (c *Client) ask(ctx context.Context, servers []string, name string, t Type) (Records, error) {
	var last error
	for range rounds {
		for _, s := range servers {
			m, err := exchange(ctx, s, name, t)
			if err == nil {
				return records(m, t), nil
			}
			last = err
			if ctx.Err() != nil {
				return Records{}, err
			}
		}
	}
	return Records{}, last
}

// exchange asks one server by UDP, and by TCP if the answer doesn't fit.
func exchange(ctx context.Context, server, name string, t Type) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, dns.StringToType[string(t)])
	q.SetEdns0(datagram, false)
	for _, network := range []string{"udp", "tcp"} {
		once, cancel := context.WithTimeout(ctx, patience)
		m, err := talk(once, network, server, q)
		cancel()
		if err == nil {
			err = sound(q, m)
		}
		switch {
		case m != nil && m.Truncated && network == "udp" && !errors.Is(err, errNotOurs):
			continue
		case err != nil:
			return nil, fmt.Errorf("server %s by %s: %w", server, network, err)
		}
		return m, nil
	}
	return nil, fmt.Errorf("server %s: its answer doesn't fit into TCP", server)
}

// talk sends a question and waits for the answer, until ctx ends.
func talk(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	c := &dns.Client{Net: network, Timeout: patience}
	conn, err := c.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	hangUp := func() { _ = conn.Close() } // a question's socket; nothing is lost with it
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)() // the library heeds deadlines, not cancellation
	m, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	return m, err
}

var errNotOurs = errors.New("the answer is to another question")

// sound tells an answer from a refusal to give one.
func sound(q, m *dns.Msg) error {
	if len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype {
		return errNotOurs
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return errors.New(dns.RcodeToString[m.Rcode])
	}
	return nil
}

// records takes what was asked for out of a message. Aliases before it (CNAME)
// were followed by the server; their TTLs count.
func records(m *dns.Msg, t Type) Records {
	var r Records
	ttl := uint32(1<<32 - 1)
	for _, rr := range m.Answer {
		ttl = min(ttl, rr.Header().Ttl)
		switch rr := rr.(type) {
		case *dns.A:
			r.Addrs = append(r.Addrs, addrs(rr.A, t == TypeA)...)
		case *dns.AAAA:
			r.Addrs = append(r.Addrs, addrs(rr.AAAA, t == TypeAAAA)...)
		case *dns.SRV:
			if t == TypeSRV {
				r.SRV = append(r.SRV, SRV{rr.Priority, rr.Weight, rr.Port, strings.TrimSuffix(rr.Target, ".")})
			}
		case *dns.NAPTR:
			if t == TypeNAPTR {
				r.NAPTR = append(r.NAPTR, NAPTR{rr.Order, rr.Preference, rr.Flags, rr.Service, strings.TrimSuffix(rr.Replacement, "."), rr.Regexp != ""})
			}
		}
	}
	if len(r.NAPTR)+len(r.SRV)+len(r.Addrs) == 0 {
		return Records{TTL: negativeTTL(m, ttl)}
	}
	r.TTL = time.Duration(ttl) * time.Second
	return r
}

func addrs(ip net.IP, wanted bool) []netip.Addr {
	if a, ok := netip.AddrFromSlice(ip); ok && wanted {
		return []netip.Addr{a.Unmap()}
	}
	return nil
}

// negativeTTL is for how long there is nothing (RFC 2308 section 5).
func negativeTTL(m *dns.Msg, ttl uint32) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return time.Duration(min(ttl, soa.Hdr.Ttl, soa.Minttl)) * time.Second
		}
	}
	return noTTL
}
