package proxy

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

func inviteWith(headers ...string) *sip.Request {
	req := sip.NewRequest(sip.INVITE, sip.Uri{Scheme: "sip", User: "100", Host: "pbx.test"})
	for i := 0; i < len(headers); i += 2 {
		req.AppendHeader(sip.NewHeader(headers[i], headers[i+1]))
	}
	return req
}

// TestWhoThePartiesAre: what the network vouches for goes before what the caller
// says of itself.
func TestWhoThePartiesAre(t *testing.T) {
	for name, c := range map[string]struct {
		req              *sip.Request
		caller, diverted string
		withheld         bool
	}{
		"From alone":      {inviteWith("From", `"A" <sip:+441@c.test>;tag=1`), "+441", "", false},
		"asserted":        {inviteWith("f", `"A" <sip:555@c.test>;tag=1`, "P-Asserted-Identity", `"A" <sip:+442@c.test;user=phone>, <tel:+442>`), "+442", "", false},
		"Remote-Party-ID": {inviteWith("From", `<sip:555@c.test>;tag=1`, "Remote-Party-ID", `<sip:+443@c.test>;party=calling;screen=yes`), "+443", "", false},
		"anonymous, but vouched for": {inviteWith("From", `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1`, "P-Asserted-Identity", `<tel:+44-4>`,
			"Privacy", "id;critical"), "+44-4", "", true},
		"anonymous":    {inviteWith("From", `<sip:anonymous@anonymous.invalid>;tag=1`), "anonymous", "", true},
		"privacy none": {inviteWith("From", `<sip:1@c.test>;tag=1`, "Privacy", "none"), "1", "", false},
		"diverted twice": {inviteWith("From", `<sip:1@c.test>;tag=1`, "Diversion", `<sip:300@c.test>;reason=no-answer, <sip:200@c.test>;reason=user-busy`),
			"1", "200", false},
		"history": {inviteWith("From", `<sip:1@c.test>;tag=1`, "History-Info", `<sip:200@c.test>;index=1`, "History-Info", `<sip:300@c.test>;index=1.1;rc=1`),
			"1", "200", false},
		"history of one": {inviteWith("From", `<sip:1@c.test>;tag=1`, "History-Info", `<sip:200@c.test>;index=1`), "1", "", false},
	} {
		if a, d, w := callerOf(c.req), divertedFrom(c.req), withheld(c.req); a != c.caller || d != c.diverted || w != c.withheld {
			t.Errorf("%s: caller %q, diverted from %q, withheld %v", name, a, d, w)
		}
	}
}

// TestWhenSomebodyElseSpeaks: another number than before, by the same kind of
// statement.
func TestWhenSomebodyElseSpeaks(t *testing.T) {
	l := &leg{named: "+441"}
	for i, c := range []struct {
		req     *sip.Request
		another bool
	}{
		{inviteWith("From", `"New name" <sip:+441@other.test>;tag=1`), false},
		{inviteWith("From", `<sip:+441@c.test>;tag=1`, "P-Asserted-Identity", "<sip:+442@c.test>"), false}, // the first that is vouched for
		{inviteWith("From", `<sip:+441@c.test>;tag=1`, "P-Asserted-Identity", "<sip:+442@d.test;user=phone>"), false},
		{inviteWith("From", `<sip:+441@c.test>;tag=1`, "P-Asserted-Identity", "<sip:+443@c.test>"), true},
		{inviteWith("From", `<sip:+445@c.test>;tag=1`), true},
		{inviteWith("From", `<sip:+445@c.test>;tag=1`), false},
	} {
		if got := l.recognise(c.req); got != c.another {
			t.Errorf("message %d: %v", i, got)
		}
	}
}

func TestOnlyAFailedTransferIsOne(t *testing.T) {
	notify := func(event, kind, body string) *sip.Request {
		req := inviteWith("Event", event, "Content-Type", kind)
		req.Method = sip.NOTIFY
		req.SetBody([]byte(body))
		return req
	}
	for _, c := range []struct {
		req  *sip.Request
		want bool
	}{
		{notify("refer", "message/sipfrag;version=2.0", "SIP/2.0 486 Busy Here\r\n"), true},
		{notify("refer;id=5", "message/sipfrag", "SIP/2.0 603 Declined"), true},
		{notify("refer", "message/sipfrag", "SIP/2.0 100 Trying\r\n"), false},
		{notify("refer", "message/sipfrag", "SIP/2.0 200 OK\r\n"), false},
		{notify("dialog", "message/sipfrag", "SIP/2.0 486 Busy Here\r\n"), false},
		{notify("refer", "text/plain", "SIP/2.0 486 Busy Here\r\n"), false},
		{notify("refer", "message/sipfrag", "SIP/2.0"), false},
	} {
		if got := transferFailed(c.req); got != c.want {
			t.Errorf("%q: %v", c.req.Body(), got)
		}
	}
}
