package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/proxy"
)

// contact is a Contact header of that peer.
func (p *peer) contact() string {
	if p.place.Transport == "udp" {
		return fmt.Sprintf("Contact: <sip:p@%s>", p.place.Addr)
	}
	return fmt.Sprintf("Contact: <sip:p@%s;transport=%s>", p.place.Addr, p.place.Transport)
}

func quickFailover(c *proxy.Config) { c.Trunks[0].FailOver = 200 * time.Millisecond }

// TestAPeerThatSaysNothingIsGivenUpForTheNext, and what it says later is
// acknowledged and hung up.
func TestAPeerThatSaysNothingIsGivenUpForTheNext(t *testing.T) {
	carrier, mute, second := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(mute, second), quickFailover)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	late := mute.next("INVITE")
	inv := second.next("INVITE")
	if head(inv.text, "Via") == head(late.text, "Via") {
		t.Error("both attempts have one branch")
	}
	inv.reply(answer(inv.text, "200 OK", "b2", second.contact()))
	ok := carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", head(ok.text, "To"), "c1", 1))
	second.next("ACK")
	late.reply(answer(late.text, "200 OK", "b1", mute.contact()))
	ack := nextOf(mute, "ACK")
	bye := nextOf(mute, "BYE")
	if head(ack.text, "To") != head(late.text, "To")+";tag=b1" || head(bye.text, "To") != head(ack.text, "To") {
		t.Errorf("ACK to %q, BYE to %q", head(ack.text, "To"), head(bye.text, "To"))
	}
	bye.reply(answer(bye.text, "200 OK", ""))

	// It is believed to be down: the next call goes to the other at once.
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c2", 1))
	again := second.next("INVITE")
	again.reply(answer(again.text, "486 Busy Here", "b3"))
	carrier.next("486")
	if n := g.counted(t, "consentgate_failovers_total"); n != 1 {
		t.Errorf("%v failovers", n)
	}
}

// nextOf passes over what is repeated meanwhile.
func nextOf(p *peer, want string) got {
	p.t.Helper()
	for {
		select {
		case m := <-p.in:
			if len(m.text) > len(want) && m.text[:len(want)] == want {
				return m
			}
		case <-time.After(15 * time.Second):
			p.t.Fatalf("no %s came", want)
		}
	}
}

// TestAPeerThatRefusesWith503IsGivenUpForTheNext; its refusal is acknowledged
// and not passed back, unless it is the last one's.
func TestAPeerThatRefusesWith503IsGivenUpForTheNext(t *testing.T) {
	carrier, full, second := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(full, second), nil)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	inv := full.next("INVITE")
	inv.reply(answer(inv.text, "503 Service Unavailable", "b1", "Retry-After: 120"))
	full.next("ACK")
	inv = second.next("INVITE")
	inv.reply(answer(inv.text, "503 Service Unavailable", "b2", "Retry-After: 7"))
	second.next("ACK")
	if res := carrier.next("503"); head(res.text, "Retry-After") != "7" {
		t.Errorf("the refusal that came back isn't the last one: %q", res.text)
	}
}

// TestAPeerThatCannotBeReachedIsGivenUpForTheNext at once; if there is no next,
// the caller hears 503.
func TestAPeerThatCannotBeReachedIsGivenUpForTheNext(t *testing.T) {
	carrier, gone, second := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "tcp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	gone.close()
	g := newRawGate(t, sideOf(carrier), sideOf(gone, second), nil)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	inv := second.next("INVITE")
	inv.reply(answer(inv.text, "486 Busy Here", "b1"))
	carrier.next("486")

	g = newRawGate(t, sideOf(carrier), sideOf(gone), nil)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c2", 1))
	carrier.next("503")
}

// TestNoOtherPeerIsTriedOnceOneRings: the phone that rings is the call.
func TestNoOtherPeerIsTriedOnceOneRings(t *testing.T) {
	carrier, first, second := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(first, second), quickFailover)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	inv := first.next("INVITE")
	inv.reply(answer(inv.text, "180 Ringing", "b1", first.contact()))
	carrier.next("180")
	inv.reply(answer(inv.text, "503 Service Unavailable", "b1"))
	carrier.next("503")
	select {
	case m := <-second.in:
		t.Errorf("the second peer got %.20q", m.text)
	default:
	}
}

// TestADownPeerComesBackByItsAnswerToOPTIONS: on the same target.
func TestADownPeerComesBackByItsAnswerToOPTIONS(t *testing.T) {
	carrier, p := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(p), func(c *proxy.Config) { c.Trunks[0].OptionsPing = 50 * time.Millisecond })
	up := func() float64 {
		return g.counted(t, "consentgate_peer_up", p.place.Addr.String(), "pbx")
	}
	nextOf(p, "OPTIONS").reply("rubbish")
	ping := nextOf(p, "OPTIONS")
	ping.reply(answer(ping.text, "503 Service Unavailable", "o"))
	eventually(t, "the peer is down", func() bool { return up() == 0 })
	for up() == 0 {
		ping = nextOf(p, "OPTIONS")
		ping.reply(answer(ping.text, "200 OK", "o"))
	}
}

// TestOverloadIsRefusedAtTheDoor: new calls over the limits get 503 and
// Retry-After; requests of calls there are, and emergencies, are served.
func TestOverloadIsRefusedAtTheDoor(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), func(c *proxy.Config) {
		c.Trunks[0].MaxCalls = 1
		c.Policies = consent.Policies{{Name: "emergency", Numbers: []string{"112"}, Direction: consent.Any, Action: consent.Bypass}}
	})
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	inv := pbx.next("INVITE")
	inv.reply(answer(inv.text, "200 OK", "b1", pbx.contact()))
	ok := carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", head(ok.text, "To"), "c1", 1))
	pbx.next("ACK")

	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:2@h", "<sip:2@h>", "c2", 1))
	if res := carrier.next("503"); head(res.text, "Retry-After") == "" {
		t.Errorf("no Retry-After: %q", res.text)
	}
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:112@h", "<sip:112@h>", "c3", 1))
	sos := pbx.next("INVITE sip:112@h")
	sos.reply(answer(sos.text, "486 Busy Here", "x"))
	carrier.next("486")
	carrier.sendTo(g.carrier(), carrier.request("INFO", "sip:gate", head(ok.text, "To"), "c1", 2))
	info := nextOf(pbx, "INFO")
	info.reply(answer(info.text, "200 OK", ""))
	carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("BYE", "sip:gate", head(ok.text, "To"), "c1", 3))
	bye := pbx.next("BYE")
	bye.reply(answer(bye.text, "200 OK", ""))
	carrier.next("200")
	eventually(t, "the call is over", func() bool { return g.counted(t, "consentgate_calls_active") == 0 })
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:3@h", "<sip:3@h>", "c4", 1))
	room := pbx.next("INVITE sip:3@h")
	room.reply(answer(room.text, "486 Busy Here", "x"))
	carrier.next("486")
}

// TestMoreCallsASecondThanTakenAreRefused: of a burst, one second's worth passes.
func TestMoreCallsASecondThanTakenAreRefused(t *testing.T) {
	carrier, pbx := newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), func(c *proxy.Config) { c.Trunks[0].MaxCallRate = 0.001 })
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c1", 1))
	inv := pbx.next("INVITE")
	inv.reply(answer(inv.text, "486 Busy Here", "x"))
	carrier.next("486")
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:1@h", "<sip:1@h>", "c2", 1))
	if res := carrier.next("503"); head(res.text, "Retry-After") != "1000" {
		t.Errorf("Retry-After is %q", head(res.text, "Retry-After"))
	}
}
