package media

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"consentgate/media/sockets"
)

// ErrNoPorts means that every port of the range is in use or in quarantine.
var ErrNoPorts = errors.New("no media port is free")

// receiveBuffer of a socket, bytes. About a second of speech with the kernel's
// own overhead: enough for any pause of ours, too little to play yesterday's.
const receiveBuffer = 128 << 10

// PoolConfig is the range that a Pool hands out.
type PoolConfig struct {
	Min, Max   uint16           // both included
	Quarantine time.Duration    // before a port is used again; 0: 10 s
	Now        func() time.Time // nil: time.Now
}

// Pool hands out pairs of UDP ports: RTP on an even port, RTCP on the next one
// (RFC 3550 section 11). The port released longest ago goes first, and none
// before its quarantine is over: packets of the old call that are still under
// way must not meet a new one. It is safe for concurrent use.
type Pool struct {
	quarantine time.Duration
	now        func() time.Time
	size       int // pairs, in use or not

	mu    sync.Mutex
	free  []port // in order of release
	inUse int
}

// port is a pair's RTP port, with what must be known of its last use.
type port struct {
	number   uint16
	released time.Time         // zero: never used
	former   [2]netip.AddrPort // where the last call's RTP and RTCP came from
}

// pair is a port pair in use.
type pair struct {
	rtp, rtcp *sockets.Socket
	port
}

// takers are what becomes of a pair's packets, the sockets to take them from, and what
// RTP needs most.
type takers struct {
	rtp, rtcp sockets.Taker
	sockets   [2]*sockets.Socket
	needs     []sockets.Memory
}

// unopened are two sockets to open.
func unopened() [2]*sockets.Socket {
	return [2]*sockets.Socket{new(sockets.Socket), new(sockets.Socket)}
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
	for n := int(c.Min) + int(c.Min)%2; n > 0 && n+1 <= int(c.Max); n += 2 {
		p.free = append(p.free, port{number: uint16(n)})
	}
	if p.size = len(p.free); p.size < 2 {
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

// take returns the port released longest ago; false when none may be used now.
func (p *Pool) take() (port, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 || !p.free[0].released.IsZero() && p.now().Sub(p.free[0].released) < p.quarantine {
		return port{}, false
	}
	out := p.free[0]
	p.free = p.free[1:]
	p.inUse++
	return out, true
}

// put gives a port back, into quarantine.
func (p *Pool) put(x port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.released = p.now()
	p.free = append(p.free, x)
	p.inUse--
}

// untake gives back a port that nothing was done with.
func (p *Pool) untake(x port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append([]port{x}, p.free...)
	p.inUse--
}

// bind takes a pair on ip. A pair that another program holds a port of is passed
// over, and tried again after its quarantine. Other errors are the address's
// fault or the system's, and no other port would do better.
func (p *Pool) bind(on *sockets.Set, ip netip.Addr, to takers) (pair, error) {
	if !ip.IsValid() {
		return pair{}, errors.New("no local address to bind media ports on")
	}
	for {
		x, ok := p.take()
		if !ok {
			return pair{}, ErrNoPorts
		}
		out, err := listenPair(on, ip, x, to)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, syscall.EADDRINUSE):
			p.put(x)
			to.sockets = unopened() // one of the former may have been open for a moment
		default:
			p.untake(x)
			return pair{}, err
		}
	}
}

func listenPair(on *sockets.Set, ip netip.Addr, x port, to takers) (pair, error) {
	rtp, rtcp := to.sockets[0], to.sockets[1]
	if err := on.Open(rtp, netip.AddrPortFrom(ip, x.number), receiveBuffer, to.rtp, to.needs...); err != nil {
		return pair{}, fmt.Errorf("opening a media port: %w", err)
	}
	if err := on.Open(rtcp, netip.AddrPortFrom(ip, x.number+1), receiveBuffer, to.rtcp); err != nil {
		return pair{}, errors.Join(fmt.Errorf("opening a media port: %w", err), rtp.Close())
	}
	return pair{rtp, rtcp, x}, nil
}

// left is the port as its call leaves it: it knows where that call's packets came
// from. place may be nil.
func (x pair) left(p *place) port {
	if p != nil {
		x.former = [2]netip.AddrPort{p.rtp.target(), p.rtcp.target()}
	}
	return x.port
}

// close closes both sockets.
func (x pair) close() error { return errors.Join(x.rtp.Close(), x.rtcp.Close()) }
