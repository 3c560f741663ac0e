package proxy_test

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/proxy"
)

// TestACallByIPv6OnOneSideIsAskedHeardAndRecorded as one by IPv4 on both.
func TestACallByIPv6OnOneSideIsAskedHeardAndRecorded(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := newWorldAt(t, netip.MustParseAddrPort("[::1]:0"), asking(), nil)
	defer w.close()
	c, err := w.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if to := c.Media.To().Addr(); to != netip.MustParseAddr("::1") {
		t.Errorf("the caller sends to %s", to)
	}
	c.Media.Tone(880)
	w.mu.Lock()
	agent := w.taken[0]
	w.mu.Unlock()
	if err := agent.Media.WaitTone(ctx, 880); err != nil {
		t.Error(err)
	}
	if to := agent.Media.To().Addr(); to != loopback.Addr() {
		t.Errorf("the agent sends to %s", to)
	}
	eventually(t, "both are recorded", func() bool { return w.rec.of[consent.Remote].Load() > 10 && w.rec.of[consent.Local].Load() > 10 })
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
}

// TestACallLastsNoLongerThanCallsMay: with BYE to both sides.
func TestACallLastsNoLongerThanCallsMay(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := newWorld(t, consent.Policies{{Name: "p", Action: consent.Bypass}}, func(c *proxy.Config) { c.Trunks[0].MaxDuration = time.Second })
	defer w.close()
	c, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Ended():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	eventually(t, "its ports are back", func() bool { return w.pool.InUse() == 0 })
}

// TestACallWithoutMediaIsEndedWhereThatIsWanted: on both sides, but not while
// one holds the other.
func TestACallWithoutMediaIsEndedWhereThatIsWanted(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	pool, err := media.NewPool(media.PoolConfig{Min: 16000, Max: 16999})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := media.NewEngine(media.Config{Pool: pool, Metrics: media.NewMetrics(prometheus.NewRegistry(), pool),
		Log: slog.New(slog.DiscardHandler), Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := newWorld(t, consent.Policies{{Name: "p", Action: consent.Bypass}}, func(c *proxy.Config) { c.Media = engine })
	defer w.close()
	held, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Hold(); err != nil {
		t.Fatal(err)
	}
	held.Media.Mute(true)
	silent, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := silent.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	silent.Media.Mute(true)
	w.silence()
	select {
	case <-silent.Ended():
	case <-ctx.Done():
		t.Fatal("the call without media goes on")
	}
	select {
	case <-held.Ended():
		t.Error("the call on hold was ended")
	default:
	}
	if err := held.Hangup(); err != nil {
		t.Error(err)
	}
}
