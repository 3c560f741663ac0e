package media

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ErrNoPorts means that every port of the range is in use or in quarantine.
var ErrNoPorts = errors.New("no media port is free")

// PoolConfig is the range that a Pool hands out.
type PoolConfig struct {
	Min, Max   uint16           // both included
	Quarantine time.Duration    // before a port is used again; 0: 10 s
	Now        func() time.Time // nil: time.Now
}

// Pool hands out pairs of UDP ports: RTP on an even port, RTCP on the next one
// (RFC 3550 section 11). The port released longest ago goes first, and none
// before its quarantine is over: packets of the old call that are still under
// way must not meet a new one.
type Pool struct {
	quarantine time.Duration
	now        func() time.Time

	mu    sync.Mutex
	free  []freePort // in order of release
	inUse int
}

type freePort struct {
	port     uint16
	released time.Time
}

// NewPool makes a pool. Nothing is bound yet.
func NewPool(c PoolConfig) (*Pool, error) {
	p := &Pool{quarantine: c.Quarantine, now: c.Now}
	if p.quarantine == 0 {
		p.quarantine = 10 * time.Second
	}
	if p.now == nil {
		p.now = time.Now
	}
	for port := int(c.Min) + int(c.Min)%2; port+1 <= int(c.Max); port += 2 {
		p.free = append(p.free, freePort{port: uint16(port)})
	}
	if len(p.free) < 2 {
		return nil, fmt.Errorf("media ports %d-%d hold no two pairs, and a call needs two", c.Min, c.Max)
	}
	return p, nil
}

// InUse is the number of pairs handed out.
func (p *Pool) InUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

// take returns the next port, oldest release first; false when none may be used.
func (p *Pool) take() (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 || !p.free[0].released.IsZero() && p.now().Sub(p.free[0].released) < p.quarantine {
		return 0, false
	}
	port := p.free[0].port
	p.free = p.free[1:]
	p.inUse++
	return port, true
}

// put gives a port back, into quarantine.
func (p *Pool) put(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, freePort{port, p.now()})
	p.inUse--
}

// bind takes a port pair on ip. A port that another program holds is passed over.
func (p *Pool) bind(ip netip.Addr) (port uint16, rtp, rtcp *net.UDPConn, err error) {
	for range 16 {
		port, ok := p.take()
		if !ok {
			return 0, nil, nil, ErrNoPorts
		}
		rtp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port)))
		if err != nil {
			p.put(port)
			continue
		}
		rtcp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port+1)))
		if err != nil {
			p.put(port)
			if err := rtp.Close(); err != nil {
				return 0, nil, nil, fmt.Errorf("closing a media socket: %w", err)
			}
			continue
		}
		return port, rtp, rtcp, nil
	}
	return 0, nil, nil, ErrNoPorts
}
