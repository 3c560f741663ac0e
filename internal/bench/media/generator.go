package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// The addresses of everybody are of this process alone, so that ports are free.
var (
	relayIP = address(1)
	partyIP = [2]netip.Addr{address(2), address(3)}
)

func address(last byte) netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, byte(77 + pid>>8%64), byte(pid), last})
}

const (
	partyPort        = 10000 // of the first call's RTP
	minPort, maxPort = 20000, 29999
	portsOfACall     = 4 // RTP and RTCP on both sides
	maxCalls         = (maxPort - minPort + 1) / portsOfACall
)

// leg is where a call's party has its RTP.
func leg(side, call int) netip.AddrPort {
	return netip.AddrPortFrom(partyIP[side], uint16(partyPort+2*call))
}

// targets are where the parties of each call must send, by side.
type targets [2][]netip.AddrPort

func newTargets(calls int) targets {
	return targets{make([]netip.AddrPort, calls), make([]netip.AddrPort, calls)}
}

// lines is what the programs in C read.
func lines(calls int, at func(side, call int) netip.AddrPort) string {
	var b strings.Builder
	for i := range calls {
		fmt.Fprintf(&b, "%s %s\n", at(0, i), at(1, i))
	}
	return b.String()
}

// load is what the generator found out: packets, us, s of CPU.
type load struct {
	Sent, Received, Unsent, Foreign float64
	P50, P99, Max, Late             float64
	Seconds                         float64
	RelayCPU                        float64 `json:"relay_cpu"`
	OwnCPU                          float64 `json:"own_cpu"`
	MachineCPU                      float64 `json:"machine_cpu"`
}

// generator is a running rtpload whose sockets are bound.
type generator struct {
	*process
	calls int
}

func startGenerator(ctx context.Context, p programs, plan plan, calls, relay int) (*generator, error) {
	r, err := p.launch(ctx, p.dir, command{name: "rtpload", path: p.generator, args: []string{"-n", strconv.Itoa(calls),
		"-a", partyIP[0].String(), "-b", partyIP[1].String(), "-p", strconv.Itoa(partyPort),
		"-w", fmt.Sprint(plan.warm), "-d", fmt.Sprint(plan.seconds), "-r", strconv.Itoa(relay)}})
	if err != nil {
		return nil, err
	}
	if err := r.expect("bound"); err != nil {
		r.kill()
		return nil, err
	}
	return &generator{r, calls}, nil
}

// run sends to the targets and says what came of it.
func (g *generator) run(to targets) (l load, err error) {
	if err := g.tell(lines(g.calls, func(side, call int) netip.AddrPort { return to[side][call] })); err != nil {
		return l, err
	}
	if err := json.NewDecoder(g.out).Decode(&l); err != nil {
		return l, fmt.Errorf("rtpload's result: %w\n%s", err, g.said())
	}
	return l, nil
}
