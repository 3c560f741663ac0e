package proxy

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

const description = "v=0\r\nm=audio 4000 RTP/AVP 0\r\n"

// withBody is an INVITE of that type and body; "\n" stands for CRLF, "SDP" for a
// description.
func withBody(contentType, body string) *sip.Request {
	req := sip.NewRequest(sip.INVITE, sip.Uri{Host: "h"})
	req.AppendHeader(sip.NewHeader("c", contentType))
	req.SetBody([]byte(filled(body, description)))
	return req
}

func filled(body, description string) string {
	return strings.ReplaceAll(strings.ReplaceAll(body, "\n", "\r\n"), "SDP", description)
}

const isup = "--b\nContent-Type: application/ISUP;version=itu-t92+\nContent-Disposition: signal\n\n\x01\x11\x00\nv=0\x00\n"

func TestADescriptionIsFoundAndReplacedWhereverItLies(t *testing.T) {
	const mixed = `multipart/mixed;boundary="b"`
	for name, c := range map[string]struct{ contentType, body string }{
		"alone":               {"Application/SDP; charset=utf-8", "SDP"},
		"first part":          {mixed, "--b\nContent-Type: application/sdp\n\nSDP\n" + isup + "--b--\n"},
		"last part":           {mixed, "preamble\n" + isup + "--b  \ncontent-type : application/sdp ; x=y\nContent-Disposition: session;handling=required\n\nSDP\n--b--\nepilogue"},
		"folded headers":      {mixed, "--b\nContent-Type:\n application/sdp\nContent-Transfer-Encoding: 8bit\n\nSDP\n--b--"},
		"no headers but it":   {"MULTIPART/related; boundary=b;type=x", isup + "--b\n\nno type\n--b\nContent-Type: application/sdp\n\nSDP\n--b--"},
		"never closed":        {mixed, "--b\nContent-Type: application/sdp\n\nSDP"},
		"longer boundary too": {mixed, "--b\nContent-Type: application/sdp\n\nSDP--bc\n--b--"},
		"within another": {mixed, isup + "--b\nContent-Type: multipart/alternative;boundary=\"in (side)\"\n\n--in (side)\nContent-Type: text/plain\n\nx" +
			"\n--in (side)\nContent-Type: application/sdp\n\nSDP\n--in (side)--\n--b--\n"},
		"early media's is another": {mixed, "--b\nContent-Type: application/sdp\nContent-Disposition: early-session\n\nv=0\n--b\nContent-Type: application/sdp\n\nSDP\n--b--\n"},
		"empty parts":              {mixed, "--b\n--b\nContent-Type: application/sdp\n\nSDP\n--b--\n"},
	} {
		m := withBody(c.contentType, c.body)
		want := description
		if name == "longer boundary too" {
			want += "--bc"
		}
		if !hasSDP(m) || string(sdpOf(m)) != want {
			t.Errorf("%s: found %q", name, sdpOf(m))
			continue
		}
		other := "v=0\r\nm=audio 20000 RTP/AVP 0\r\n"
		expected := filled(c.body, other)
		if name == "longer boundary too" {
			expected = filled(strings.Replace(c.body, "SDP--bc", "SDP", 1), other)
		}
		if got := string(withSDP(m, []byte(other))); got != expected {
			t.Errorf("%s: got\n%q\nwant\n%q", name, got, expected)
		}
	}
}

func TestAPartsOwnLengthFollowsItsContent(t *testing.T) {
	const mixed = "multipart/mixed;boundary=b"
	body := "--b\nContent-Type: text/plain\nContent-Length: 1\n\nx\n--b\ncontent-length: 99\nContent-Type: application/sdp\n\nSDP\n--b\nContent-Length: 3\n\nSIP\n--b--\n"
	if got, want := string(withSDP(withBody(mixed, body), []byte("v=0\r\n"))), filled(strings.Replace(body, "99", "5", 1), "v=0\r\n"); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	body = "--b\nContent-Length: 1\n\nx\n--b\nContent-Type: application/sdp\n\nSDP\n--b--\n"
	if got, want := string(withSDP(withBody(mixed, body), []byte("v=0\r\n"))), filled(body, "v=0\r\n"); got != want {
		t.Errorf("another part's length was changed: got\n%q\nwant\n%q", got, want)
	}
}

func TestWhatHoldsNoDescriptionOfTheSessionIsLeftAlone(t *testing.T) {
	nested := "SDP"
	kind := "application/sdp"
	for i := range maxNesting + 1 {
		b := string(rune('p' + i))
		nested = "--" + b + "\nContent-Type: " + kind + "\n\n" + nested + "\n--" + b + "--"
		kind = "multipart/mixed;boundary=" + b
	}
	for name, c := range map[string]struct{ contentType, body string }{
		"no body":           {"application/sdp", ""},
		"another type":      {"application/sdpx", "SDP"},
		"no boundary":       {"multipart/mixed", isup},
		"no such part":      {"multipart/mixed;boundary=b", isup + "--b--"},
		"base64":            {"multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\nContent-Transfer-Encoding: base64\n\ndj0w\n--b--"},
		"compressed":        {"multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\nContent-Encoding: gzip\n\nSDP\n--b--"},
		"behind the end":    {"multipart/mixed;boundary=b", isup + "--b--\n--b\nContent-Type: application/sdp\n\nSDP\n--b--"},
		"headers only":      {"multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\n--b--"},
		"early media alone": {"multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\nContent-Disposition: Early-Session\n\nSDP\n--b--"},
		"too deep":          {kind, nested},
	} {
		if m := withBody(c.contentType, c.body); hasSDP(m) {
			t.Errorf("%s: found %q", name, sdpOf(m))
		}
	}
}

// FuzzBodies: whatever a body is, what isn't the description stays.
func FuzzBodies(f *testing.F) {
	f.Add("multipart/mixed;boundary=b", filled(isup+"--b\nContent-Type: application/sdp\n\nSDP\n--b--\n", description))
	f.Add("multipart/mixed;boundary=b", "--b\n\n--b\n--b--")
	f.Add("application/sdp", description)
	f.Fuzz(func(t *testing.T, contentType, body string) {
		req := sip.NewRequest(sip.INVITE, sip.Uri{Host: "h"})
		req.AppendHeader(sip.NewHeader("Content-Type", contentType))
		req.SetBody([]byte(body))
		if !hasSDP(req) {
			return
		}
		if got := string(withSDP(req, sdpOf(req))); len(got) != len(body) && !partLength.MatchString(body) || !strings.Contains(got, string(sdpOf(req))) {
			t.Fatalf("%q became %q", body, got)
		}
	})
}
