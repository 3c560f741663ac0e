package e2e

import (
	"context"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentgate/internal/phone"
	"consentgate/store"
)

// line is a gate with a phone on each side; calls go from the carrier.
type line struct {
	*gate
	caller *phone.Phone
	agent  *phone.Phone
	calls  chan *phone.Call // the agent's ends
}

func newLine(t testing.TB, s setup) *line {
	t.Helper()
	l := &line{calls: make(chan *phone.Call, 512)}
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	var err error
	if l.caller, err = phone.New(phone.Config{Name: "+442079460123", Listen: loopback}); err != nil {
		t.Fatal(err)
	}
	l.agent, err = phone.New(phone.Config{Name: "agent", Listen: loopback, Incoming: func(c *phone.Call) {
		c.Media.Tone(440)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c.Answer(ctx) == nil {
			l.calls <- c
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.carrierPeer, s.pbxPeer = l.caller.Addr().String(), l.agent.Addr().String()
	l.gate = startGate(t, s)
	t.Cleanup(func() { _ = l.caller.Close(); _ = l.agent.Close() })
	return l
}

func (l *line) dial(ctx context.Context, number string) (*phone.Call, error) {
	return l.caller.Dial(ctx, netip.MustParseAddrPort(l.Carrier), number)
}

// yes calls, hears the prompt out, presses 1 and waits until the agent is heard.
func (l *line) yes(ctx context.Context) (*phone.Call, error) {
	c, err := l.dial(ctx, "100")
	if err != nil {
		return nil, err
	}
	c.Media.Tone(880)
	if err := c.Media.WaitTone(ctx, promptHz); err != nil {
		return nil, err
	}
	if err := c.Media.WaitQuiet(ctx, 250*time.Millisecond); err != nil {
		return nil, err
	}
	c.Press('1')
	return c, c.Media.WaitTone(ctx, 440)
}

// TestSIGTERMLetsCallsGoOnAndTakesNoNewOnes: 503 with Retry-After, not ready, the
// live call goes on, its recording is sealed, exit 0.
func TestSIGTERMLetsCallsGoOnAndTakesNoNewOnes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l := newLine(t, setup{grace: "20s"})
	if code, _ := l.get("/readyz"); code != 200 {
		t.Errorf("/readyz says %d", code)
	}
	c, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.until("recording", func() bool { return l.metric("recordings_active") == 1 })
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	l.until("not ready", func() bool { code, _ := l.get("/readyz"); return code == 503 })
	if code, _ := l.get("/healthz"); code != 200 {
		t.Errorf("/healthz says %d", code)
	}
	_, err = l.dial(ctx, "100")
	if refused, ok := err.(*phone.Refused); !ok || refused.Status != 503 {
		t.Errorf("a new call got %v", err)
	}
	if e, err := l.dial(ctx, "112"); err != nil {
		t.Errorf("an emergency call got %v", err)
	} else if err := e.Hangup(); err != nil {
		t.Error(err)
	}
	before := len(c.Media.Received())
	if err := c.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > before+25 }); err != nil {
		t.Errorf("the live call is silent: %v", err)
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	if err := <-l.exited; err != nil {
		t.Errorf("exit: %v\n%s", err, l.log)
	}
	l.exited <- nil
	ev := l.evidence()
	if ev.count(store.TypeSealed) != 1 || ev.count(store.TypeNodeDown) != 1 {
		t.Errorf("%d sealed, %d stops", ev.count(store.TypeSealed), ev.count(store.TypeNodeDown))
	}
}

// TestSIGTERMEndsWhatOutlastsTheGrace: both sides get a BYE, the recording is sealed.
func TestSIGTERMEndsWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l := newLine(t, setup{grace: "1s"})
	c, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.until("recording", func() bool { return l.metric("recordings_active") == 1 })
	l.stop()
	agent := <-l.calls
	for _, end := range []*phone.Call{c, agent} {
		select {
		case <-end.Ended():
		case <-ctx.Done():
			t.Fatal("a side wasn't told")
		}
	}
	if ev := l.evidence(); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
		t.Errorf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
	}
}

// TestKillNineInMidCallLosesAtMostASecond: the recording is closed at the next
// start, and every consent has its end.
func TestKillNineInMidCallLosesAtMostASecond(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l := newLine(t, setup{})
	c, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.until("recording", func() bool { return l.metric("recordings_active") == 1 })
	granted := time.Now()
	n := len(c.Media.Received())
	if err := c.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > n+150 }); err != nil {
		t.Fatal(err)
	}
	talked := time.Since(granted)
	if err := l.kill(); err != nil {
		t.Fatal(err)
	}
	s := l.open("")
	found, _, err := s.Search(store.Query{Party: "+442079460123"})
	if err != nil || len(found) != 1 || found[0].State != store.StateTruncated {
		t.Fatalf("%+v %v", found, err)
	}
	if lost := talked - time.Duration(found[0].Seconds*float64(time.Second)); lost > time.Second {
		t.Errorf("%s of %s are lost", lost, talked)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if ev := l.evidence(); ev.count(store.TypeSealed) != 1 {
		t.Errorf("%d ends", ev.count(store.TypeSealed))
	}
}

// TestWithoutADataDirectoryCallsGoOn: law 2, at start-up. Nobody is asked in vain.
func TestWithoutADataDirectoryCallsGoOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l := newLine(t, setup{dataDir: "/proc/consentgate"})
	if v := l.metric("recording_possible"); v != 0 {
		t.Errorf("recording_possible is %v", v)
	}
	c, err := l.dial(ctx, "100")
	if err == nil {
		err = c.Media.WaitTone(ctx, 440)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	l.until("the outcome is counted", func() bool { return l.metric(`consent_total{outcome="failed"`) == 1 })
	l.stop()
	if strings.Contains(l.log.String(), "msg=recording ") {
		t.Error("it says that it recorded")
	}
}

// TestMetricsAreAllThere: each metric of the operator's interface, by name.
func TestMetricsAreAllThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l := newLine(t, setup{})
	c, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.until("recording", func() bool { return l.metric("recordings_active") == 1 })
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	l.until("sealed", func() bool { return l.metric(`recordings_total{outcome="sealed"}`) == 1 })
	_, body := l.get("/metrics")
	for _, name := range []string{"calls_active", "calls_total", "consent_total", "recordings_active", "recordings_total",
		"recordings_unaccounted", "preconsent_packets_recorded_total", "rtp_packets_total", "rtp_dropped_total", "tap_dropped_total",
		"sip_rejected_total", "peer_up", "audit_append_seconds", "audit_size", "disk_free_bytes"} {
		if !strings.Contains(body, "# TYPE consentgate_"+name+" ") {
			t.Errorf("consentgate_%s isn't there", name)
		}
	}
	for _, personal := range []string{"2079460123", c.ID()} {
		if strings.Contains(body, personal) {
			t.Errorf("%q is in the metrics", personal)
		}
	}
	if got := l.metric(`calls_total{direction="inbound",outcome="answered",trunk="main"}`); got != 1 {
		t.Errorf("calls_total is %v", got)
	}

}
