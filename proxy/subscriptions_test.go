package proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

// within is a request's text within a dialog.
func within(method, uri, callID, fromTag, toTag string, cseq int, more ...string) string {
	return fmt.Sprintf("%[1]s %[2]s SIP/2.0\nFrom: <sip:a@x>;tag=%[4]s\nTo: <sip:b@x>;tag=%[5]s\nCall-ID: %[3]s\nCSeq: %[6]d %[1]s\n%[7]s\n",
		method, uri, callID, fromTag, toTag, cseq, strings.Join(more, "\n"))
}

func subscription(method, uri, callID string, cseq int, more ...string) string {
	return fmt.Sprintf("%[1]s %[2]s SIP/2.0\nFrom: <sip:a@x>;tag=sub\nTo: <sip:b@x>\nCall-ID: %[3]s\nCSeq: %[4]d %[1]s\n%[5]s\n",
		method, uri, callID, cseq, strings.Join(more, "\n"))
}

// TestASubscriptionsRequestsFindTheirWay (RFC 6665): NOTIFY reaches the
// subscriber's own Contact and route, a refresh the notifier's, in both
// directions of a trunk; a NOTIFY moves the notifier's target.
func TestASubscriptionsRequestsFindTheirWay(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	for name, ends := range map[string][2]*wire{"PBX subscribes": {r.pbx, r.registrar}, "carrier subscribes": {r.registrar, r.pbx}} {
		sub, not := ends[0], ends[1]
		id := unique()
		sub.send(subscription("SUBSCRIBE", "sip:b@notifier.example", id, 1, "Contact: <sip:a@"+sub.addr()+";s=1>", "Event: message-summary", "Expires: 600",
			"Record-Route: <sip:"+sub.addr()+";lr;rr=s>"))
		got := not.recv("SUBSCRIBE sip:b@notifier.example SIP/2.0")
		if field(got, "Contact") != "<sip:a@"+not.gate.String()+";s=1>" || field(got, "Record-Route") != "" {
			t.Errorf("%s: the notifier got\n%s", name, got)
		}
		not.reply(strings.Replace(got, "To: <sip:b@x>", "To: <sip:b@x>;tag=not", 1), "202 Accepted", "Expires: 500",
			"Contact: <sip:b@"+not.addr()+";n=1>", "Record-Route: <sip:"+not.addr()+";lr;rr=n1>,<sip:"+not.addr()+";lr;rr=n2>")
		res := sub.recv("SIP/2.0 202")
		if field(res, "Contact") != "<sip:b@"+sub.gate.String()+";n=1>" || field(res, "Record-Route") != "<sip:"+sub.addr()+";lr;rr=s>" {
			t.Errorf("%s: the subscriber got\n%s", name, res)
		}
		not.send(within("NOTIFY", "sip:a@"+not.gate.String()+";s=1", id, "not", "sub", 1, "Contact: <sip:b@"+not.addr()+";n=2>",
			"Event: message-summary", "Subscription-State: active;expires=499"))
		got = sub.recv("NOTIFY sip:a@" + sub.addr() + ";s=1 SIP/2.0")
		if field(got, "Route") != "<sip:"+sub.addr()+";lr;rr=s>" || field(got, "Contact") != "<sip:b@"+sub.gate.String()+";n=2>" {
			t.Errorf("%s: the subscriber got\n%s", name, got)
		}
		sub.reply(got, "200 OK")
		not.recv("SIP/2.0 200")
		sub.send(within("SUBSCRIBE", "sip:b@"+sub.gate.String()+";n=2", id, "sub", "not", 2, "Contact: <sip:a@"+sub.addr()+";s=2>",
			"Event: message-summary", "Expires: 0"))
		got = not.recv("SUBSCRIBE sip:b@" + not.addr() + ";n=2 SIP/2.0")
		if field(got, "Route") != "<sip:"+not.addr()+";lr;rr=n2>\n<sip:"+not.addr()+";lr;rr=n1>" {
			t.Errorf("%s: the notifier got\n%s", name, got)
		}
		not.reply(got, "200 OK", "Expires: 0")
		sub.recv("SIP/2.0 200")
		not.send(within("NOTIFY", "sip:a@"+not.gate.String(), id, "not", "sub", 2, "Contact: <sip:b@"+not.addr()+">", "Subscription-State: terminated"))
		sub.reply(sub.recv("NOTIFY sip:a@"+sub.addr()+";s=2 SIP/2.0"), "200 OK")
		not.recv("SIP/2.0 200")
	}
}

// TestANotifyMayComeBeforeTheAnswer to the SUBSCRIBE or REFER, and from several
// forks; each keeps its own dialog.
func TestANotifyMayComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	for _, method := range []string{"SUBSCRIBE", "REFER"} {
		id := unique()
		r.pbx.send(subscription(method, "sip:b@notifier.example", id, 1, "Contact: <sip:a@"+r.pbx.addr()+">", "Event: dialog", "Refer-To: <sip:c@x>"))
		asked := r.registrar.recv(method + " ")
		for i, tag := range []string{"f1", "f2"} {
			r.registrar.send(within("NOTIFY", "sip:a@"+r.carrierAddr(), id, tag, "sub", i+1, "Contact: <sip:"+tag+"@"+r.registrar.addr()+">",
				"Subscription-State: active;expires=60"))
			r.pbx.reply(r.pbx.recv("NOTIFY sip:a@"+r.pbx.addr()), "200 OK")
			r.registrar.recv("SIP/2.0 200")
		}
		r.registrar.reply(strings.Replace(asked, "To: <sip:b@x>", "To: <sip:b@x>;tag=f2", 1), "202 Accepted", "Contact: <sip:f2@"+r.registrar.addr()+">")
		r.pbx.recv("SIP/2.0 202")
		for i, tag := range []string{"f1", "f2"} {
			r.pbx.send(within("SUBSCRIBE", "sip:b@"+r.pbx.gate.String(), id, "sub", tag, i+2, "Contact: <sip:a@"+r.pbx.addr()+">"))
			r.registrar.reply(r.registrar.recv("SUBSCRIBE sip:"+tag+"@"+r.registrar.addr()), "200 OK")
			r.pbx.recv("SIP/2.0 200")
		}
	}
}

// TestWhatBelongsToNoSubscriptionGets481: strangers' tags, and those of a SUBSCRIBE
// that was refused; the retry with credentials works.
func TestWhatBelongsToNoSubscriptionGets481(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.registrar.send(within("NOTIFY", "sip:a@"+r.carrierAddr(), "nobody's", "not", "sub", 1))
	r.registrar.recv("SIP/2.0 481")
	r.pbx.send(subscription("SUBSCRIBE", "sip:b@notifier.example", "s", 1, "Contact: <sip:a@"+r.pbx.addr()+">"))
	r.registrar.reply(r.registrar.recv("SUBSCRIBE "), "401 Unauthorized")
	r.pbx.recv("SIP/2.0 401")
	r.registrar.send(within("NOTIFY", "sip:a@"+r.carrierAddr(), "s", "not", "sub", 1))
	r.registrar.recv("SIP/2.0 481")
	r.pbx.send(subscription("SUBSCRIBE", "sip:b@notifier.example", "s", 2, "Contact: <sip:a@"+r.pbx.addr()+">", "Authorization: Digest x"))
	r.registrar.reply(r.registrar.recv("SUBSCRIBE "), "200 OK", "Contact: <sip:b@"+r.registrar.addr()+">")
	r.pbx.recv("SIP/2.0 200")
	for _, method := range []string{"SUBSCRIBE", "INVITE", "BYE"} { // of the right Call-ID and the wrong tag
		r.pbx.send(within(method, "sip:b@"+r.pbx.gate.String(), "s", "sub", "other", 3))
		r.pbx.recv("SIP/2.0 481")
	}
	r.registrar.send(within("NOTIFY", "sip:a@"+r.carrierAddr(), "s", "t127.0.0.1", "sub", 1))
	r.pbx.recv("NOTIFY sip:a@" + r.pbx.addr())
}

// TestALateRefusalLeavesTheRetryAlone: the first SUBSCRIBE is refused after the
// second of the same dialog was accepted.
func TestALateRefusalLeavesTheRetryAlone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.pbx.send(subscription("SUBSCRIBE", "sip:b@notifier.example", "s", 1, "Contact: <sip:a@"+r.pbx.addr()+">"))
	first := r.registrar.recv("SUBSCRIBE ")
	r.pbx.send(subscription("SUBSCRIBE", "sip:b@notifier.example", "s", 2, "Contact: <sip:a@"+r.pbx.addr()+">"))
	r.registrar.reply(r.registrar.recv("SUBSCRIBE "), "200 OK", "Contact: <sip:b@"+r.registrar.addr()+">")
	r.pbx.recv("SIP/2.0 200")
	r.registrar.reply(first, "403 Forbidden")
	r.pbx.recv("SIP/2.0 403")
	r.registrar.send(within("NOTIFY", "sip:a@"+r.carrierAddr(), "s", "t127.0.0.1", "sub", 1))
	r.pbx.recv("NOTIFY sip:a@" + r.pbx.addr())
}

// TestRequestsOutsideDialogsPassBothWays with their bodies.
func TestRequestsOutsideDialogsPassBothWays(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	for _, ends := range [][2]*wire{{r.pbx, r.registrar}, {r.registrar, r.pbx}} {
		for _, method := range []string{"MESSAGE", "PUBLISH", "NOTIFY", "X-NEW"} {
			ends[0].send(request(method, "sip:b@somewhere.example", "Content-Type: text/plain", "", "hello"))
			got := ends[1].recv(method + " sip:b@somewhere.example SIP/2.0")
			if !strings.HasSuffix(got, "\r\n\r\nhello") {
				t.Errorf("came\n%s", got)
			}
			ends[1].reply(got, "200 OK", "SIP-ETag: 7")
			if res := ends[0].recv("SIP/2.0 200"); field(res, "SIP-ETag") != "7" {
				t.Errorf("came\n%s", res)
			}
		}
	}
}

// TestATransfersNewsComeAfterTheCall: who transfers hangs up at once and still hears
// how it went (RFC 5589 section 6, RFC 5057).
func TestATransfersNewsComeAfterTheCall(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.registrar.send(request("INVITE", "sip:100@pbx.example", "Contact: <sip:c@"+r.registrar.addr()+">"))
	invite := r.pbx.recv("INVITE ")
	r.pbx.reply(invite, "200 OK", "Contact: <sip:100@"+r.pbx.addr()+";p=1>")
	ok := r.registrar.recv("SIP/2.0 200")
	_, caller, _ := strings.Cut(field(ok, "From"), ";tag=")
	_, called, _ := strings.Cut(field(ok, "To"), ";tag=")
	id := field(ok, "Call-ID")
	r.registrar.send(within("ACK", "sip:100@"+r.carrierAddr(), id, caller, called, 1))
	r.pbx.recv("ACK ")
	r.pbx.send(within("REFER", "sip:c@"+r.pbx.gate.String(), id, called, caller, 1, "Contact: <sip:100@"+r.pbx.addr()+";p=1>", "Refer-To: <sip:x@y>"))
	r.registrar.reply(r.registrar.recv("REFER sip:c@"+r.registrar.addr()), "202 Accepted", "Contact: <sip:c@"+r.registrar.addr()+">")
	r.pbx.recv("SIP/2.0 202")
	r.pbx.send(within("BYE", "sip:c@"+r.pbx.gate.String(), id, called, caller, 2))
	r.registrar.reply(r.registrar.recv("BYE "), "200 OK")
	r.pbx.recv("SIP/2.0 200")
	eventually(t, "the call is over", func() bool { return r.gauge("consentgate_calls_active") == 0 })
	r.registrar.send(within("NOTIFY", "sip:100@"+r.carrierAddr(), id, caller, called, 2, "Event: refer", "Subscription-State: terminated;reason=noresource",
		"Contact: <sip:c@"+r.registrar.addr()+">", "Content-Type: message/sipfrag", "", "SIP/2.0 200 OK"))
	news := r.pbx.recv("NOTIFY sip:100@" + r.pbx.addr() + ";p=1 SIP/2.0")
	if !strings.HasSuffix(news, "\r\n\r\nSIP/2.0 200 OK") {
		t.Errorf("came\n%s", news)
	}
	r.pbx.reply(news, "200 OK")
	r.registrar.recv("SIP/2.0 200")
}
