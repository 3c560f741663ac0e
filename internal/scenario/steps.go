package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func (p *player) policy(w []string) error {
	p.settings.Policy = append(p.settings.Policy, w[0])
	return nil
}

func (p *player) config(w []string) error {
	p.settings.Config = append(p.settings.Config, w[0])
	return nil
}

func (p *player) prompt(w []string) (err error) {
	p.settings.Prompt, err = time.ParseDuration(w[0])
	return err
}

func (p *player) ports(w []string) (err error) {
	p.settings.Ports, err = strconv.Atoi(w[0])
	return err
}

func (p *player) codecs(w []string) error {
	p.settings.Codecs = w[0]
	return nil
}

func (p *player) quota(w []string) error {
	p.settings.Quota = w[0]
	return nil
}

func (p *player) smallDisk([]string) error {
	p.settings.Disk = true
	return nil
}

func (p *player) mayGoDirectly([]string) error {
	p.direct = true
	return nil
}

func (p *player) sectionRefused([]string) error {
	p.refuses = true
	return nil
}

func (p *player) answersTheCaller([]string) error {
	p.answers = true
	return nil
}

func (p *player) tellsOfRecording(w []string) error {
	p.tells[w[0]] = true
	return nil
}

func (p *player) disk(w []string) error { return p.gate.Disk(w[0]) }

func (p *player) sayRequest(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	return a.request(w[1], strings.TrimPrefix(strings.TrimSpace(w[2]), "to "), newOptions(w[3], w[4]))
}

func (p *player) sayResponse(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	status, err := strconv.Atoi(w[1])
	if err != nil {
		return err
	}
	return a.respond(status, strings.Trim(strings.TrimSpace(w[3]), `"`), w[2], newOptions(w[4], w[5]))
}

func (p *player) sayAgain(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	return a.repeat(w[1])
}

func (p *player) sayRubbish(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	_, err = a.conn.WriteToUDPAddrPort([]byte(strings.ReplaceAll(w[1], `\n`, "\r\n")), a.gate)
	return err
}

func (p *player) expect(w []string) error     { return p.expectWithin(w, stepTime) }
func (p *player) expectLate(w []string) error { return p.expectWithin(w, lateTime) }

// expectWithin waits for the next message. What stands behind the bars is checked.
func (p *player) expectWithin(w []string, d time.Duration) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	ctx, cancel := within(d)
	defer cancel()
	m, err := a.next(ctx)
	if err != nil {
		return err
	}
	if m.kind() != w[1] {
		return fmt.Errorf("%s came instead", m.kind())
	}
	for _, want := range bars(w[2]) {
		if err := m.holds(want); err != nil {
			return err
		}
	}
	return nil
}

// holds checks one thing about a message: "Header: text" must be in one of that
// name, "no Header" must not be there, "start text" begins or ends the start
// line, "body text" and "sdp text" are in the body, "no body text" isn't.
func (m *message) holds(want string) error {
	what, text, _ := strings.Cut(want, " ")
	switch {
	case strings.HasPrefix(want, "no body "):
		if text = want[8:]; strings.Contains(m.body, text) {
			return fmt.Errorf("%q is in its body", text)
		}
	case what == "no":
		if len(m.all(text)) > 0 {
			return fmt.Errorf("it has a header %s", text)
		}
	case what == "start":
		if !strings.HasPrefix(m.start, text) && !strings.HasSuffix(m.start, text) {
			return fmt.Errorf("it starts with %q", m.start)
		}
	case what == "sdp" || what == "body":
		if !strings.Contains(m.body, strings.ReplaceAll(text, `\n`, "\r\n")) {
			return fmt.Errorf("its body is\n%s", m.body)
		}
	default:
		name, text, ok := strings.Cut(want, ": ")
		if !ok {
			return fmt.Errorf("%q isn't a check", want)
		}
		if !strings.Contains(strings.Join(m.all(name), "\n"), text) {
			return fmt.Errorf("its %s is %q", name, m.all(name))
		}
	}
	return nil
}

// again waits for a repetition of a message that came.
func (p *player) again(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	ctx, cancel := within(stepTime)
	defer cancel()
	for a.repeats[w[1]] == 0 {
		part, cancel := within(100 * time.Millisecond) // next passes over repetitions
		m, err := a.next(part)
		cancel()
		switch {
		case err == nil:
			return fmt.Errorf("%s came instead", m.kind())
		case part.Err() == nil:
			return err
		case ctx.Err() != nil:
			return errors.New("it never came again")
		}
	}
	a.repeats[w[1]] = 0
	return nil
}

func (p *player) nothingMore(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	ctx, cancel := within(300 * time.Millisecond)
	defer cancel()
	m, err := a.next(ctx)
	if m != nil {
		return fmt.Errorf("%s came", m.kind())
	}
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func (p *player) metric(w []string) error {
	want, err := strconv.ParseFloat(w[1], 64)
	if err != nil {
		return err
	}
	return p.until(w[0], func(got float64) bool { return got == want })
}

// waitRecorded waits until what is said from now on has reached a recorder.
func (p *player) waitRecorded([]string) error {
	const series = "tap_packets_total"
	before := p.gate.Metric(series)
	return p.until(series, func(got float64) bool { return got > before+4 })
}

// until waits until a series of the gate's says so.
func (p *player) until(series string, ok func(float64) bool) error {
	ctx, cancel := within(stepTime)
	defer cancel()
	for {
		got := p.gate.Metric(series)
		if ok(got) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is %v", got)
		case <-time.After(20 * time.Millisecond): // another process's number can only be polled
		}
	}
}
