// Package deploy tests what is beside the program: alert rules, the dashboard,
// the packages and the settings that the manual has for peers.
package deploy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"consentgate/internal/phone"
	"consentgate/media/prompt"
	"consentgate/store"
	"consentgate/store/rights"
)

var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "consentgate-deploy-")
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
	out, err := exec.Command("go", "build", "-o", built, "consentgate/cmd/consentgate").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building: %w: %s", err, out)
	}
	return built, nil
})

// needs skips a test without a program that make deploy-check installs; in CI it
// fails.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("NOT TESTED: %v", err)
		}
	}
}

// until polls for what other processes bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// gate is the real program between two phones.
type gate struct {
	t             testing.TB
	caller, agent *phone.Phone
	exchange      *peer          // the carrier's
	carrier       netip.AddrPort // where the caller reaches it
	ops           string
	cmd           *exec.Cmd
	said          *said
}

// said keeps what a process says, and may be read meanwhile.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// freePort is one that nobody had a moment ago.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	p, err := phone.New(phone.Config{Name: "nobody", Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.Addr()
}

// start starts a program that is stopped with the test.
func start(t testing.TB, name string, args ...string) (*exec.Cmd, *said) {
	t.Helper()
	out := &said{}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	return cmd, out
}

// newGate starts a gate whose agent takes every call and whose prompt is short,
// with a request of a data subject. The PBX has a second peer that takes no calls,
// and its certificate ends within a week.
func newGate(t testing.TB) *gate {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, exchange: newPeer(t, false), carrier: freePort(t), ops: freePort(t).String()}
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	if g.caller, err = phone.New(phone.Config{Name: "caller", Listen: loopback}); err != nil {
		t.Fatal(err)
	}
	if g.agent, err = phone.New(phone.Config{Name: "agent", Listen: loopback, Incoming: takes}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = g.caller.Close(), g.agent.Close() })
	dir := t.TempDir()
	writeTone(t, filepath.Join(dir, "prompt.wav"))
	writeCertificate(t, dir)
	askAbout(t, filepath.Join(dir, "data"))
	g.run(path, dir)
	return g
}

// run runs the program in a folder.
func (g *gate) run(path, dir string) {
	g.t.Helper()
	g.serve(path, dir, fmt.Sprintf(gateYAML, g.carrier, g.exchange.addr(), freePort(g.t), freePort(g.t), g.agent.Addr(), newPeer(g.t, true).addr(), g.ops))
}

// serve runs the program with a configuration in which DIR is the folder.
func (g *gate) serve(path, dir, yaml string) {
	g.t.Helper()
	config := filepath.Join(dir, "gate.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(yaml, "DIR", dir)), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.cmd, g.said = start(g.t, path, "serve", "--config", config)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(g.said.String(), "msg=serving"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("the gate doesn't serve:\n%s", g.said)
		}
	}
}

const gateYAML = `data_dir: DIR/data
controller: {name: Example Ltd, contact: privacy@example.com}
trunks:
  - name: main
    options_ping: 1s
    quota: 1GiB
    carrier: {listen: ["udp://%s"], peers: ["sip:%s"]}
    pbx: {listen: ["udp://%s", "tls://%s"], peers: ["sip:%s", "sip:%s"], tls: {cert: DIR/cert.pem, key: DIR/key.pem}}
media: {ports: 39000-39199}
purposes: {training: {text: {en: "staff training", de: "Schulung"}, retention: 90d}}
policies:
  - {name: emergency, numbers: ["112"], action: bypass}
  - {name: german, numbers: ["49*"], purpose: training, language: de, prompt: DIR/prompt.wav, timeout: 1s, attempts: 1}
  - {name: default, purpose: training, prompt: DIR/prompt.wav, timeout: 1s, attempts: 1}
audit: {witness: [{file: DIR/witness}], every: 1s}
disk: {low: 0, stop: 0}
ops: {listen: "%s"}
`

const promptHz = 1000

func writeTone(t testing.TB, path string) {
	t.Helper()
	pcm := make([]int16, 400*prompt.Rate/1000)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*promptHz*float64(i)/prompt.Rate))
	}
	if err := os.WriteFile(path, prompt.WriteWAV(pcm), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCertificate makes one that signs itself and ends in six days.
func writeCertificate(t testing.TB, dir string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"gate.test"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 6)}
	cert, err := x509.CreateCertificate(rand.Reader, like, like, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// askAbout makes a data directory in which a data subject has asked for access.
func askAbout(t testing.TB, dir string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, err = s.Receive(context.Background(), rights.Access, "+442079460123", rights.DateOf(now), rights.Act{By: "dana", At: now, Reason: "a letter"})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// takes is an agent who answers every call, and speaks until it ends.
func takes(c *phone.Call) {
	c.Media.Tone(440)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = c.Answer(ctx) // the caller's test notices
	<-c.Ended()
}

// calls dials, and presses a key when the prompt was heard; 0: none. It returns
// when the agent is heard.
func (g *gate) calls(number string, key byte) *phone.Call {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := g.caller.Dial(ctx, g.carrier, number)
	if err != nil {
		g.t.Fatalf("%v\n%s", err, g.said)
	}
	c.Media.Tone(880)
	if key != 0 {
		if err := errors.Join(c.Media.WaitTone(ctx, promptHz), c.Media.WaitQuiet(ctx, 200*time.Millisecond), c.Press(key)); err != nil {
			g.t.Fatalf("%v\n%s", err, g.said)
		}
	}
	if err := c.Media.WaitTone(ctx, 440); err != nil {
		g.t.Fatalf("the agent isn't heard: %v\n%s", err, g.said)
	}
	return c
}

// metrics is what the gate tells Prometheus.
func (g *gate) metrics() string {
	g.t.Helper()
	return httpGet(g.t, "http://"+g.ops+"/metrics")
}

func httpGet(t testing.TB, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metric sums the samples of a metric, named without the prefix, or of those of
// its series that have a label, such as `outcome="granted"`.
func (g *gate) metric(name string, labels ...string) (sum float64) {
	g.t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^consentgate_`+name+`(\{.*\})? (\S+)$`).FindAllStringSubmatch(g.metrics(), -1) {
		match := true
		for _, l := range labels {
			match = match && strings.Contains(m[1], l)
		}
		var v float64
		if _, err := fmt.Sscan(m[2], &v); err == nil && match {
			sum += v
		}
	}
	return sum
}
