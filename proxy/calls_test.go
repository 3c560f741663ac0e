package proxy_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/internal/phone"
	"consentgate/media"
	"consentgate/proxy"
	"consentgate/proxy/locate"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// world is a gate in this process between two phones, with a log and a recorder
// whose faults a test can have.
type world struct {
	t      testing.TB
	gate   *proxy.Gate
	engine *media.Engine
	pool   *media.Pool
	caller *phone.Phone
	agent  *phone.Phone
	ledger *ledger
	rec    *recorder

	mu    sync.Mutex
	taken []*phone.Call // by the agent
}

// silence makes the agent's telephone send nothing, in every call.
func (w *world) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.taken {
		c.Media.Mute(true)
	}
}

// ledger is a log in memory that can fail, or hang.
type ledger struct {
	mu      sync.Mutex
	records []consent.Record
	fails   atomic.Bool
	hangs   atomic.Bool
}

func (l *ledger) Append(ctx context.Context, r consent.Record) (uint64, error) {
	if l.hangs.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if l.fails.Load() {
		return 0, errors.New("no space left on device")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	return uint64(len(l.records)), nil
}

// recorder counts what reaches it.
type recorder struct {
	fails, unready           atomic.Bool
	created, sealed, packets atomic.Int64
	of                       [2]atomic.Int64 // packets, by party
}

func (r *recorder) Create(context.Context, consent.Grant) (media.Sink, error) {
	if r.fails.Load() {
		return nil, errors.New("no space left on device")
	}
	r.created.Add(1)
	return r, nil
}

func (r *recorder) Ready(string) error {
	if r.unready.Load() {
		return errors.New("the disk has no room")
	}
	return nil
}

func (r *recorder) WriteRTP(p consent.Party, _ time.Time, _ []byte) error {
	r.packets.Add(1)
	r.of[p].Add(1)
	return nil
}

func (r *recorder) Erase(context.Context, consent.Hash, string) error     { return nil }
func (r *recorder) Format(consent.Party, uint8, string, int) error        { return nil }
func (r *recorder) Gap(consent.Party, string, time.Time, time.Time) error { return nil }
func (r *recorder) Seal(time.Time, string) error                          { r.sealed.Add(1); return nil }

// prompts has a tone for a prompt.
type prompts struct{ audio *media.Audio }

func (p prompts) Consent(*consent.Policy) *media.Audio { return p.audio }
func (prompts) Notice(string) *media.Audio             { return nil }
func (prompts) Ringing() *media.Audio                  { return square(200 * time.Millisecond) }
func (prompts) Stopped(string) *media.Audio            { return nil }

func square(d time.Duration) *media.Audio {
	pcm := make([]int16, d*8000/time.Second)
	for i := range pcm {
		pcm[i] = int16(8000 * (1 - 2*(i/4%2)))
	}
	return &media.Audio{ID: "tone", PCM: pcm}
}

func newWorld(t testing.TB, policies consent.Policies, tune func(*proxy.Config)) *world {
	t.Helper()
	return newWorldAt(t, loopback, policies, tune)
}

// newWorldAt has the carrier's side elsewhere.
func newWorldAt(t testing.TB, carrier netip.AddrPort, policies consent.Policies, tune func(*proxy.Config)) *world {
	t.Helper()
	w := &world{t: t, ledger: &ledger{}, rec: &recorder{}}
	var err error
	if w.caller, err = phone.New(phone.Config{Name: "+442079460123", Listen: carrier}); err != nil {
		t.Fatal(err)
	}
	if w.agent, err = phone.New(phone.Config{Name: "agent", Listen: loopback, Incoming: func(c *phone.Call) {
		c.Media.Tone(440)
		w.mu.Lock()
		w.taken = append(w.taken, c)
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = c.Answer(ctx) // a caller that gave up is the test's to notice
	}}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	reg := prometheus.NewRegistry()
	if w.pool, err = media.NewPool(media.PoolConfig{Min: 18000, Max: 21999, Quarantine: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if w.engine, err = media.NewEngine(media.Config{Pool: w.pool, Metrics: media.NewMetrics(reg, w.pool), Log: log}); err != nil {
		t.Fatal(err)
	}
	side := func(p *phone.Phone) proxy.Side {
		at := p.Addr().Addr()
		return proxy.Side{Listen: []proxy.Listen{{Transport: "udp", Addr: netip.AddrPortFrom(at, 0)}}, Peers: []locate.Peer{locate.At("udp", p.Addr())},
			AcceptFrom: []netip.Prefix{netip.PrefixFrom(at, at.BitLen())}}
	}
	cfg := proxy.Config{Node: "n", Trunks: []proxy.Trunk{{Name: "main", Carrier: side(w.caller), PBX: side(w.agent)}},
		Policies: policies, Playable: true, Media: w.engine, Ledger: w.ledger, Recorder: w.rec,
		Prompts: prompts{square(100 * time.Millisecond)}, Log: log, Registerer: reg}
	if tune != nil {
		tune(&cfg)
	}
	if w.gate, err = proxy.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.gate.Start()
	return w
}

func (w *world) close() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(w.gate.Shutdown(ctx), w.engine.Wait(ctx), w.engine.Close(), w.caller.Close(), w.agent.Close()); err != nil {
		w.t.Error(err)
	}
}

func (w *world) dial(ctx context.Context) (*phone.Call, error) {
	return w.caller.Dial(ctx, w.gate.Addr("main", consent.Remote), "100")
}

func asking() consent.Policies {
	return consent.Policies{{Name: "p", Action: consent.Ask, Parties: []consent.Party{consent.Remote}, Accept: '1', Decline: '2',
		Timeout: 2 * time.Second, Attempts: 1, OnRefusal: consent.Connect, Withdraw: "*9"}}
}

// yes makes a call that hears the prompt, presses 1 and hears the agent.
func (w *world) yes(ctx context.Context) (*phone.Call, error) {
	c, err := w.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.Media.WaitSound(ctx); err != nil {
		return c, err
	}
	if err := c.Media.WaitQuiet(ctx, 150*time.Millisecond); err != nil {
		return c, err
	}
	c.Press('1')
	return c, c.Media.WaitTone(ctx, 440)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestInvariant5_RecordingTroubleNeverBreaksTheCall with the log failing, the
// log hanging, the recorder failing, no prompt, and no ports: the parties hear
// each other, and nothing is recorded.
func TestInvariant5_RecordingTroubleNeverBreaksTheCall(t *testing.T) {
	for name, trouble := range map[string]struct {
		now  func(*world)
		tune func(*proxy.Config)
		asks bool
	}{
		"the log fails":      {func(w *world) { w.ledger.fails.Store(true) }, nil, true},
		"the log hangs":      {func(w *world) { w.ledger.hangs.Store(true) }, nil, true},
		"the recorder fails": {func(w *world) { w.rec.fails.Store(true) }, nil, true},
		"there is no log":    {nil, func(c *proxy.Config) { c.Ledger = nil }, true},
		"there is no prompt": {nil, func(c *proxy.Config) { c.Prompts = prompts{} }, false},
		"media isn't there":  {nil, func(c *proxy.Config) { c.Media = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			w := newWorld(t, asking(), trouble.tune)
			defer w.close()
			if trouble.now != nil {
				trouble.now(w)
			}
			var c *phone.Call
			var err error
			if trouble.asks {
				c, err = w.yes(ctx)
			} else if c, err = w.dial(ctx); err == nil {
				err = c.Media.WaitTone(ctx, 440)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Hangup(); err != nil {
				t.Error(err)
			}
			if n := w.rec.packets.Load(); n != 0 {
				t.Errorf("%d packets were recorded", n)
			}
		})
	}
}

// TestNobodyIsAskedForARecordingThatCannotBeMade: neither after the answer nor
// before it, nor who comes in later. The parties talk at once, and the log says
// why.
func TestNobodyIsAskedForARecordingThatCannotBeMade(t *testing.T) {
	for _, when := range []string{consent.Answered, consent.Ring} {
		t.Run(when, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			policies := asking()
			policies[0].When = when
			w := newWorld(t, policies, nil)
			defer w.close()
			w.rec.unready.Store(true)
			c, err := w.dial(ctx)
			if err == nil {
				err = c.Media.WaitTone(ctx, 440)
			}
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the log says why", func() bool {
				w.ledger.mu.Lock()
				defer w.ledger.mu.Unlock()
				return len(w.ledger.records) == 1 && w.ledger.records[0].Kind == consent.Failed && w.ledger.records[0].Grant == nil &&
					strings.Contains(w.ledger.records[0].Reason, "nobody was asked") && strings.Contains(w.ledger.records[0].Reason, "no room")
			})
			if err := c.Hangup(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInvariant1_NothingIsRecordedBeforeTheGrant: while the log takes its time
// the parties talk, and no packet reaches the recorder.
func TestInvariant1_NothingIsRecordedBeforeTheGrant(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := newWorld(t, asking(), nil)
	defer w.close()
	w.ledger.hangs.Store(true)
	c, err := w.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before := len(c.Media.Received())
	if err := c.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > before+50 }); err != nil {
		t.Fatal(err)
	}
	if w.rec.created.Load() != 0 || w.rec.packets.Load() != 0 {
		t.Errorf("%d recorders, %d packets", w.rec.created.Load(), w.rec.packets.Load())
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
}

// TestInvariant6_EmergencyIsNeverDelayed: a bypassed call is passed on though
// the log hangs, no port is free and the gate is stopping.
func TestInvariant6_EmergencyIsNeverDelayed(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w := newWorld(t, append(consent.Policies{{Name: "sos", Numbers: []string{"100"}, Action: consent.Bypass}}, asking()...),
		func(c *proxy.Config) { c.Media = nil })
	defer w.close()
	w.ledger.hangs.Store(true)
	w.gate.Drain()
	c, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
}

// faulty has a fault for its first call.
type faulty struct {
	prompts
	first *atomic.Bool
}

func (f faulty) Consent(p *consent.Policy) *media.Audio {
	if f.first.CompareAndSwap(false, true) {
		panic("a fault of ours")
	}
	return f.prompts.Consent(p)
}

// TestAFaultInOneCallLeavesTheOthers: a panic ends its call, not the program.
func TestAFaultInOneCallLeavesTheOthers(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w := newWorld(t, asking(), func(c *proxy.Config) {
		c.Prompts = faulty{prompts{square(100 * time.Millisecond)}, new(atomic.Bool)}
	})
	defer w.close()
	hurt, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []*phone.Call{hurt, c} {
		if err := end.Hangup(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "both calls' ports are back", func() bool { return w.pool.InUse() == 0 })
}
