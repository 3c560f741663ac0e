package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"consentgate/internal/chaos"
	"consentgate/store"
)

// chaosPolicies ask by number: at the answer, before ringing, never, not at all.
const chaosPolicies = `  - {name: emergency, numbers: ["112"], action: bypass}
  - {name: default, numbers: ["1*"], purpose: training, prompt: %[1]s, timeout: 500ms, attempts: 1, barge_in: true}
  - {name: first, numbers: ["3*"], when: ring, purpose: training, prompt: %[1]s, timeout: 500ms, attempts: 1, barge_in: true}
  - {name: strict, numbers: ["4*"], on_refusal: hangup, purpose: training, prompt: %[1]s, timeout: 500ms, attempts: 1}
`

// TestCallsOfChaosLeaveNothing: whatever callers and called parties do, at
// whatever moment, every request is answered, and at the end no call, dialog,
// transaction, port or goroutine is left, and every consent is accounted for.
// E2E_CHAOS is how many calls, E2E_CHAOS_SEED what they are drawn from.
func TestCallsOfChaosLeaveNothing(t *testing.T) {
	t.Parallel()
	load := chaos.Load{Calls: benchSetting(t, "E2E_CHAOS", 1000), Rate: benchSetting(t, "E2E_CHAOS_RATE", 100), Loss: benchSetting(t, "E2E_CHAOS_LOSS", 2),
		Seed: uint64(benchSetting(t, "E2E_CHAOS_SEED", int(time.Now().Unix())))}
	defer func() {
		if t.Failed() {
			t.Logf("again: E2E_CHAOS=%d E2E_CHAOS_SEED=%d go test ./e2e -run %s", load.Calls, load.Seed, t.Name())
		}
	}()
	crowd, err := chaos.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := crowd.Close(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	tone := filepath.Join(dir, "tone.wav")
	writeTone(t, tone, promptHz, 300*time.Millisecond)
	g := startGate(t, setup{carrierPeer: crowd.CarrierAddr(), pbxPeer: crowd.PBXAddr(), widePorts: true,
		policies: fmt.Sprintf(chaosPolicies, tone)})
	goroutines := g.process("go_goroutines")
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(load.Calls/load.Rate)*time.Second+2*time.Minute)
	defer cancel()
	report, err := crowd.Run(ctx, netip.MustParseAddrPort(g.Carrier), netip.MustParseAddrPort(g.PBX), load)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d calls: %d answered, %d refused, %d cancelled; %d requests", load.Calls, report.Answered, report.Refused, report.Cancelled, report.Requests)
	few(t, "requests got no answer", report.Unanswered)
	few(t, "answers got no ACK", report.Unacknowledged)
	nothingIsLeft(t, g, goroutines)
	if n := g.metric("calls_total"); n != float64(load.Calls) {
		t.Errorf("%.0f calls ended, of %d", n, load.Calls)
	}
	for event, n := range g.surprises() {
		t.Errorf("a call's state didn't know of: %s, %s times", event, n)
	}
	for _, name := range []string{"recordings_unaccounted", "evidence_lost_total", "call_faults_total", "calls_unanchored_total",
		"preconsent_packets_recorded_total"} {
		if n := g.metric(name); n != 0 {
			t.Errorf("%s is %.0f", name, n)
		}
	}
	g.stop()
	ev := g.evidence()
	if ev.count(store.TypeStarted) == 0 || ev.count(store.TypeStarted) != ev.count(store.TypeSealed) {
		t.Errorf("%d recordings began, %d were sealed", ev.count(store.TypeStarted), ev.count(store.TypeSealed))
	}
}

// few fails the test if there are any, and shows the first.
func few(t *testing.T, what string, all []string) {
	t.Helper()
	if len(all) > 0 {
		t.Errorf("%d %s, first:\n  %s", len(all), what, strings.Join(all[:min(4, len(all))], "\n  "))
	}
}

// nothingIsLeft waits until a gate is as it was before its first call. What lasts
// longest is a transaction that began when an earlier one ran out: 64 s.
func nothingIsLeft(t *testing.T, g *gate, goroutines float64) {
	t.Helper()
	left := map[string]float64{}
	deadline := time.Now().Add(100 * time.Second)
	for {
		clear(left)
		for _, name := range []string{"calls_active", "dialogs", "sip_transactions", "media_ports_in_use", "recordings_active"} {
			if n := g.metric(name); n != 0 {
				left[name] = n
			}
		}
		if n := g.process("go_goroutines"); n > goroutines {
			left["goroutines"] = n - goroutines
		}
		switch {
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			t.Errorf("left: %v", left)
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
}

var surprise = regexp.MustCompile(`(?m)^consentgate_sip_unexpected_total\{event="([^"]*)",state="([^"]*)"\} (\S+)$`)

// surprises are the unexpected events by state and kind, and their numbers.
func (g *gate) surprises() map[string]string {
	_, body := g.get("/metrics")
	out := map[string]string{}
	for _, m := range surprise.FindAllStringSubmatch(body, -1) {
		out[m[2]+" x "+m[1]] = m[3]
	}
	return out
}
