package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// stepTime bounds each step; tests of the player itself shorten it.
var stepTime = 8 * time.Second

// lateTime is for what 64*T1 brings (RFC 3261 section 17).
const lateTime = 45 * time.Second

// Failure is what a scenario found. Its text has the place, what was wrong and
// everything that was sent and received.
type Failure struct {
	Where string // file:line
	Line  string
	Err   error
	Trace string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %s: %v\n\n%s", f.Where, f.Line, f.Err, f.Trace)
}

func (f *Failure) Unwrap() error { return f.Err }

// player plays one scenario.
type player struct {
	settings Settings
	direct   bool            // media may go round the gate
	refuses  bool            // the gate may refuse a section of media
	answers  bool            // the gate answers the caller itself
	tells    map[string]bool // whom it tells of recording
	ahead    map[string]int  // requests of its own to each, by which its numbers are ahead
	actors   map[string]*actor
	gate     Gate
	evidence *Evidence

	mu    sync.Mutex
	trace strings.Builder
	start time.Time
}

// Play plays the scenario against a gate of its own, then proves what must hold
// after each: nothing recorded before consent, nothing in the clear, no number
// in the program's log. The error is a *Failure.
func (s *Script) Play(start Start) error {
	p := &player{actors: map[string]*actor{}, tells: map[string]bool{}, ahead: map[string]int{}, settings: Settings{Prompt: 400 * time.Millisecond}, start: time.Now()}
	defer p.close()
	at := line{}
	fail := func(err error) error {
		if p.evidence == nil && p.gate != nil {
			if ev, err := p.gate.Finish(); err == nil {
				p.evidence = ev
			}
		}
		if p.evidence != nil {
			p.note("the gate said\n" + p.evidence.Log)
		}
		return &Failure{fmt.Sprintf("%s:%d", s.name, at.number), at.text, err, p.text()}
	}
	for _, name := range []string{"carrier", "pbx"} {
		if _, err := p.newActor(name, "127.0.0.1"); err != nil {
			return fail(err)
		}
	}
	for _, at = range s.lines {
		if at.verb.phase != setting && p.gate == nil {
			if err := p.begin(start); err != nil {
				return fail(err)
			}
		}
		p.note("-- " + at.text)
		if at.verb.phase == proof {
			if err := p.finish(); err != nil {
				return fail(err)
			}
		}
		if err := at.verb.do(p, at.words); err != nil {
			return fail(err)
		}
	}
	at = line{text: "what must always hold"}
	if err := p.always(); err != nil {
		return fail(err)
	}
	return nil
}

func (p *player) newActor(name, ip string) (*actor, error) {
	a, err := newActor(name, ip, p.note, p.relayed)
	if err == nil {
		p.actors[name] = a
	}
	return a, err
}

func (p *player) begin(start Start) error {
	p.settings.Peers = map[string]netip.AddrPort{"carrier": p.actors["carrier"].addr(), "pbx": p.actors["pbx"].addr()}
	gate, err := start(p.settings)
	if err != nil {
		return fmt.Errorf("starting the gate: %w", err)
	}
	p.gate = gate
	for name, a := range p.actors {
		a.gate = gate.Addr(name)
	}
	return nil
}

// finish stops the gate, once. What its metrics must always say is asked before.
func (p *player) finish() (err error) {
	if p.evidence != nil {
		return nil
	}
	for _, series := range []string{"preconsent_packets_recorded_total", "recordings_unaccounted", "sip_unexpected_total",
		"sip_unexpected_mutations_total"} {
		if v := p.gate.Metric(series); v != 0 {
			return fmt.Errorf("%s is %v", series, v)
		}
	}
	p.evidence, err = p.gate.Finish()
	return err
}

func (p *player) close() {
	for _, a := range p.actors {
		a.close()
	}
}

func (p *player) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(&p.trace, "%6.3f %s\n", time.Since(p.start).Seconds(), what)
}

func (p *player) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trace.String()
}

// actor finds one. A stranger comes into being when it is first named: it has
// an address that isn't the peers'.
func (p *player) actor(name string) (*actor, error) {
	if a := p.actors[name]; a != nil {
		return a, nil
	}
	if name != "stranger" {
		return nil, fmt.Errorf("there is no %q here", name)
	}
	a, err := p.newActor(name, "127.0.0.9")
	if err == nil {
		a.gate = p.actors["carrier"].gate
	}
	return a, err
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
