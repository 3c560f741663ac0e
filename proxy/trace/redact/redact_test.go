package redact

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// raw is a message of lines that end as on the wire.
func raw(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n")) }

func show(t *testing.T, r *Redactor, lines ...string) string {
	t.Helper()
	return string(r.Message(raw(lines...)))
}

// secrets are what the hostile messages below say of people. None of it may be
// left, in any case, nor its number's last five digits, escapes undone.
var secrets = []string{"301234567", "34567", "miller", "sesame", "KEYKEY", "eyJhbGci", "hello there"}

// TestNothingOfAPersonSurvivesHostileSpellings: each row is a message that says a
// number, a name, a key or a text where a careless reader wouldn't look.
func TestNothingOfAPersonSurvivesHostileSpellings(t *testing.T) {
	head := func(lines ...string) []string {
		return append(append([]string{"INVITE sip:x@192.0.2.1 SIP/2.0"}, lines...), "", "")
	}
	body := func(kind string, lines ...string) []string {
		return append([]string{"MESSAGE sip:x@192.0.2.1 SIP/2.0", "From: <sip:+49301234567@h>", "Content-Type: " + kind, ""}, lines...)
	}
	for i, lines := range [][]string{
		{"INVITE sip:+49301234567@192.0.2.1;user=phone SIP/2.0", "", ""},
		{"INVITE tel:+49-30-1234567 SIP/2.0", "", ""},
		{"INVITE tel:34567;phone-context=+49301234567 SIP/2.0", "", ""},
		{"INVITE sip:%34%39301%3234567@h SIP/2.0", "", ""},
		{"INVITE sip:49301234567 SIP/2.0", "", ""},
		{"INVITE sip:49301234567.example SIP/2.0", "", ""},
		{"INVITE sip:x@h;rn=+49301234567 SIP/2.0", "", ""},
		{"INVITE sip:x;rn=+49301234567;npdi@h SIP/2.0", "", ""},
		{"INVITE sip:miller:sesame@h SIP/2.0", "", ""},
		{"INVITE sip:x@h?From=sip:+49301234567@h&Subject=miller SIP/2.0", "", ""},
		{"INVITE sip:+49301234567@h extra SIP/2.0", "", ""},
		{"INVITE http://h/49301234567 SIP/2.0", "", ""},
		{"INVITE sip:+49301234567@h@h SIP/2.0", "", ""},
		{"SIP/2.0 404 +49301234567 is not here", "", ""},
		{"SIP/2.0 404 Not Found Miller", "To: \"Ann Miller\" <sip:x@h>", "", ""},
		{"+49301234567"},
		{"GET /miller HTTP/1.1", "", "hello there"},
		head(`From: "Miller, Ann <sip:+49301234567@h>" <sip:x@h>;tag=49301234567`),
		head(`From: "Ann \"+49301234567\" Miller" <sip:x@h>`),
		head(`From: Miller <sip:x@h>;miller=49301234567`),
		head("f: sip:+49301234567@h;tag=1", "t:\"Miller\"<sip:+49301234567@h>", "m : <sip:+49301234567@h>", "i: 49301234567@miller.example"),
		head("From:", " \"Miller\"", "\t<sip:+4930", " 1234567@h>"),
		head("P-Asserted-Identity: <sip:+49301234567@h>, <tel:+49301234567>", "Remote-Party-ID: \"Miller\" <sip:49301234567@h>;party=calling"),
		head("Diversion: <sip:+49301234567@h>;reason=no-answer;counter=1", "History-Info: <sip:+49301234567@h?Reason=miller>;index=1"),
		head("r: <sip:+49301234567@h?Replaces=49301234567%40h>", "b: <sip:+49301234567@h>"),
		head("Contact: <sip:x@h>;+sip.instance=\"<urn:miller:49301234567>\"", "Contact: *, <sip:miller@h"),
		head("Via: SIP/2.0/UDP h;branch=z9hG4bK49301234567;x=miller", "Via: SIP/2.0/UDP 49301234567;received=49301234567"),
		head("X-Caller: +49301234567", "Subject: miller", "P-Charging-Vector: icid-value=49301234567", "301234567: x", "Miller"),
		head("Proxy-Authorization: Digest username=\"+49301234567\", realm=\"h\", nonce=\"n\", uri=\"sip:+49301234567@h\", response=\"sesame\", cnonce=\"KEYKEY\""),
		head("Authorization: Basic sesame", "Authorization: Bearer eyJhbGci", "Authentication-Info: rspauth=\"sesame\",nextnonce=\"n\""),
		head("Identity: eyJhbGci.x.y;info=<https://h/miller>;alg=ES256", "y: eyJhbGci"),
		head("From: <sip:+49301234567@h>", "User-Agent: phone/49301234567", "Server: 30-123 4567 of %4d%69ller", "Reason: Q.850;cause=16;text=\"+49301234567\""),
		head("From: <sip:+49301234567@h>", "User-Agent: gw of (030)1234567", "Server: 030 12 34567", "Accept: a;b=0301234567"),
		head("Warning: 399 h \"Miller isn't at 49301234567\"", "CSeq: 49301234567 INVITE", "Reason: SIP;cause=200;text=\"49301234567"),
		head("From: <sip:miller@h>", "User-Agent: (Miller)", "Server: miller"),
		head("Accept: text/plain;x=\"hello there\"", "Content-Type: text/plain;x=miller", "Session-ID: miller"),
		body("text/plain", "hello there +49301234567"),
		body("", "hello there miller"),
		body("application/dtmf-relay", "Signal=34567", "Duration=301234567"),
		body("application/sdp", "v=0", "o=miller 49301234567 1 IN IP4 h", "s=hello there", "i=miller", "u=http://miller", "e=miller", "p=+49301234567",
			"k=clear:KEYKEY", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEYKEY|2^20", "a=key-mgmt:mikey KEYKEY", "a=ice-pwd:sesame",
			"a=ssrc:1 cname:miller@h", "a=x-caller:+49301234567", "X=miller", "miller", "a=49301234567", "a=miller@:1"),
		body("multipart/mixed;boundary=miller", "--miller", "Content-Type: application/sdp", "", "v=0", "s=hello there", "a=crypto:1 A inline:KEYKEY",
			"--miller", "Content-Type: application/isup;base=miller", "", "+49301234567", "--miller--", "hello there"),
		body("multipart/mixed;boundary=a", "--a", "Content-Type: multipart/mixed;boundary=b", "", "--b", "Content-Type: application/sdp", "", "s=hello there", "--b--", "--a--"),
		body("multipart/mixed", "--a", "hello there miller"),
		{"MESSAGE sip:x@h SIP/2.0\nFrom: <sip:+49301234567@h>\n\nhello there: miller\n"},
	} {
		got := show(t, New(), lines...)
		plain := strings.ToLower(unescape(got))
		for _, s := range secrets {
			if strings.Contains(plain, strings.ToLower(s)) {
				t.Errorf("%d: %q is left of\n%s\nin\n%s", i, s, strings.Join(lines, "\n"), got)
			}
		}
	}
}

// TestTheSameNumberIsTheSamePseudonym, however it is spelt; another is another;
// another process has others.
func TestTheSameNumberIsTheSamePseudonym(t *testing.T) {
	r := New()
	pseudonym := func(r *Redactor, uri string) string {
		first, _, _ := strings.Cut(show(t, r, "OPTIONS "+uri+" SIP/2.0", "", ""), " SIP/2.0")
		_, user, _ := strings.Cut(first, ":")
		user, _, _ = strings.Cut(user, "@")
		return user
	}
	want := pseudonym(r, "sip:+49301234567@h")
	if !strings.HasPrefix(want, "+n-") {
		t.Errorf("a number with a plus becomes %q", want)
	}
	for _, same := range []string{"tel:+49-30-1234567", "sips:+49301234567@other", "sip:%2B49301234567@h", "tel:+49(30)1234567"} {
		if got := pseudonym(r, same); got != want {
			t.Errorf("%s is %s, not %s", same, got, want)
		}
	}
	if got := pseudonym(r, "sip:0049301234567@h"); got != "00"+want[1:] {
		t.Errorf("with 00 it is %s, not 00%s", got, want[1:])
	}
	if got := pseudonym(r, "sip:49301234567@h"); got != want[1:] {
		t.Errorf("without a plus it is %s, not %s", got, want[1:])
	}
	if pseudonym(r, "sip:+49301234568@h") == want || pseudonym(New(), "sip:+49301234567@h") == want {
		t.Error("another number, or another process, has the same pseudonym")
	}
}

// TestWhatAFaultIsFoundByStays: nothing of this says who calls.
func TestWhatAFaultIsFoundByStays(t *testing.T) {
	got := show(t, New(),
		"INVITE sip:100@192.0.2.1:5060;user=phone SIP/2.0",
		"Via: SIP/2.0/TCP pbx.example:5062;branch=z9hG4bKabc;rport=5062;received=192.0.2.9",
		"From: <sip:200@pbx.example>;tag=1", "To: <sip:100@[2001:db8::1]>", "CSeq: 4294967295 INVITE", "Supported: 100rel, timer",
		"Session-Expires: 1800;refresher=uac", "Reason: Q.850;cause=16;text=\"Normal call clearing\"",
		"Proxy-Authorization: Digest username=\"u\", realm=\"pbx.example\", nonce=\"abc123\", algorithm=MD5, response=\"r\"",
		"User-Agent: Asterisk PBX 20.5.0", "Date: Wed, 25 Nov 2026 14:59:24 GMT", "Diversion: <urn:service:sos.police>;reason=no-answer",
		"l: 9", "c: application/sdp", "",
		"v=0", "o=- 1 2 IN IP4 192.0.2.9", "s=x", "c=IN IP4 192.0.2.9", "t=0 0", "m=audio 4000 RTP/SAVP 8 101",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc|2^20", "a=rtpmap:101 telephone-event/8000", "a=sendonly", "")
	for _, want := range []string{"@192.0.2.1:5060;user=phone SIP/2.0\r\n", "Via: SIP/2.0/TCP pbx.example:5062;branch=z9hG4bKb-",
		";rport=5062;received=192.0.2.9\r\n", "@pbx.example>;tag=t-", "@[2001:db8::1]>\r\n", "CSeq: 4294967295 INVITE\r\n",
		"Supported: 100rel, timer\r\n", "Session-Expires: 1800;refresher=uac\r\n", "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n",
		"realm=\"pbx.example\", nonce=\"abc123\", algorithm=\"MD5\", response=\"-\"\r\n", "User-Agent: Asterisk PBX 20.5.0\r\n",
		"Date: Wed, 25 Nov 2026 14:59:24 GMT\r\n", "<urn:service:sos.police>;reason=no-answer\r\n", "c: application/sdp\r\n",
		"v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8 101\r\n",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:-\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q isn't in\n%s", want, got)
		}
	}
	_, body, _ := strings.Cut(got, "\r\n\r\n")
	if want := fmt.Sprintf("\r\nl: %d\r\n", len(body)); !strings.Contains(got, want) {
		t.Errorf("the length isn't %d in\n%s", len(body), got)
	}
}

// TestATerminalIsToldNothing: no control character and nothing but ASCII is left.
func TestATerminalIsToldNothing(t *testing.T) {
	got := show(t, New(), "OPTIONS sip:x@h SIP/2.0", "User-Agent: a\x1b[2Jb\rc\u00e9", "Content-Type: application/sdp", "", "m=a\x1b]0;x\x07", "")
	for i, c := range []byte(got) {
		if c > '~' || c < ' ' && c != '\n' && !(c == '\r' && got[i+1] == '\n') {
			t.Fatalf("byte %d is %s in %q", i, strconv.QuoteRune(rune(c)), got)
		}
	}
}

// FuzzMessage: whatever comes, a From's number isn't in what goes out.
func FuzzMessage(f *testing.F) {
	f.Add("Via: SIP/2.0/UDP h;branch=1", "v=0\r\na=crypto:1 A inline:x")
	f.Add("Contact: \"a\\", "--")
	f.Fuzz(func(t *testing.T, header, body string) {
		got := string(New().Message([]byte("INVITE sip:x@h SIP/2.0\r\nFrom: <sip:+49301234567@h>\r\n" + header + "\r\nContent-Type: application/sdp\r\n\r\n" + body)))
		if strings.Contains(got, "49301234567") {
			t.Error(got)
		}
	})
}
