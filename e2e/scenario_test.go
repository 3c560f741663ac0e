package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/internal/phone"
	"consentgate/store"
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

func (s *scene) actor(name string) (*actor, error) {
	if name == "stranger" && s.actors[name] == nil {
		a, err := newActor(name, s.note)
		if err != nil {
			return nil, err
		}
		_ = a.conn.Close() // its own address instead of the peers'
		a.done.Wait()
		if a.conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}); err != nil {
			return nil, err
		}
		a.done.Go(a.read)
		a.gate = s.actors["carrier"].gate
		s.actors[name] = a
	}
	if a := s.actors[name]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("there is no %q here", name)
}

func bar(rest string) []string {
	var out []string
	for _, p := range strings.Split(rest, " | ") {
		if p = strings.TrimSpace(strings.TrimPrefix(p, "|")); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func sdpOf(word string) string {
	word = strings.TrimSpace(word)
	if kind, ok := strings.CutPrefix(word, "sdp="); ok {
		return kind
	}
	return word
}

func (s *scene) sayRequest(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	number, sdp := strings.TrimPrefix(strings.TrimSpace(m[3]), "to "), sdpOf(m[4])
	if number == "sdp" {
		number, sdp = "", "sdp"
	}
	return a.request(m[2], number, sdp, bar(m[5]))
}

func (s *scene) sayResponse(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	status, err := strconv.Atoi(m[2])
	if err != nil {
		return err
	}
	return a.respond(status, strings.Trim(strings.TrimSpace(m[4]), `"`), m[3], sdpOf(m[5]), bar(m[6]))
}

// expect waits for the next message and checks what stands behind the bars:
// "Header: text" must be in it, "no Header" must not, "start text" is the start
// line's end, "sdp text" must be in the body.
func (s *scene) expect(m []string) error { return s.expectWithin(m, deadline) }

// expectLate is for what the protocol's own timers bring: 64*T1 and more.
func (s *scene) expectLate(m []string) error { return s.expectWithin(m, 45*time.Second) }

func (s *scene) expectWithin(m []string, d time.Duration) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	msg, err := a.next(ctx)
	if err != nil {
		return fmt.Errorf("nothing came: %w", err)
	}
	if got := what(msg); got != m[2] {
		return fmt.Errorf("%s came instead", got)
	}
	for _, want := range bar(m[3]) {
		if err := holds(msg, want); err != nil {
			return err
		}
	}
	return nil
}

func holds(msg sip.Message, want string) error {
	start, _, _ := strings.Cut(msg.String(), "\r\n")
	switch {
	case strings.HasPrefix(want, "no "):
		if len(msg.GetHeaders(want[3:])) > 0 {
			return fmt.Errorf("%s is there", want[3:])
		}
		return nil
	case strings.HasPrefix(want, "start "):
		if !strings.HasSuffix(start, want[6:]) && !strings.HasPrefix(start, want[6:]) {
			return fmt.Errorf("it starts %q", start)
		}
		return nil
	case strings.HasPrefix(want, "sdp "):
		if !strings.Contains(string(msg.Body()), want[4:]) {
			return fmt.Errorf("its body is\n%s", msg.Body())
		}
		return nil
	}
	name, text, ok := strings.Cut(want, ": ")
	if !ok {
		return fmt.Errorf("%q isn't a check", want)
	}
	for _, h := range msg.GetHeaders(name) {
		if strings.Contains(h.Value(), text) {
			return nil
		}
	}
	return fmt.Errorf("no %s with %q in\n%s", name, text, msg)
}

func (s *scene) hears(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch m[2] {
	case "prompt":
		return a.media.WaitTone(ctx, promptHz)
	case "notice":
		return a.media.WaitSound(ctx)
	case "silence":
		return a.media.WaitQuiet(ctx, 250*time.Millisecond)
	}
	hz, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return err
	}
	return a.media.WaitTone(ctx, hz)
}

func (s *scene) says(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	hz, err := strconv.ParseFloat(m[2], 64)
	a.media.Tone(hz)
	return err
}

func (s *scene) presses(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	for _, k := range []byte(m[2]) {
		a.media.Press(k, 80*time.Millisecond)
	}
	return nil
}

// noBreak: all that an actor heard was one stream.
func (s *scene) noBreak(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	got := a.media.Received()
	if ssrc, seq, ts := phone.Jumps(got); ssrc+seq+ts > 0 || len(got) == 0 {
		return fmt.Errorf("in %d packets: %d changes of SSRC, %d of sequence, %d of time", len(got), ssrc, seq, ts)
	}
	return nil
}

// again: a message came once more at least.
func (s *scene) again(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for a.repeats[m[2]] == 0 {
		next, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		msg, err := a.next(next)
		cancel()
		if err == nil {
			return fmt.Errorf("%s came instead", what(msg))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (s *scene) nothingMore(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if msg, err := a.next(ctx); err == nil {
		return fmt.Errorf("%s came", what(msg))
	}
	return nil
}

func (s *scene) metric(m []string) error {
	want, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return err
	}
	end := time.Now().Add(deadline)
	for {
		got := s.gate.metric(m[1])
		if got == want {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("it is %v", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// evidence stops the gate, once, and reads what it proves.
func (s *scene) evidence() *evidence {
	if s.ev == nil {
		s.gate.stop()
		ev := s.gate.evidence()
		s.ev = &ev
	}
	return s.ev
}

func (s *scene) log(m []string) error {
	if got := s.evidence().kinds(); got != m[1] {
		return fmt.Errorf("it says %q", got)
	}
	return nil
}

func (s *scene) recorded(m []string) error {
	s.evidence()
	st := s.gate.open(s.setup.dataDir)
	defer st.Close()
	found, _, err := st.Search(store.Query{Party: "+44 20 7946 0123"})
	if err != nil {
		return err
	}
	if strconv.Itoa(len(found)) != m[1] {
		return fmt.Errorf("%d recordings", len(found))
	}
	var least int
	if _, err := fmt.Sscanf(m[2], " of %d ms", &least); err == nil {
		for _, f := range found {
			var wav bytes.Buffer
			if _, err := st.WAV(context.Background(), f.ID, &wav); err != nil {
				return err
			}
			if f.Seconds*1000 < float64(least) || wav.Len() < 44+least*8*4 {
				return fmt.Errorf("%.3f s, %d bytes of WAV", f.Seconds, wav.Len())
			}
		}
	}
	return nil
}

func (s *scene) sealed(m []string) error {
	for _, e := range s.evidence().entries {
		if e.Type == store.TypeSealed && strings.Contains(string(e.Payload), `"reason":"`+m[1]) {
			return nil
		}
	}
	return fmt.Errorf("no recording was sealed so")
}

func (s *scene) smallDisk(_ []string) error {
	s.disk = s.t.TempDir()
	if err := syscall.Mount("tmpfs", s.disk, "tmpfs", 0, "size=12m"); err != nil {
		s.t.Skipf("NOT TESTED: a real full disk needs the right to mount (%v)", err)
	}
	s.t.Cleanup(func() { _ = syscall.Unmount(s.disk, syscall.MNT_DETACH) })
	s.setup.dataDir = filepath.Join(s.disk, "data")
	return nil
}

func (s *scene) fillDisk(m []string) error {
	path := filepath.Join(s.disk, "ballast")
	if m[1] == "free" {
		return os.Remove(path)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, n := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	return f.Close()
}
