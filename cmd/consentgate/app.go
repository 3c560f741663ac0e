package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"consentgate/breach/alarm"
	"consentgate/consent"
	"consentgate/console"
	"consentgate/console/access"
	"consentgate/media"
	"consentgate/media/prompt"
	"consentgate/proxy"
	"consentgate/proxy/locate"
	"consentgate/store"
	"consentgate/store/archive/s3"
	"consentgate/store/phone"
	"consentgate/store/rootcell"
)

// App is the whole gate. Its parts are opened in order and closed in reverse.
type App struct {
	cfg     *Config
	log     *slog.Logger
	store   *opening
	archive *s3.Place // nil: there is none
	alarms  *alarm.Watch
	engine  *media.Engine
	gate    *proxy.Gate
	ops     *opsServer
	console *console.Server    // nil: nobody may log in, or it can't be served
	door    *access.Gatekeeper // of console
	trace   *tracing           // nil: none is wanted, or none can be had
}

// sealTime bounds how long the last recordings may take to be sealed.
const sealTime = 15 * time.Second

// NewApp opens everything and binds every socket; nothing is served before Start.
func NewApp(ctx context.Context, cfg *Config, log *slog.Logger) (*App, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a := &App{cfg: cfg, log: log}
	pool, err := media.NewPool(media.PoolConfig{Min: cfg.Media.MinPort, Max: cfg.Media.MaxPort})
	if err != nil {
		return nil, err
	}
	if a.engine, err = media.NewEngine(media.Config{Pool: pool, Metrics: media.NewMetrics(reg, pool), Log: log, Timeout: cfg.Media.Timeout}); err != nil {
		return nil, err
	}
	rules := alarm.Options{Dir: cfg.DataDir, Node: cfg.Node, Rules: cfg.Alarms.Rules, Hook: cfg.Alarms.Hook, Log: log, Registerer: reg}
	if a.alarms, err = alarm.New(rules); err != nil {
		return nil, errors.Join(err, a.engine.Close())
	}
	a.openStore(reg)
	a.trace = openTracing(cfg, reg, log)
	if a.gate, err = proxy.New(a.gateConfig(ctx, reg)); err != nil {
		return nil, errors.Join(err, a.trace.close(), a.store.stop(), a.engine.Close())
	}
	if a.ops, err = newOpsServer(cfg.Ops, reg, a.gate.Ready, log); err != nil {
		return nil, errors.Join(err, a.gate.Shutdown(ctx), a.trace.close(), a.store.stop(), a.engine.Close())
	}
	a.openConsole(reg)
	return a, nil
}

// openStore begins to open the store, and goes on without where that fails or
// takes long: neither a broken disk nor a root key that can't be had may take the
// trunk down (law 2), and without a log nothing is recorded (law 1).
func (a *App) openStore(reg prometheus.Registerer) {
	var err error
	if a.archive, err = a.cfg.openArchive(); err != nil {
		a.log.Error("recordings aren't archived", "error", err)
	}
	a.store = openLate(func() (*store.Store, rootcell.Cell, error) {
		o := a.cfg.storeOptions()
		o.Log, o.Registerer = a.log, reg
		root, err := openRoot(a.cfg)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", store.ErrRoot, err)
		}
		o.Root = root
		if a.archive != nil {
			o.Archive = a.archive
		}
		s, err := store.Open(o)
		if err != nil {
			return nil, nil, errors.Join(err, root.Close())
		}
		return s, root, nil
	}, openPatience, openAgain, &alarms{Watch: a.alarms}, a.log)
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{Name: "consentgate_recording_possible",
		Help: "1 if the data directory is open and its disk has room. At 0 calls go on, nobody is asked and nothing is recorded."},
		func() float64 {
			if a.store.Ready("") != nil {
				return 0
			}
			return 1
		})
}

// storeOptions are those that the configuration has, but for the root key, which
// openRoot opens.
func (c *Config) storeOptions() store.Options {
	quotas := map[string]int64{}
	numbers := phone.Book{Default: phone.Rules{Region: c.Region}, Trunks: map[string]phone.Rules{}}
	for _, t := range c.Trunks {
		quotas[t.Name] = t.Quota
		numbers.Trunks[t.Name] = t.Numbers
	}
	return store.Options{Dir: c.DataDir, Node: c.Node, Version: programVersion(), Config: c.hash(), Disk: c.Disk, Quotas: quotas,
		Numbers: numbers, Witnesses: c.Audit.Witnesses, WitnessEvery: c.Audit.Every, Retention: c.storeRetention(), Rotation: c.Erasure}
}

func (a *App) gateConfig(ctx context.Context, reg prometheus.Registerer) proxy.Config {
	c := proxy.Config{Node: a.cfg.Node, Controller: a.cfg.Controller, Policies: a.cfg.Policies,
		Playable: a.cfg.Media.Codecs == "playable", Media: a.engine, Log: a.log, Registerer: reg,
		DNS: locate.NewClient(a.cfg.DNSServers...), Ledger: a.store, Recorder: a.store, Bindings: a.store, Prompts: a.loadPrompts(ctx)}
	if a.trace != nil {
		c.Trace = a.trace
	}
	for _, t := range a.cfg.Trunks {
		c.Trunks = append(c.Trunks, proxy.Trunk{Name: t.Name, PBX: side(t.PBX), Carrier: side(t.Carrier),
			OptionsPing: t.OptionsPing, FailOver: t.FailOver, MaxCalls: t.MaxCalls, MaxCallRate: t.MaxCallRate, MaxDuration: t.MaxDuration})
	}
	return c
}

func side(s SideConfig) proxy.Side {
	return proxy.Side{Listen: s.Listen, TLS: s.TLS, Peers: s.Peers, AcceptFrom: s.AcceptFrom, Advertise: s.Advertise, Media: s.MediaAddress,
		SRTP: s.SRTP, NAT: s.NAT}
}

// prompts are loaded before the first call, so that none waits for a program.
type prompts struct {
	*prompt.Library
	byPolicy map[string]*media.Audio
	notices  map[string][2]*media.Audio
	ringing  *media.Audio
}

func (a *App) loadPrompts(ctx context.Context) prompts {
	p := prompts{&prompt.Library{TTS: a.cfg.TTS, CacheDir: filepath.Join(a.cfg.DataDir, "prompts")},
		map[string]*media.Audio{}, map[string][2]*media.Audio{}, prompt.Ringing()}
	for _, pol := range a.cfg.Policies {
		if pol.Action != consent.Ask {
			continue
		}
		audio, err := p.Load(ctx, pol, a.cfg.Controller)
		if err != nil {
			a.log.Error("a policy has no prompt: its calls go on and aren't recorded", "policy", pol.Name, "error", err)
			continue
		}
		p.byPolicy[pol.Name] = audio
		p.notices[pol.Language] = [2]*media.Audio{p.Library.Notice(pol.Language), p.Library.Stopped(pol.Language)}
	}
	return p
}

// Consent, Notice and Stopped are proxy.Prompts.
func (p prompts) Consent(pol *consent.Policy) *media.Audio { return p.byPolicy[pol.Name] }

func (p prompts) Notice(language string) *media.Audio { return p.notices[language][0] }

func (p prompts) Ringing() *media.Audio { return p.ringing }

func (p prompts) Stopped(language string) *media.Audio { return p.notices[language][1] }

// Start begins to take calls.
func (a *App) Start() {
	a.ops.start()
	a.gate.Start()
	if a.console != nil {
		a.console.Start()
	}
}

// Stop takes no new calls, gives those there are the configured time, seals the
// recordings and closes everything.
func (a *App) Stop() error {
	a.log.Info("stopping: no new calls")
	grace, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownGrace)
	defer cancel()
	err := a.gate.Shutdown(grace)
	seal, cancel := context.WithTimeout(context.Background(), sealTime)
	defer cancel()
	return errors.Join(err, stopConsole(a.console), a.trace.close(), a.engine.Wait(seal), a.engine.Close(), closeArchive(a.archive, a.store.stop()), a.ops.stop())
}

// opsAddr is where metrics are served; for tests that let the system choose.
func (a *App) opsAddr() net.Addr { return a.ops.listener.Addr() }

// consoleURL is where the console is; "": there is none.
func (a *App) consoleURL() string {
	if a.console == nil {
		return ""
	}
	return a.console.URL()
}
