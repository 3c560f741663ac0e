package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// result is what one run of one contestant gave.
type result struct {
	load
	Calls      float64
	Memory     float64 // resident, bytes, more than without calls
	Recorded   float64 // bytes, a call and second
	Behind     bool    // of the recorded calls' speech, less than half was on the disk at the end
	TapDropped float64 // packets missing in recordings
	Goroutines float64
}

// spoken is what a call's parties say, bytes of PCMU a second.
const spoken = 2 * 8000

// runKey names the runs that are compared.
type runKey struct {
	calls int
	name  string
}

// measure runs the whole plan. In each round the contestants come one after the
// other, and every other round in reverse: what else happens on the machine
// then meets all of them alike.
func (r *report) measure(ctx context.Context, p programs, out io.Writer) error {
	for _, name := range r.plan.only {
		if !slices.ContainsFunc(contestants, func(c contestant) bool { return c.name == name }) {
			return fmt.Errorf("-only: there is no contestant %q", name)
		}
	}
	for _, calls := range r.plan.sizes {
		for round := range r.plan.repeat {
			for i := range contestants {
				c := contestants[i]
				if round%2 == 1 {
					c = contestants[len(contestants)-1-i]
				}
				if len(r.plan.only) > 0 && !slices.Contains(r.plan.only, c.name) {
					continue
				}
				res, err := c.run(ctx, p, r.plan, calls)
				if err != nil {
					return fmt.Errorf("%s, %d calls: %w", c.name, calls, err)
				}
				behind := ""
				if res.Behind {
					behind = ", RECORDER BEHIND"
				}
				fmt.Fprintf(out, "%4d calls, round %d, %-14s %6.2f us/packet, p50 %4.0f, p99 %6.0f us, lost %.0f, others %3.0f %%, late %.0f us%s\n",
					calls, round+1, c.name, res.perPacket(), res.P50, res.P99, res.lost(), res.others(), res.Late, behind)
				key := runKey{calls, c.name}
				r.rounds[key] = append(r.rounds[key], res)
			}
		}
	}
	if r.plan.idle == 0 {
		return nil
	}
	var err error
	r.idle, err = measureIdle(ctx, p, r.plan.idle)
	return err
}

// run is one run: the relay without calls, with them, and with their packets.
func (c contestant) run(ctx context.Context, p programs, plan plan, calls int) (res result, err error) {
	relay, err := c.start(ctx, job{p, calls, int(c.recorded * float64(calls))})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, relay.close()) }()
	empty, err := relay.self().resident()
	if err != nil {
		return res, err
	}
	g, err := startGenerator(ctx, p, plan, calls, relay.self().pid())
	if err != nil {
		return res, err
	}
	defer g.kill()
	to, err := relay.connect(ctx)
	if err != nil {
		return res, err
	}
	if res.load, err = g.run(to); err != nil {
		return res, err
	}
	full, err := relay.self().resident()
	if err != nil {
		return res, err
	}
	res.Calls, res.Memory = float64(calls), full-empty
	if res.Received == 0 {
		return res, fmt.Errorf("no packet came through\n%s", relay.self().said())
	}
	if err := relay.after(&res); err != nil {
		return res, err
	}
	res.Recorded /= res.Calls * (plan.warm + plan.seconds)
	res.Behind = res.Recorded < spoken*c.recorded/2
	return res, nil
}

func (r result) lost() float64 { return r.Sent - r.Received }

// perPacket is the relay's CPU, us.
func (r result) perPacket() float64 { return 1e6 * r.RelayCPU / r.Received }

// others is what all other programs took of the machine, % of one core.
func (r result) others() float64 {
	return max(0, 100*(r.MachineCPU-r.RelayCPU-r.OwnCPU)/r.Seconds)
}

// full reports whether relay and generator had nearly all of the machine: CPU a
// packet is its capacity then, and latency is the scheduler's.
func (r result) full() float64 {
	if r.RelayCPU+r.OwnCPU > 0.9*r.Seconds*float64(runtime.NumCPU()) {
		return 1
	}
	return 0
}

// idleCall is what one of the gate's calls holds, bytes, once its set-up is
// forgotten and while no packets come.
type idleCall struct {
	calls                              int
	heap, stacks, resident, goroutines float64
}

// forgotten is how long SIP remembers transactions (RFC 3261 section 17:
// 64*T1), and a little more.
const forgotten = 34 * time.Second

// measureIdle is apart from the loads: the collector is made to run at every 10 %
// of garbage, so that the heap is what is in use.
func measureIdle(ctx context.Context, p programs, calls int) (idle idleCall, err error) {
	g, err := newGate(ctx, job{p, calls, 0}, "GOGC=10")
	if err != nil {
		return idle, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	before, err := g.settled(ctx)
	if err != nil {
		return idle, err
	}
	empty, err := g.resident()
	if err != nil {
		return idle, err
	}
	if _, err := g.connect(ctx); err != nil {
		return idle, err
	}
	select {
	case <-time.After(forgotten):
	case <-ctx.Done():
		return idle, ctx.Err()
	}
	after, err := g.settled(ctx)
	if err != nil {
		return idle, err
	}
	full, err := g.resident()
	n := float64(calls)
	per := func(name string) float64 { return (after[name] - before[name]) / n }
	return idleCall{calls, per("go_memstats_heap_alloc_bytes"), per("go_memstats_stack_inuse_bytes"), (full - empty) / n,
		per("go_goroutines")}, err
}

// settled are the metrics just after a collection: reading them makes the
// garbage that brings it about.
func (g *gate) settled(ctx context.Context) (m map[string]float64, err error) {
	const collections = "go_gc_duration_seconds_count"
	first := -1.0
	for ctx.Err() == nil {
		next, err := g.metrics()
		if err != nil {
			return nil, err
		}
		if first < 0 {
			first = next[collections]
		}
		if m != nil && next[collections] > m[collections] && next[collections] >= first+2 {
			return next, nil
		}
		m = next
	}
	return nil, ctx.Err()
}
