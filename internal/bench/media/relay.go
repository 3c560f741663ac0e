package main

import (
	"context"
	"net/netip"
	"strconv"
)

// relay is one under test, running.
type relay interface {
	self() *process
	// connect makes the job's calls, whose parties have their RTP at leg.
	connect(ctx context.Context) (targets, error)
	// after looks, once the packets have come, whether all was done that should
	// have been, and adds what only this relay knows: Recorded in bytes so far.
	after(r *result) error
	close() error
}

// job is what a relay is to do.
type job struct {
	programs
	calls    int
	recorded int // calls of them
}

// contestant is a kind of relay and what it is to do with its calls.
type contestant struct {
	name     string
	recorded float64 // share of the calls
	start    func(context.Context, job) (relay, error)
}

// The contestants; ratios are taken of these.
const (
	floorPlain                   = "floor"
	rtpePlain, rtpeAll           = "rtpengine", "rtpengine-pcap"
	gatePlain, gateHalf, gateAll = "gate", "gate-half", "gate-all"
)

var contestants = []contestant{
	{floorPlain, 0, startFloor},
	{rtpePlain, 0, startRTPEngine},
	{gatePlain, 0, startGate},
	{gateHalf, 0.5, startGate},
	{gateAll, 1, startGate},
	{rtpeAll, 1, startRTPEngine},
}

// floor is relay.c.
type floor struct {
	*process
	calls int
}

func startFloor(ctx context.Context, j job) (relay, error) {
	p, err := j.launch(ctx, j.dir, command{name: "relay", path: j.floor, pin: j.pin,
		args: []string{strconv.Itoa(j.calls), relayIP.String(), strconv.Itoa(minPort)}})
	return &floor{p, j.calls}, err
}

func (f *floor) self() *process { return f.process }

func (f *floor) connect(context.Context) (targets, error) {
	to := newTargets(f.calls)
	for i := range f.calls {
		for side := range to {
			to[side][i] = netip.AddrPortFrom(relayIP, uint16(minPort+portsOfACall*i+2*side))
		}
	}
	if err := f.tell(lines(f.calls, leg)); err != nil {
		return to, err
	}
	return to, f.expect("ready")
}

func (f *floor) after(*result) error { return nil }

func (f *floor) close() error {
	f.kill()
	return nil
}
