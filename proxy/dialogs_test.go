package proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

// contactAs is a Contact header of that peer with another user part: another
// phone behind it.
func (p *peer) contactAs(user string) string {
	return fmt.Sprintf("Contact: <sip:%s@%s>", user, p.place.Addr)
}

// call sets a call up between two UDP peers and returns the caller's 200.
func (g *rawGate) call(carrier, pbx *peer, callID string, answerWith ...string) got {
	carrier.t.Helper()
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:100@h", "<sip:100@h>", callID, 1, "Supported: timer"))
	inv := pbx.next("INVITE")
	inv.reply(answer(inv.text, "200 OK", "b1", append(answerWith, pbx.contact())...))
	ok := carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", head(ok.text, "To"), callID, 1))
	pbx.next("ACK")
	return ok
}

func udpPair(t *testing.T) (carrier, pbx *peer, g *rawGate) {
	t.Helper()
	carrier, pbx = newPeer(t, "udp", "127.0.0.1", nil), newPeer(t, "udp", "127.0.0.1", nil)
	return carrier, pbx, newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
}

// TestForksAreDialogsOfTheirOwn: requests go to the phone that they are for,
// also after another was heard of; who answers too late is accepted and hung up.
func TestForksAreDialogsOfTheirOwn(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:100@h", "<sip:100@h>", "c1", 1, "Supported: 100rel"))
	inv := pbx.next("INVITE")
	inv.reply(answer(inv.text, "183 Session Progress", "f1", pbx.contactAs("one"), "Require: 100rel", "RSeq: 11"))
	first := carrier.next("183")
	inv.reply(answer(inv.text, "180 Ringing", "f2", pbx.contactAs("two"), "Require: 100rel", "RSeq: 22"))
	second := carrier.next("180")

	carrier.sendTo(g.carrier(), carrier.request("PRACK", "sip:gate", head(first.text, "To"), "c1", 2, "RAck: 11 1 INVITE"))
	prack := pbx.next("PRACK sip:one@")
	if head(prack.text, "RAck") != "11 1 INVITE" {
		t.Errorf("RAck %q", head(prack.text, "RAck"))
	}
	prack.reply(answer(prack.text, "200 OK", ""))
	carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("PRACK", "sip:gate", head(second.text, "To"), "c1", 3, "RAck: 22 1 INVITE"))
	prack = pbx.next("PRACK sip:two@")
	prack.reply(answer(prack.text, "200 OK", ""))
	carrier.next("200")

	inv.reply(answer(inv.text, "200 OK", "f1", pbx.contactAs("one")))
	ok := carrier.next("200")
	if !strings.HasSuffix(head(ok.text, "To"), "tag=f1") {
		t.Errorf("To %q", head(ok.text, "To"))
	}
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", head(ok.text, "To"), "c1", 1))
	pbx.next("ACK sip:one@")
	inv.reply(answer(inv.text, "200 OK", "f2", pbx.contactAs("two")))
	pbx.next("ACK sip:two@")
	bye := pbx.next("BYE sip:two@")
	bye.reply(answer(bye.text, "200 OK", ""))

	carrier.sendTo(g.carrier(), carrier.request("UPDATE", "sip:gate", head(second.text, "To"), "c1", 4))
	carrier.next("481")
	carrier.sendTo(g.carrier(), carrier.request("BYE", "sip:gate", head(ok.text, "To"), "c1", 5))
	bye = pbx.next("BYE sip:one@")
	bye.reply(answer(bye.text, "200 OK", ""))
	carrier.next("200")
}

// TestTargetsFollowTheirContacts: UPDATE and re-INVITE, and the answers to them,
// say where later requests go (RFC 3261 section 12.2, RFC 3311 section 5).
func TestTargetsFollowTheirContacts(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	ok := g.call(carrier, pbx, "c1")
	carrier.sendTo(g.carrier(), carrier.request("UPDATE", "sip:gate", head(ok.text, "To"), "c1", 2))
	update := pbx.next("UPDATE sip:p@")
	update.reply(answer(update.text, "200 OK", "", pbx.contactAs("moved")))
	carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("INFO", "sip:gate", head(ok.text, "To"), "c1", 3))
	info := pbx.next("INFO sip:moved@")
	info.reply(answer(info.text, "200 OK", ""))
	carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:gate", head(ok.text, "To"), "c1", 4))
	re := pbx.next("INVITE sip:moved@")
	re.reply(answer(re.text, "200 OK", "", pbx.contactAs("again")))
	carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", head(ok.text, "To"), "c1", 4))
	pbx.next("ACK sip:again@")
	carrier.sendTo(g.carrier(), carrier.request("BYE", "sip:gate", head(ok.text, "To"), "c1", 5))
	bye := pbx.next("BYE sip:again@")
	bye.reply(answer(bye.text, "200 OK", ""))
	carrier.next("200")
}

// TestRoutesStayOnTheirSide: a proxy on the called side that records its route
// gets every later request, the caller never sees it (RFC 3261 section 12.1).
func TestRoutesStayOnTheirSide(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	here := pbx.place.Addr.String()
	ok := g.call(carrier, pbx, "c1", "Record-Route: <sip:"+here+";lr;ftag=x>, <sip:inner.test;lr>")
	if head(ok.text, "Record-Route") != "" {
		t.Errorf("the caller sees %q", head(ok.text, "Record-Route"))
	}
	carrier.sendTo(g.carrier(), carrier.request("BYE", "sip:gate", head(ok.text, "To"), "c1", 2))
	bye := pbx.next("BYE sip:p@")
	var routes []string
	for _, line := range strings.Split(bye.text, "\r\n") {
		if v, is := strings.CutPrefix(line, "Route: "); is {
			routes = append(routes, v)
		}
	}
	if got := strings.Join(routes, ", "); got != "<sip:inner.test;lr>, <sip:"+here+";lr;ftag=x>" {
		t.Errorf("Route: %s", got)
	}
	bye.reply(answer(bye.text, "200 OK", ""))
	carrier.next("200")
}

// TestASessionThatNobodyRefreshesIsEnded on both sides (RFC 4028 section 10).
func TestASessionThatNobodyRefreshesIsEnded(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	g.call(carrier, pbx, "c1", "Session-Expires: 1;refresher=uac", "Require: timer")
	for _, p := range []*peer{carrier, pbx} {
		bye := p.next("BYE")
		if !strings.Contains(head(bye.text, "Reason"), "Session expired") {
			t.Errorf("Reason %q", head(bye.text, "Reason"))
		}
		bye.reply(answer(bye.text, "200 OK", ""))
	}
	eventually(t, "the call is counted", func() bool {
		return g.counted(t, "consentgate_calls_total", "inbound", "expired") == 1
	})
}

// TestARefreshKeepsTheSession, from either side, by either method; and a 2xx
// without the header turns the timer off.
func TestARefreshKeepsTheSession(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	ok := g.call(carrier, pbx, "c1", "x: 1;refresher=uas")
	carrier.sendTo(g.carrier(), carrier.request("UPDATE", "sip:gate", head(ok.text, "To"), "c1", 2, "Session-Expires: 90"))
	update := pbx.next("UPDATE")
	update.reply(answer(update.text, "422 Session Interval Too Small", "", "Min-SE: 1800"))
	if res := carrier.next("422"); head(res.text, "Min-SE") != "1800" {
		t.Errorf("Min-SE %q", head(res.text, "Min-SE"))
	}
	carrier.sendTo(g.carrier(), carrier.request("UPDATE", "sip:gate", head(ok.text, "To"), "c1", 3, "Session-Expires: 1800"))
	update = pbx.next("UPDATE")
	update.reply(answer(update.text, "200 OK", "", "Session-Expires: 1800;refresher=uac"))
	carrier.next("200")
	g.call(carrier, pbx, "c2", "Session-Expires: 1;refresher=uas")
	for _, p := range []*peer{carrier, pbx} { // the one that nobody refreshes goes, the other stays
		bye := p.next("BYE")
		if head(bye.text, "Call-ID") != "c2" {
			t.Errorf("%s was hung up on", head(bye.text, "Call-ID"))
		}
		bye.reply(answer(bye.text, "200 OK", ""))
	}
	carrier.sendTo(g.carrier(), carrier.request("INFO", "sip:gate", head(ok.text, "To"), "c1", 4))
	info := pbx.next("INFO")
	info.reply(answer(info.text, "200 OK", ""))
	carrier.next("200")
}

// TestGlareIsRefusedBothWays: 491 to a re-INVITE that meets one of the other
// side, 500 with Retry-After to a second one of the same side (RFC 3261 section
// 14.2).
func TestGlareIsRefusedBothWays(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	ok := g.call(carrier, pbx, "c1")
	mine, theirs := head(ok.text, "To"), "<sip:p@example.test>;tag=p1"
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:gate", mine, "c1", 2))
	re := pbx.next("INVITE")
	cross := strings.NewReplacer("From: <sip:p@example.test>;tag=p1", "From: "+mine).Replace(pbx.request("INVITE", "sip:gate", theirs, "c1", 7))
	pbx.sendTo(g.pbx(), cross)
	pbx.next("491")
	carrier.sendTo(g.carrier(), carrier.request("INVITE", "sip:gate", mine, "c1", 3))
	if res := carrier.next("500"); head(res.text, "Retry-After") == "" {
		t.Error("no Retry-After")
	}
	re.reply(answer(re.text, "200 OK", "", pbx.contact()))
	carrier.next("200")
	carrier.sendTo(g.carrier(), carrier.request("ACK", "sip:gate", mine, "c1", 2))
	pbx.next("ACK")
	pbx.sendTo(g.pbx(), strings.NewReplacer("From: <sip:p@example.test>;tag=p1", "From: "+mine).Replace(pbx.request("INVITE", "sip:gate", theirs, "c1", 8)))
	again := nextOf(carrier, "INVITE")
	again.reply(answer(again.text, "200 OK", "", carrier.contact()))
	pbx.next("200")
	pbx.sendTo(g.pbx(), strings.NewReplacer("From: <sip:p@example.test>;tag=p1", "From: "+mine).Replace(pbx.request("ACK", "sip:gate", theirs, "c1", 8)))
	nextOf(carrier, "ACK")
}
