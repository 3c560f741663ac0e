package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"consentgate/media/prompt"
)

// Where the gate and the telephones on its two sides speak SIP: the caller is
// the carrier's, the called party the PBX's.
var (
	gateAt  = [2]netip.AddrPort{netip.AddrPortFrom(relayIP, 5070), netip.AddrPortFrom(relayIP, 5060)}
	phoneAt = [2]netip.AddrPort{netip.AddrPortFrom(partyIP[0], 5060), netip.AddrPortFrom(partyIP[1], 5060)}
	opsAt   = netip.AddrPortFrom(relayIP, 9090)
)

// The called numbers of calls that are asked, and of those that aren't.
const askedNumber, otherNumber = "1000", "2000"

// gateConfig has a prompt that takes no time to speak of. An answer may come
// before it ends, and for as long as the set-up of all calls takes.
const gateConfig = `data_dir: %[1]s/data
node: bench
controller: {name: Example Ltd, contact: privacy@example.com}
trunks:
  - name: main
    options_ping: 0s
    carrier: {listen: ["udp://%[2]s"], peers: ["sip:%[3]s"]}
    pbx: {listen: ["udp://%[4]s"], peers: ["sip:%[5]s"]}
media: {ports: %[6]d-%[7]d}
purposes:
  training: {text: {en: "staff training"}, retention: 90d}
policies:
  - {name: asked, numbers: ["%[8]s"], purpose: training, prompt: %[1]s/prompt.wav, barge_in: true, attempts: 1, timeout: 5m}
  - {name: others, action: bypass}
ops: {listen: "%[9]s"}
`

// gate is the program under test, with the telephones of both sides.
type gate struct {
	*process
	job
	phones *phones
}

func startGate(ctx context.Context, j job) (relay, error) { return newGate(ctx, j) }

// newGate starts one; env changes its environment.
func newGate(ctx context.Context, j job, env ...string) (*gate, error) {
	dir := filepath.Join(j.dir, "gate")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(gateConfig, dir, gateAt[0], phoneAt[0], gateAt[1], phoneAt[1], minPort, maxPort, askedNumber, opsAt)
	silence := prompt.WriteWAV(make([]int16, prompt.Rate/10))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(dir, "prompt.wav"), silence, 0o600)); err != nil {
		return nil, err
	}
	p, err := j.launch(ctx, dir, command{name: "serve", path: j.gate, env: env, pin: j.pin,
		args: []string{"serve", "--config", filepath.Join(dir, "config.yaml")}})
	if err != nil {
		return nil, err
	}
	g := &gate{process: p, job: j}
	err = p.until(ctx, "being ready", func() bool { _, err := g.metrics(); return err == nil })
	if err == nil {
		g.phones, err = newPhones(j.calls)
	}
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *gate) self() *process { return g.process }

func (g *gate) close() error {
	g.kill()
	var err error
	if g.phones != nil {
		err = g.phones.close()
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(g.dir, "gate")))
}

func (g *gate) connect(ctx context.Context) (to targets, err error) {
	if to, err = g.phones.connect(ctx, g.recorded); err != nil {
		return to, fmt.Errorf("%w\n%s", err, g.said())
	}
	return to, g.until(ctx, fmt.Sprintf("%d calls, %d of them recorded", g.calls, g.recorded), func() bool {
		m, err := g.metrics()
		return err == nil && m["consentgate_calls_active"] == float64(g.calls) &&
			m["consentgate_recordings_active"] == float64(g.recorded)
	})
}

// after makes sure that what should be recorded is being recorded still.
func (g *gate) after(r *result) error {
	m, err := g.metrics()
	if err != nil {
		return err
	}
	if got := m["consentgate_recordings_active"]; got != float64(g.recorded) {
		return fmt.Errorf("%d calls should be recorded, and %.0f are\n%s", g.recorded, got, g.said())
	}
	r.TapDropped = m["consentgate_tap_dropped_total"]
	r.Goroutines = m["go_goroutines"]
	r.Recorded, err = bytesUnder(filepath.Join(g.dir, "gate", "data", "recordings"))
	return err
}

// metrics are sums over all labels, by name.
func (g *gate) metrics() (map[string]float64, error) {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get("http://" + opsAt.String() + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return sumMetrics(string(body))
}

func sumMetrics(text string) (map[string]float64, error) {
	sums := map[string]float64{}
	for _, line := range strings.Split(text, "\n") {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("a metric reads %q", line)
		}
		name, _, _ := strings.Cut(line[:at], "{")
		sums[name] += v
	}
	return sums, nil
}
