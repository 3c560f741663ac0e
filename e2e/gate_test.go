// Package e2e tests the program itself: the real binary, real sockets, real
// peers.
package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/internal/scenario"
	"consentgate/media/prompt"
	"consentgate/store"
)

// built is where the program under test lies.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "consentgate-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built = filepath.Join(dir, "consentgate")
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// program builds the program once.
var program = sync.OnceValues(func() (string, error) {
	path := built
	args := []string{"build", "-o", path}
	if os.Getenv("E2E_RACE") != "" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "consentgate/cmd/consentgate")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building: %w: %s", err, out)
	}
	return path, nil
})

// gate is a running program.
type gate struct {
	t        testing.TB
	dir      string // holds the configuration and the data directory
	config   string
	cmd      *exec.Cmd
	exited   chan error
	log      *syncBuffer
	Carrier  string // where the carrier reaches it
	PBX      string
	ops      string
	stopOnce sync.Once
	stopErr  error
}

// syncBuffer may be read while a process writes to it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// setup is what a test's gate differs in.
type setup struct {
	carrierPeer, pbxPeer string   // host:port
	policy               []string // lines of the asking policy
	promptFile           bool     // the policy has the test's tone for a prompt
	policies             string   // replaces the policies altogether
	dataDir              string   // "": in the test's folder
	grace                string
	widePorts            bool   // thousands of media ports instead of 400; for one gate at a time
	ports                int    // so many media ports; 0: 400
	codecs               string // "": playable
	extra                string // more top-level configuration
	carrierSRTP, pbxSRTP string // "": off
	quota                string // of the trunk; "": none
}

var mediaBase atomic.Int32

// fewPortsBase is the first media port of a gate with setup.ports.
const fewPortsBase = 29000

const promptHz = scenario.PromptHz

// writeTone makes a WAV file of a tone.
func writeTone(t testing.TB, path string, hz float64, d time.Duration) {
	t.Helper()
	pcm := make([]int16, d*prompt.Rate/time.Second)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/prompt.Rate))
	}
	if err := os.WriteFile(path, prompt.WriteWAV(pcm), 0o600); err != nil {
		t.Fatal(err)
	}
}

func startGate(t testing.TB, s setup) *gate {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, dir: t.TempDir(), exited: make(chan error, 1), log: &syncBuffer{}}
	if s.dataDir == "" {
		s.dataDir = filepath.Join(g.dir, "data")
	}
	writeTone(t, filepath.Join(g.dir, "prompt.wav"), promptHz, 400*time.Millisecond)
	g.Carrier, g.PBX, g.ops = freePort(t), freePort(t), freePort(t)
	g.config = filepath.Join(g.dir, "config.yaml")
	if err := os.WriteFile(g.config, []byte(g.yaml(s)), 0o600); err != nil {
		t.Fatal(err)
	}
	g.cmd = exec.Command(path, "serve", "--config", g.config)
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { g.exited <- g.cmd.Wait() }()
	t.Cleanup(func() { _ = g.kill() })
	g.until("serving", func() bool { return strings.Contains(g.log.String(), "msg=serving") })
	return g
}

func (g *gate) yaml(s setup) string {
	base := 30000 + int(mediaBase.Add(1)%20)*400
	last := base + 399
	switch {
	case s.widePorts:
		base, last = 10000, fewPortsBase-1 // below those that the system gives to sockets
	case s.ports > 0: // beside everybody else's: the test knows them
		base, last = fewPortsBase, fewPortsBase+s.ports-1
	}
	if s.codecs == "" {
		s.codecs = "playable"
	}
	if s.grace == "" {
		s.grace = "2s"
	}
	policies := s.policies
	if policies == "" {
		policies = "  - {name: emergency, numbers: [\"112\", \"urn:service:sos*\"], action: bypass}\n" +
			"  - name: default\n    purpose: training\n    prompt: " + filepath.Join(g.dir, "prompt.wav") +
			"\n    timeout: 1s\n    attempts: 1\n"
		if len(s.policy) > 0 {
			policies = "  - {name: emergency, numbers: [\"112\"], action: bypass}\n  - name: default\n"
			if s.promptFile {
				policies += "    prompt: " + filepath.Join(g.dir, "prompt.wav") + "\n"
			}
			for _, l := range s.policy {
				policies += "    " + l + "\n"
			}
		}
	}
	return fmt.Sprintf(`data_dir: %s
root_key: %s
node: e2e
controller: {name: Example Ltd, contact: privacy@example.com}
trunks:
  - name: main
    options_ping: 0s
    quota: %s
    carrier: {listen: ["udp://%s"], peers: ["sip:%s"], srtp: "%s"}
    pbx: {listen: ["udp://%s"], peers: ["sip:%s"], srtp: "%s"}
media: {ports: %d-%d, codecs: %s}
purposes:
  training: {text: {en: "staff training"}, retention: 90d}
shutdown_grace: %s
ops: {listen: "%s"}
%spolicies:
%s`, s.dataDir, filepath.Join(g.dir, "root.key"), cmp.Or(s.quota, "0"), g.Carrier, s.carrierPeer, cmp.Or(s.carrierSRTP, "off"),
		g.PBX, s.pbxPeer, cmp.Or(s.pbxSRTP, "off"), base, last, s.codecs, s.grace, g.ops, s.extra, policies)
}

// until polls for what another process brings about.
func (g *gate) until(what string, ok func() bool) {
	g.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		select {
		case err := <-g.exited:
			g.exited <- err
			g.t.Fatalf("the gate ended (%v) before: %s\n%s", err, what, g.log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("never: %s\n%s", what, g.log)
		}
	}
}

// untilCtx is until with a bound of the caller's, which isn't an error.
func (g *gate) untilCtx(ctx context.Context, _ string, ok func() bool) {
	for !ok() && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends the gate as a service manager does; it must exit with 0.
func (g *gate) stop() {
	g.t.Helper()
	g.stopOnce.Do(func() {
		if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			g.stopErr = err
			return
		}
		select {
		case g.stopErr = <-g.exited:
			g.exited <- g.stopErr
		case <-time.After(30 * time.Second):
			g.stopErr = fmt.Errorf("it doesn't stop")
		}
	})
	if g.stopErr != nil {
		g.t.Errorf("stopping the gate: %v\n%s", g.stopErr, g.log)
	}
}

func (g *gate) kill() error {
	err := g.cmd.Process.Kill()
	select {
	case e := <-g.exited:
		g.exited <- e
	case <-time.After(5 * time.Second):
	}
	return err
}

func (g *gate) get(path string) (int, string) {
	g.t.Helper()
	res, err := http.Get("http://" + g.ops + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// metric sums the samples whose line begins so; for instance
// `rtp_dropped_total{reason="stranger"}`.
func (g *gate) metric(name string) float64 {
	g.t.Helper()
	_, body := g.get("/metrics")
	sum := 0.0
	for _, line := range strings.Split(body, "\n") {
		if rest, ok := strings.CutPrefix(line, "consentgate_"+name); ok && (strings.Contains(name, "{") || rest[0] == ' ' || rest[0] == '{') {
			var v float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err == nil {
				sum += v
			}
		}
	}
	return sum
}

// run runs the program with other arguments.
func (g *gate) run(args ...string) (string, int) {
	g.t.Helper()
	path, err := program()
	if err != nil {
		g.t.Fatal(err)
	}
	out, err := exec.Command(path, args...).Output()
	if exit, ok := err.(*exec.ExitError); ok {
		return string(out) + string(exit.Stderr), exit.ExitCode()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return string(out), 0
}

// evidence is the log, as an auditor gets it.
type evidence struct {
	records []consent.Record
	entries []store.Entry
}

// evidence verifies and exports the log. The gate may run or not.
func (g *gate) evidence() evidence {
	g.t.Helper()
	if out, code := g.run("verify", "--config", g.config); code != 0 || !strings.HasSuffix(out, "\nok\n") {
		g.t.Errorf("verify: exit %d\n%s", code, out)
	}
	out, code := g.run("export", "--config", g.config)
	if code != 0 {
		g.t.Fatalf("export: %s", out)
	}
	path := filepath.Join(g.dir, "export.jsonl")
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if said, code := g.run("verify", "--export", path); code != 0 || !strings.HasSuffix(said, "\nok\n") {
		g.t.Errorf("verify --export: exit %d\n%s", code, said)
	}
	var ev evidence
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			continue
		}
		var e store.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			g.t.Fatal(err)
		}
		ev.entries = append(ev.entries, e)
		var r consent.Record
		if e.Type == store.TypeConsent && e.Payload == nil { // it went with its recording
			ev.records = append(ev.records, consent.Record{Kind: "erased"})
		} else if e.Type == store.TypeConsent && json.Unmarshal(e.Payload, &r) == nil {
			ev.records = append(ev.records, r)
		}
	}
	return ev
}

// kinds are the consent records' kinds, in order.
func (ev evidence) kinds() string {
	var out []string
	for _, r := range ev.records {
		out = append(out, string(r.Kind))
	}
	return strings.Join(out, " ")
}

func (ev evidence) count(kind string) (n int) {
	for _, e := range ev.entries {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// open opens the stopped gate's store, to listen to what it recorded.
func (g *gate) open(dataDir string) *store.Store {
	g.t.Helper()
	if dataDir == "" {
		dataDir = filepath.Join(g.dir, "data")
	}
	s, err := store.Open(store.Options{Dir: dataDir, RootFile: filepath.Join(g.dir, "root.key"), Node: "e2e"})
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}
