package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestScenarios plays each file of testdata/scenarios: one call a file, in the
// words of its README.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, f)
		})
	}
}

// scene is a scenario being played.
type scene struct {
	t      *testing.T
	actors map[string]*actor
	gate   *gate
	setup  setup
	prompt time.Duration
	disk   string
	ev     *evidence

	mu    sync.Mutex
	trace []string
	start time.Time
}

type verb struct {
	pattern *regexp.Regexp
	do      func(s *scene, m []string) error
}

// verbs are all that a scenario can say; anything else is an error.
var verbs = []verb{
	{regexp.MustCompile(`^policy: (.+)$`), func(s *scene, m []string) error {
		s.setup.policy = append(s.setup.policy, m[1])
		return nil
	}},
	{regexp.MustCompile(`^config: (.+)$`), func(s *scene, m []string) error { s.setup.extra += m[1] + "\n"; return nil }},
	{regexp.MustCompile(`^prompt: (\S+)$`), func(s *scene, m []string) (err error) { s.prompt, err = time.ParseDuration(m[1]); return err }},
	{regexp.MustCompile(`^small disk$`), (*scene).smallDisk},
	{regexp.MustCompile(`^disk (full|free)$`), (*scene).fillDisk},
	{regexp.MustCompile(`^(\w+)> ([A-Z]+)((?: (?:to )?[\w:+.]+)?)((?: sdp(?:=\w+)?)?)((?: \| .+)?)$`), (*scene).sayRequest},
	{regexp.MustCompile(`^(\w+)> (\d{3}) ([A-Z]+)((?: "[^"]+")?)((?: sdp(?:=\w+)?)?)((?: \| .+)?)$`), (*scene).sayResponse},
	{regexp.MustCompile(`^(\w+)< (\d{3} [A-Z]+|[A-Z]+)((?: \| .+)?)$`), (*scene).expect},
	{regexp.MustCompile(`^(\w+) at last< (\d{3} [A-Z]+)()$`), (*scene).expectLate},
	{regexp.MustCompile(`^(\w+) hears (prompt|notice|\d+|silence)$`), (*scene).hears},
	{regexp.MustCompile(`^(\w+) says (\d+)$`), (*scene).says},
	{regexp.MustCompile(`^(\w+) presses (\S+)$`), (*scene).presses},
	{regexp.MustCompile(`^(\w+) heard no break$`), (*scene).noBreak},
	{regexp.MustCompile(`^(\w+) got (\S+(?: \S+)?) again$`), (*scene).again},
	{regexp.MustCompile(`^(\w+) gets nothing more$`), (*scene).nothingMore},
	{regexp.MustCompile(`^wait recording$`), func(s *scene, _ []string) error {
		s.gate.until("recording", func() bool { return s.gate.metric("recordings_active") == 1 })
		return nil
	}},
	{regexp.MustCompile(`^metric (\S+) (\S+)$`), (*scene).metric},
	{regexp.MustCompile(`^log: ?(.*)$`), (*scene).log},
	{regexp.MustCompile(`^recorded: (\d+)((?: of \d+ ms and more)?)$`), (*scene).recorded},
	{regexp.MustCompile(`^sealed: (.+)$`), (*scene).sealed},
}

func play(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, actors: map[string]*actor{}, prompt: 400 * time.Millisecond, start: time.Now()}
	defer s.end()
	for _, name := range []string{"carrier", "pbx"} {
		if s.actors[name], err = newActor(name, s.note); err != nil {
			t.Fatal(err)
		}
	}
	for i, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.step(line); err != nil {
			t.Fatalf("%s:%d: %s: %v\n\n%s\n%s", file, i+1, line, err, strings.Join(s.trace, "\n"), s.gate.logText())
		}
	}
}

func (g *gate) logText() string {
	if g == nil {
		return ""
	}
	return g.log.String()
}

func (s *scene) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf("%6.3f %s", time.Since(s.start).Seconds(), what))
}

func (s *scene) step(line string) error {
	for _, v := range verbs {
		m := v.pattern.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		setting := strings.HasPrefix(line, "policy:") || strings.HasPrefix(line, "prompt:") || strings.HasPrefix(line, "config:") || line == "small disk"
		if !setting && s.gate == nil {
			s.startGate()
		}
		s.note("-- " + line)
		return v.do(s, m)
	}
	return fmt.Errorf("not a step that a scenario can have")
}

func (s *scene) startGate() {
	s.setup.carrierPeer, s.setup.pbxPeer = s.actors["carrier"].addr(), s.actors["pbx"].addr()
	if len(s.setup.policy) > 0 || s.prompt != 400*time.Millisecond {
		path := filepath.Join(s.t.TempDir(), "prompt.wav")
		writeTone(s.t, path, promptHz, s.prompt)
		has := strings.Join(s.setup.policy, "\n")
		s.setup.policy = append(s.setup.policy, "purpose: training", "prompt: "+path)
		for key, v := range map[string]string{"timeout": "1s", "attempts": "1"} {
			if !strings.Contains(has, key+":") {
				s.setup.policy = append(s.setup.policy, key+": "+v)
			}
		}
		s.setup.policies = "  - {name: emergency, numbers: [\"112\", \"urn:service:sos*\"], action: bypass}\n  - name: default\n    " +
			strings.Join(s.setup.policy, "\n    ") + "\n"
	}
	s.gate = startGate(s.t, s.setup)
	for name, to := range map[string]string{"carrier": s.gate.Carrier, "pbx": s.gate.PBX} {
		at, err := net.ResolveUDPAddr("udp", to)
		if err != nil {
			s.t.Fatal(err)
		}
		s.actors[name].gate = netip.AddrPortFrom(at.AddrPort().Addr().Unmap(), at.AddrPort().Port())
	}
}

func (s *scene) end() {
	for _, a := range s.actors {
		if a != nil {
			a.close()
		}
	}
	if s.gate != nil {
		s.checkAlways()
	}
}

// checkAlways is what must hold after every scenario.
func (s *scene) checkAlways() {
	if s.t.Failed() {
		return
	}
	for _, name := range []string{"preconsent_packets_recorded_total", "recordings_unaccounted"} {
		if s.ev == nil {
			if v := s.gate.metric(name); v != 0 {
				s.t.Errorf("%s is %v", name, v)
			}
		}
	}
	s.evidence()
	if strings.Contains(s.gate.log.String(), "2079460123") {
		s.t.Errorf("a number is in the log:\n%s", s.gate.log)
	}
}
