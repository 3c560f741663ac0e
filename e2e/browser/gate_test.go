package browser

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"consentgate/console/access/passwords"
	"consentgate/internal/phone"
	"consentgate/media/prompt"
)

const (
	secret   = "correct horse battery staple"
	promptHz = 1000
)

// gate is the real program, with a console, and mostly an agent's phone behind it.
type gate struct {
	t       *testing.T
	log     *safeBuffer
	carrier netip.AddrPort
	url     string
	calls   chan *phone.Call // the agent's ends
}

// safeBuffer may be read while a process writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "consentgate-browser-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "consentgate")
	build := exec.Command("go", "build", "-o", path, "./cmd/consentgate")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	stopChrome()
	if path, err := program(); err == nil {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// freePort is one of loopback's that nobody has.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// users are the console's, one of each role, and a second officer.
var users = []struct{ name, role string }{{"dana", "officer"}, {"erik", "officer"}, {"omar", "operator"}, {"lea", "agent-lead"}, {"ada", "auditor"}}

// start runs it; extra are more lines of console, where PORT is the console's.
func start(t *testing.T, extra string) *gate {
	t.Helper()
	calls := make(chan *phone.Call, 16)
	agent, err := phone.New(phone.Config{Name: "+441134960123", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Incoming: func(c *phone.Call) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c.Answer(ctx) == nil {
			calls <- c
		}
	}})
	must(t, err)
	t.Cleanup(func() { must(t, agent.Close()) })
	g := startBefore(t, agent.Addr().String(), extra)
	g.calls = calls
	return g
}

// startBefore runs it before a PBX of the test's own.
func startBefore(t *testing.T, behind, extra string) *gate {
	t.Helper()
	path, err := program()
	must(t, err)
	dir := t.TempDir()
	g := &gate{t: t, log: &safeBuffer{}}
	tone := make([]int16, prompt.Rate*2/5)
	for i := range tone {
		tone[i] = int16(8000 * math.Sin(2*math.Pi*promptHz*float64(i)/prompt.Rate))
	}
	must(t, os.WriteFile(filepath.Join(dir, "prompt.wav"), prompt.WriteWAV(tone), 0o600))
	hash, err := passwords.New(secret)
	must(t, err)
	var people strings.Builder
	for _, u := range users {
		fmt.Fprintf(&people, "    - {name: %s, role: %s, password: %q}\n", u.name, u.role, hash)
	}
	carrier, pbx, ops, console := freePort(t), freePort(t), freePort(t), freePort(t)
	extra = strings.ReplaceAll(extra, "PORT", fmt.Sprint(netip.MustParseAddrPort(console).Port()))
	g.carrier, g.url = netip.MustParseAddrPort(carrier), "http://"+console
	config := filepath.Join(dir, "config.yaml")
	must(t, os.WriteFile(config, []byte(fmt.Sprintf(`data_dir: %s/data
root_key: %s/root.key
erasure: {every: 0s}
node: gate-1
controller: {name: Example Ltd, contact: privacy@example.com}
trunks:
  - name: main
    options_ping: 0s
    carrier: {listen: ["udp://%s"], peers: ["sip:127.0.0.1:9"]}
    pbx: {listen: ["udp://%s"], peers: ["sip:%s"]}
media: {ports: 41000-41399}
purposes:
  training: {text: {en: "staff training", de: "die Schulung unserer Mitarbeiter"}, retention: 90d}
policies:
  - {name: default, purpose: training, prompt: %s/prompt.wav, timeout: 60s, attempts: 1}
shutdown_grace: 1s
ops: {listen: "%s"}
console:
  listen: "%s"
%s  users:
%s`, dir, dir, carrier, pbx, behind, dir, ops, console, extra, people.String())), 0o600))
	cmd := exec.Command(path, "serve", "--config", config)
	cmd.Stderr = g.log
	must(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		select {
		case err := <-exited:
			if err != nil {
				t.Errorf("the gate ended with %v\n%s", err, g.log)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("the gate doesn't stop: %v\n%s", cmd.Process.Kill(), g.log)
		}
	})
	until(t, "the gate serves", func() bool {
		c, err := net.Dial("tcp", console)
		return err == nil && c.Close() == nil && strings.Contains(g.log.String(), "msg=serving")
	})
	return g
}

// call is one that said yes, if pressed, and both its ends.
type call struct{ caller, agent *phone.Call }

// dial calls the agent from a number; the caller has heard the prompt then.
func (g *gate) dial(ctx context.Context, number string) *phone.Call {
	g.t.Helper()
	p, err := phone.New(phone.Config{Name: number, Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	must(g.t, err)
	g.t.Cleanup(func() { must(g.t, p.Close()) })
	c, err := p.Dial(ctx, g.carrier, "+441134960123")
	must(g.t, err)
	must(g.t, c.Media.WaitTone(ctx, promptHz), c.Media.WaitQuiet(ctx, 250*time.Millisecond))
	return c
}

// agree has a call's caller press 1.
func (g *gate) agree(ctx context.Context, c *phone.Call) call {
	g.t.Helper()
	must(g.t, c.Press('1'))
	for {
		select {
		case agent := <-g.calls:
			if agent.ID() == c.ID() { // others wait for their callers' answers
				return call{c, agent}
			}
		case <-ctx.Done():
			g.t.Fatalf("no agent: %v\n%s", ctx.Err(), g.log)
		}
	}
}

// talk has both say something in turn, and returns when they have.
func (c call) talk(ctx context.Context, d time.Duration) {
	c.caller.Media.Say(babble(d, 0, 700))
	c.agent.Media.Say(babble(d, 350, 0))
	select {
	case <-time.After(d): // what is said takes as long as it takes
	case <-ctx.Done():
	}
}

// babble is noise with the rhythm of speech: phrases of a second or so. One side
// speaks from a millisecond of each second on, or up to one.
func babble(d time.Duration, from, to int) []int16 {
	noise := rand.New(rand.NewPCG(1, uint64(from)))
	pcm := make([]int16, d*prompt.Rate/time.Second)
	for i := range pcm {
		at := i * 1000 / prompt.Rate
		if in := at % 1400; in < from*2 || to > 0 && in > to {
			continue
		}
		syllable := 0.25 + 0.75*math.Abs(math.Sin(float64(at)/90)*math.Sin(float64(at)/410))
		pcm[i] = int16(14000 * syllable * (noise.Float64() - 0.5) * 2)
	}
	return pcm
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for what another process brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
