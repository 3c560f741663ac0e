package proxy_test

import (
	"sync"
	"testing"

	"consentgate/proxy"
)

// seen keeps what a gate shows.
type seen struct {
	mu    sync.Mutex
	all   []proxy.Traced
	calls map[string]string // SIP Call-IDs to ids
	panic bool
}

func (s *seen) Message(m proxy.Traced) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, m)
	if s.panic {
		panic("a fault in the trace")
	}
}

func (s *seen) Call(id, callID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[callID] = id
}

// TestATraceIsShownWhatIsOnTheWire: each message that the peers sent or got, byte
// for byte, with its side, direction and addresses, in order.
func TestATraceIsShownWhatIsOnTheWire(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	s := &seen{calls: map[string]string{}}
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), func(c *proxy.Config) { c.Trace = s })
	sent := carrier.request("INVITE", "sip:100@h", "<sip:100@h>", "traced", 1)
	carrier.sendTo(g.carrier(), sent)
	inv := pbx.next("INVITE")
	inv.reply(answer(inv.text, "486 Busy Here", "b1"))
	busy := carrier.next("486")

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls["traced"] == "" {
		t.Error("the trace isn't told the call's id")
	}
	at := 0
	for _, want := range []struct {
		text string
		sent bool
		side string
		peer *peer
	}{{sent, false, "carrier", carrier}, {inv.text, true, "pbx", pbx}, {busy.text, true, "carrier", carrier}} {
		for at < len(s.all) && string(s.all[at].Data) != want.text {
			at++
		}
		if at == len(s.all) {
			t.Fatalf("not shown, or not in order: %s", want.text)
		}
		m := s.all[at]
		local := g.carrier()
		if want.side == "pbx" {
			local = g.pbx()
		}
		if m.Sent != want.sent || m.Side != want.side || m.Trunk != "main" || m.Transport != "udp" || m.Remote != want.peer.place.Addr ||
			m.Local != local || m.CallID != "traced" || m.At.IsZero() {
			t.Errorf("%+v", m)
		}
	}
}

// TestAFaultOfTheTraceLosesNoMessage: law 2.
func TestAFaultOfTheTraceLosesNoMessage(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), func(c *proxy.Config) { c.Trace = &seen{calls: map[string]string{}, panic: true} })
	g.call(carrier, pbx, "c1") // fails where a message doesn't come
}
