package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/internal/sipp"
)

// sippParts are what the scenarios of testdata/sipp share, by name.
func sippParts(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/sipp/parts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d parts of sipp scenarios, %v", len(files), err)
	}
	parts := map[string]string{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		parts[strings.TrimSuffix(filepath.Base(f), ".txt")] = strings.TrimSuffix(string(raw), "\n")
	}
	return parts
}

// partName stands on a line of its own in a scenario.
var partName = regexp.MustCompile(`(?m)^\{([a-z0-9-]+)\}$`)

// whole puts the parts where they are named, and in each other.
func whole(text string, parts map[string]string, depth int) (string, error) {
	var err error
	out := partName.ReplaceAllStringFunc(text, func(line string) string {
		part, known := parts[line[1:len(line)-1]]
		if !known || depth == 0 {
			err = fmt.Errorf("there is no part %s, or it names itself; there are %s", line,
				strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
			return line
		}
		inner, e := whole(part, parts, depth-1)
		if e != nil {
			err = e
		}
		return inner
	})
	return out, err
}

// sippScenario reads one side of a behaviour.
func sippScenario(t testing.TB, file string, parts map[string]string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := whole(string(raw), parts, 9)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n" + text
}

// play is one behaviour between two sipps: who calls, and whether somebody is
// asked meanwhile.
type play struct {
	caller, called string // scenarios
	inbound, asked bool
}

func (p play) String() string {
	return map[bool]string{true: "carrier calls", false: "pbx calls"}[p.inbound] +
		map[bool]string{true: " and somebody is asked", false: ""}[p.asked]
}

// TestSippBehaviours plays each folder of testdata/sipp: sipp calls sipp through
// the gate, from the carrier and from the PBX, with nobody asked and while
// somebody is.
func TestSippBehaviours(t *testing.T) {
	needs(t, "sipp")
	callers, err := filepath.Glob("testdata/sipp/*/caller.xml")
	if err != nil || len(callers) < 40 {
		t.Fatalf("%d behaviours, %v", len(callers), err)
	}
	parts := sippParts(t)
	for _, file := range callers {
		dir := filepath.Dir(file)
		caller, called := sippScenario(t, file, parts), sippScenario(t, filepath.Join(dir, "called.xml"), parts)
		for _, inbound := range []bool{true, false} {
			for _, asked := range []bool{true, false} {
				p := play{caller, called, inbound, asked}
				t.Run(filepath.Base(dir)+"/"+p.String(), func(t *testing.T) {
					t.Parallel()
					if err := p.run(t); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// run requires that both ends saw what they wait for, and that the gate has
// nothing to complain of and nothing left.
func (p play) run(t *testing.T) (err error) {
	carrier, pbx := freePort(t), freePort(t)
	s := setup{carrierPeer: carrier, pbxPeer: pbx, policies: bypassAll}
	if p.asked { // for longer than a behaviour takes
		s.policies, s.policy, s.promptFile = "", []string{"purpose: training", "timeout: 60s", "attempts: 1"}, true
	}
	g := startGate(t, s)
	calling, answering, to := carrier, pbx, g.Carrier
	if !p.inbound {
		calling, answering, to = pbx, carrier, g.PBX
	}
	server := sipp.Start(t, "called", p.called, answering, "", 1, "-timeout", "30s")
	client := sipp.Start(t, "caller", p.caller, calling, to, 1, "-timeout", "30s")
	both := make(chan error, 2)
	for _, s := range []*sipp.Run{server, client} {
		go func() { both <- s.Ended() }()
	}
	for range 2 {
		if e := <-both; e != nil && err == nil {
			err = e
			server.Kill() // it would wait for long
			client.Kill()
		}
	}
	if err != nil {
		return err
	}
	left, cancel := context.WithTimeout(context.Background(), 45*time.Second) // a 2xx that is never acknowledged is repeated for 32 s
	defer cancel()
	g.untilCtx(left, "nothing is left", func() bool { return g.metric("calls_active") == 0 })
	if n := g.metric("calls_active"); n != 0 {
		return fmt.Errorf("%v calls are left", n)
	}
	for _, name := range []string{"sip_unexpected_total", "sip_rejected_total", "call_faults_total", "evidence_lost_total"} {
		if n := g.metric(name); n != 0 {
			err = errors.Join(err, fmt.Errorf("%s is %v\n%s", name, n, g.log))
		}
	}
	g.stop()
	return err
}

// TestABehaviourThatDiffersIsAnError: what nobody waits for, what never comes
// and a part that isn't there.
func TestABehaviourThatDiffersIsAnError(t *testing.T) {
	t.Parallel()
	needs(t, "sipp")
	parts := sippParts(t)
	side := func(folder, name string) string {
		return sippScenario(t, filepath.Join("testdata/sipp", folder, name+".xml"), parts)
	}
	busy := play{side("plain", "caller"), side("refused-486", "called"), true, false}
	if err := busy.run(t); err == nil || !strings.Contains(err.Error(), "486 Busy Here") {
		t.Errorf("a refusal that nobody waits for: %v", err)
	}
	deaf := play{side("called-hangs-up", "caller"), side("called-hangs-up", "called"), false, false}
	deaf.called = strings.NewReplacer("BYE [next_url]", "INFO [next_url]", "[cseq] BYE", "[cseq] INFO").Replace(deaf.called)
	if err := deaf.run(t); err == nil || !strings.Contains(err.Error(), "while expecting 'BYE'") {
		t.Errorf("another request than the one that is waited for: %v", err)
	}
	if _, err := whole("{plain}\n", parts, 9); err == nil || !strings.Contains(err.Error(), "no part {plain}") {
		t.Errorf("a part that isn't there: %v", err)
	}
}
