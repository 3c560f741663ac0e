package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/internal/phone"
	"consentgate/media/prompt"
	"consentgate/proxy"
	"consentgate/proxy/locate"
	"consentgate/store"
)

// The demo runs the gate's main job on loopback: a carrier's phone and a PBX's
// phone, both of ours, real SIP and RTP, three calls at once.

const (
	callerTone = 880 // Hz: what the caller "says"
	agentTone  = 440
	talkTime   = 4 * time.Second
	demoTime   = 55 * time.Second
)

// demoCall is one of the three.
type demoCall struct {
	number, title string
	play          func(ctx context.Context, c *phone.Call) error

	call *phone.Call // the caller's
	err  error
}

func demoCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("demo", errs)
	keep := f.Bool("keep", false, "keep the gate, its console and its metrics running afterwards, until interrupted")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	dir, err := os.MkdirTemp("", "consentgate-demo-")
	if err != nil {
		return fail(errs, err)
	}
	d := &demo{dir: dir, out: out, token: rand.Text(), agents: map[string]*phone.Call{}}
	if err := d.run(ctx, *keep); err != nil {
		return fail(errs, fmt.Errorf("the demo: %w; %s", err, d.left()))
	}
	return exitOK
}

// left says what a demo that failed leaves behind: nothing, where there was no gate
// yet.
func (d *demo) left() string {
	if d.app == nil {
		err := os.RemoveAll(d.dir)
		if err == nil {
			return "it left nothing behind"
		}
		return fmt.Sprintf("%s stays, for it can't be removed: %v", d.dir, err)
	}
	return "what it wrote stays in " + d.dir + " until you delete it"
}

type demo struct {
	dir    string
	out    io.Writer
	token  string // of the console's one user
	app    *App
	caller *phone.Phone
	agent  *phone.Phone

	mu     sync.Mutex
	agents map[string]*phone.Call // the agent's end of each call, by Call-ID
}

func (d *demo) run(ctx context.Context, keep bool) (err error) {
	if err := d.setUp(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.caller.Close(), d.agent.Close()) }()
	calls := []*demoCall{
		{number: "100", title: "the caller says yes", play: d.sayYes},
		{number: "101", title: "the caller says no", play: d.sayNo},
		{number: "102", title: "the caller says nothing", play: d.sayNothing},
	}
	d.intro()
	started := time.Now()
	d.callAll(ctx, calls)
	if keep {
		return errors.Join(d.reportLive(calls, started), d.keepOn(ctx))
	}
	if err := d.app.Stop(); err != nil {
		return fmt.Errorf("stopping the gate: %w", err)
	}
	return d.reportStopped(calls, started)
}

// keepOn leaves the gate as it is until somebody interrupts.
func (d *demo) keepOn(ctx context.Context) error {
	fmt.Fprintf(d.out, "\nThe gate goes on. Stop it with Ctrl-C.\n  metrics  http://%s/metrics\n", d.app.opsAddr())
	d.inviteIn()
	<-ctx.Done()
	if err := d.app.Stop(); err != nil {
		return fmt.Errorf("stopping the gate: %w", err)
	}
	return nil
}

// setUp starts the phones, then a gate between them.
func (d *demo) setUp(ctx context.Context) (err error) {
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	if d.caller, err = phone.New(phone.Config{Name: "+442079460123", Listen: loopback}); err != nil {
		return err
	}
	if d.agent, err = phone.New(phone.Config{Name: "agent", Listen: loopback, Incoming: d.answer}); err != nil {
		return errors.Join(err, d.caller.Close())
	}
	if d.app, err = NewApp(ctx, d.config(loopback), slog.New(slog.DiscardHandler)); err != nil {
		return errors.Join(err, d.caller.Close(), d.agent.Close())
	}
	d.app.Start()
	return nil
}

func (d *demo) config(loopback netip.AddrPort) *Config {
	c := Default()
	c.DataDir = d.dataDir()
	c.RootKey = store.DefaultRootFile(c.DataDir)
	c.Disk = store.DiskMarks{} // a minute's recording fits where a gate should stop
	c.Ops = "127.0.0.1:0"
	c.Console.Listen = "127.0.0.1:0"
	sum := sha256.Sum256([]byte(d.token))
	c.Console.Users = []UserConfig{{Name: "demo", Role: string(access.Officer), TokenSHA256: hex.EncodeToString(sum[:])}}
	c.Controller = consent.Controller{Name: prompt.ExampleController, Contact: "privacy@example.com"}
	only := func(p *phone.Phone) SideConfig {
		return SideConfig{Listen: []proxy.Listen{{Transport: "udp", Addr: loopback}}, Peers: []locate.Peer{locate.At("udp", p.Addr())}}
	}
	c.Trunks = []TrunkConfig{{Name: "main", Carrier: only(d.caller), PBX: only(d.agent)}}
	pol := defaultPolicy()
	pol.Name, pol.Attempts, pol.Timeout = "default", 1, 3*time.Second
	pol.Purpose = consent.Purpose{Name: "training", Text: prompt.ExamplePurpose, Retention: 90 * 24 * time.Hour}
	c.Policies = consent.Policies{&pol}
	return &c
}

// inviteIn says how to look at it.
func (d *demo) inviteIn() {
	url := d.app.consoleURL()
	if url == "" {
		return
	}
	fmt.Fprintf(d.out, `  console  %[1]s
  token    %[2]s  (an officer's; good until the end)

  curl -H "Authorization: Bearer %[2]s" %[1]s/api/v1/recordings
`, url, d.token)
}

func (d *demo) intro() {
	fmt.Fprintf(d.out, `consentgate stands between a carrier and a PBX on this machine:

  caller %-22s ->  gate %s | %s  ->  agent %s

Three calls at once. Each hears who asks, for what, and which key means yes.
This takes about half a minute.
`, d.caller.Addr(), d.app.gate.Addr("main", consent.Remote), d.app.gate.Addr("main", consent.Local), d.agent.Addr())
}

// answer is the agent: rings, takes the call, speaks, and notes what is heard.
func (d *demo) answer(c *phone.Call) {
	d.mu.Lock()
	d.agents[c.ID()] = c
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	defer cancel()
	c.Ring()
	c.Media.Tone(agentTone)
	if c.Answer(ctx) != nil {
		return
	}
	if c.Media.WaitSound(ctx) == nil {
		c.Note("hears the notice to hold the line")
	}
	if c.Media.WaitTone(ctx, callerTone) == nil {
		c.Note("hears the caller")
	}
	<-c.Ended()
}

func (d *demo) callAll(ctx context.Context, calls []*demoCall) {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	var all sync.WaitGroup
	for _, dc := range calls {
		all.Go(func() {
			c, err := d.caller.Dial(ctx, d.app.gate.Addr("main", consent.Remote), dc.number)
			if err != nil {
				dc.err = err
				return
			}
			dc.call = c
			c.Media.Tone(callerTone)
			dc.err = errors.Join(dc.play(ctx, c), c.Hangup())
		})
	}
	all.Wait()
}

// hear waits for the prompt's beginning and its end.
func hear(ctx context.Context, c *phone.Call) error {
	if err := c.Media.WaitSound(ctx); err != nil {
		return err
	}
	c.Note("hears the purpose and the keys")
	if err := c.Media.WaitQuiet(ctx, 1200*time.Millisecond); err != nil {
		return err
	}
	c.Note("has heard the prompt to its end")
	return nil
}

// talk waits until the agent is heard, and talks a while.
func talk(ctx context.Context, c *phone.Call) error {
	if err := c.Media.WaitTone(ctx, agentTone); err != nil {
		return err
	}
	c.Note("hears the agent")
	select {
	case <-time.After(talkTime):
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (d *demo) sayYes(ctx context.Context, c *phone.Call) error {
	if err := hear(ctx, c); err != nil {
		return err
	}
	c.Press('1')
	return talk(ctx, c)
}

func (d *demo) sayNo(ctx context.Context, c *phone.Call) error {
	if err := hear(ctx, c); err != nil {
		return err
	}
	c.Press('2')
	return talk(ctx, c)
}

func (d *demo) sayNothing(ctx context.Context, c *phone.Call) error {
	if err := hear(ctx, c); err != nil {
		return err
	}
	return talk(ctx, c)
}
