package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"consentgate/internal/phone"
)

// phones are the callers' and the called parties' telephones: real SIP, while
// their RTP is the generator's.
type phones struct {
	calls    int
	side     [2]*phone.Phone
	answered chan *phone.Call
	failed   chan error // of the called side
	quit     context.CancelFunc
}

func newPhones(calls int) (*phones, error) {
	ctx, quit := context.WithCancel(context.Background())
	p := &phones{calls: calls, answered: make(chan *phone.Call, calls), failed: make(chan error, calls), quit: quit}
	for side := range p.side {
		given := 0
		var mu sync.Mutex
		c := phone.Config{Name: "bench", Listen: phoneAt[side], Media: func() *phone.Media {
			mu.Lock()
			defer mu.Unlock()
			given++
			return phone.MediaElsewhere(leg(side, given-1))
		}}
		if side == 1 {
			c.Incoming = func(c *phone.Call) { p.answer(ctx, c) }
		}
		var err error
		if p.side[side], err = phone.New(c); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func (p *phones) answer(ctx context.Context, c *phone.Call) {
	if err := c.Answer(ctx); err != nil {
		p.failed <- fmt.Errorf("answering: %w", err)
		return
	}
	p.answered <- c
}

func (p *phones) close() error {
	p.quit()
	var errs []error
	for _, x := range p.side {
		if x != nil {
			errs = append(errs, x.Close())
		}
	}
	return errors.Join(errs...)
}

// atOnce bounds the calls that are being set up together: no socket's buffer
// overflows then.
const atOnce = 8

// connect makes all calls; the first ones say yes to being recorded.
func (p *phones) connect(ctx context.Context, recorded int) (targets, error) {
	to := newTargets(p.calls)
	callers, err := p.each(p.calls, func(i int) (*phone.Call, error) {
		number := otherNumber
		if i < recorded {
			number = askedNumber
		}
		c, err := p.side[0].Dial(ctx, gateAt[0], number)
		if err != nil {
			return nil, fmt.Errorf("calling: %w", err)
		}
		return c, place(c, 0, to)
	})
	if err != nil {
		return to, err
	}
	for range p.calls {
		select {
		case c := <-p.answered:
			err = errors.Join(err, place(c, 1, to))
		case failed := <-p.failed:
			err = errors.Join(err, failed)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil || recorded == 0 {
		return to, err
	}
	time.Sleep(time.Second) // by now every caller is being asked; connect of the gate checks
	_, err = p.each(recorded, func(i int) (*phone.Call, error) {
		status, err := callers[i].Info("application/dtmf-relay", "Signal=1\r\nDuration=100\r\n")
		if err == nil && status != 200 {
			err = fmt.Errorf("the key was answered with %d", status)
		}
		return nil, err
	})
	return to, err
}

// each does something with every call, a few at a time.
func (p *phones) each(n int, do func(i int) (*phone.Call, error)) ([]*phone.Call, error) {
	calls, errs := make([]*phone.Call, n), make([]error, n)
	next := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				calls[i], errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	return calls, errors.Join(errs...)
}

// place notes where a call's party must send.
func place(c *phone.Call, side int, to targets) error {
	i := int(c.Media.Addr().Port()-partyPort) / 2
	to[side][i] = c.Media.To()
	if want := relayIP; c.Media.To().Addr() != want {
		return fmt.Errorf("the media of call %d goes to %v and not by way of the gate", i, netip.AddrPort(c.Media.To()))
	}
	return nil
}
