package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"consentgate/proxy/sdp"
)

// offering is a description with those payload types, by number and rtpmap.
func offering(t *testing.T, formats string, maps ...string) *sdp.Session {
	t.Helper()
	body := "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP " + formats + "\r\n"
	for _, m := range maps {
		body += "a=rtpmap:" + m + "\r\n"
	}
	s, err := sdp.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOffersKeepWhatCanBePlayedInTheirOrder, and the keys that go with it; not
// stereo, nor other rates, nor codecs that we have no encoder of.
func TestOffersKeepWhatCanBePlayedInTheirOrder(t *testing.T) {
	own := netip.MustParseAddrPort("192.0.2.1:20000")
	for name, c := range map[string]struct {
		formats string
		maps    []string
		want    string
	}{
		"all of it": {"111 9 97 98 99 100 18 8 0 101 102 103 13", []string{"111 opus/48000/2", "97 L16/16000", "98 L16/8000/1", "99 L16/16000/2",
			"100 L16/44100", "101 telephone-event/8000", "102 telephone-event/16000", "103 telephone-event/48000"}, "9 97 98 8 0 101 102 13"},
		"G.722 alone":           {"9 18 101", []string{"101 telephone-event/8000"}, "9 101"},
		"nothing to play it in": {"18 111 101", []string{"111 opus/48000/2", "101 telephone-event/8000"}, "18 111 101"},
	} {
		out := string(offering(t, c.formats, c.maps...).Rewrite(sdp.Change{At: []netip.AddrPort{own}, Keep: keepPlayable}))
		if !strings.Contains(out, "m=audio 20000 RTP/AVP "+c.want+"\r\n") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}

// TestACallerIsAnsweredInACodecThatTheCalledPartyMustHave if it offers one, else
// in the first that prompts have.
func TestACallerIsAnsweredInACodecThatTheCalledPartyMustHave(t *testing.T) {
	for formats, want := range map[string]string{"9 97 8 0": "PCMA/8000", "18 0 8": "PCMU/8000", "18 97 9": "L16/16000", "18 9": "G722/8000", "18": ""} {
		s := offering(t, formats+" 101 102", "97 L16/16000", "101 telephone-event/8000", "102 telephone-event/16000")
		codec, ok := agreeable(s.Audio().Codecs())
		if ok != (want != "") {
			t.Errorf("%s: %+v", formats, codec)
		}
		if !ok {
			continue
		}
		answer, err := s.Answer(netip.MustParseAddrPort("192.0.2.1:20000"), codec, 1, 1)
		events := " telephone-event/" + want[strings.Index(want, "/")+1:]
		if err != nil || !strings.Contains(string(answer), " "+want+"\r\n") || !strings.Contains(string(answer), events+"\r\n") ||
			strings.Count(string(answer), "a=rtpmap:") != 2 {
			t.Errorf("%s is answered %s %v", formats, answer, err)
		}
		keys, _ := s.Audio().Keys(codec.ClockRate)
		r := ringFirst{codec: codec, keys: keys.ClockRate}
		if !r.fits(s) {
			t.Errorf("%s doesn't fit its own offer", formats)
		}
		if out := string(s.Rewrite(sdp.Change{At: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:20002")}, Keep: r.keeps})); strings.Count(out, "a=rtpmap:") > 2 ||
			!strings.Contains(out, events) {
			t.Errorf("%s is offered as\n%s", formats, out)
		}
	}
}

// TestKeysOfATelephoneThatHasThemAt8kHzOnlyAreTaken with a codec of 16 kHz, too.
func TestKeysOfATelephoneThatHasThemAt8kHzOnlyAreTaken(t *testing.T) {
	s := offering(t, "97 101", "97 L16/16000", "101 telephone-event/8000")
	codec, _ := agreeable(s.Audio().Codecs())
	answer, err := s.Answer(netip.MustParseAddrPort("192.0.2.1:20000"), codec, 1, 1)
	if err != nil || !strings.Contains(string(answer), "a=rtpmap:101 telephone-event/8000\r\n") {
		t.Errorf("it is answered %s %v", answer, err)
	}
	if _, ok := offering(t, "97 101", "97 L16/16000", "101 telephone-event/48000").Audio().Keys(16000); ok {
		t.Error("keys at 48 kHz were taken")
	}
}
