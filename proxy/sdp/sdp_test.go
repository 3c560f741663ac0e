package sdp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"consentgate/proxy/sdp"
)

var own = netip.MustParseAddrPort("192.0.2.9:20000")

const offer = "v=0\r\n" +
	"o=- 1 1 IN IP4 198.51.100.1\r\n" +
	"s=-\r\n" +
	"c=IN IP4 198.51.100.1\r\n" +
	"t=0 0\r\n" +
	"a=x-carrier:kept as it is\r\n" +
	"m=audio 4000 RTP/AVP 18 8 0 101\r\n" +
	"a=rtpmap:18 G729/8000\r\n" +
	"a=fmtp:18 annexb=no\r\n" +
	"a=rtpmap:8 PCMA/8000\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\n" +
	"a=fmtp:101 0-15\r\n" +
	"a=ptime:30\r\n" +
	"a=rtcp:4007\r\n" +
	"a=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\n" +
	"a=ice-ufrag:abcd\r\n" +
	"a=rtcp-mux\r\n" +
	"a=sendrecv\r\n" +
	"m=video 4002 RTP/AVP 96\r\n" +
	"a=rtpmap:96 H264/90000\r\n"

// everywhere has an address of ours for every section: 20000 for the first, the
// next even port for each further one.
func everywhere(s *sdp.Session) sdp.Change {
	c := sdp.Change{Own: own.Addr()}
	for i := range s.Media {
		c.At = append(c.At, netip.AddrPortFrom(own.Addr(), own.Port()+uint16(2*i)))
	}
	return c
}

func parse(t *testing.T, body string) *sdp.Session {
	t.Helper()
	s, err := sdp.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rewritten(t *testing.T, body string) string {
	t.Helper()
	s := parse(t, body)
	return string(s.Rewrite(everywhere(s)))
}

func TestRewritePutsOnlyOurAddressesIn(t *testing.T) {
	want := strings.NewReplacer("c=IN IP4 198.51.100.1", "c=IN IP4 192.0.2.9", "m=audio 4000", "m=audio 20000",
		"a=rtcp:4007", "a=rtcp:20001", "m=video 4002", "m=video 20002",
		"a=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\n", "", "a=ice-ufrag:abcd\r\n", "", "a=rtcp-mux\r\n", "").Replace(offer)
	if got := rewritten(t, offer); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestASectionWithoutAnAddressOfOursIsRefused(t *testing.T) {
	got := string(parse(t, offer).Rewrite(sdp.Change{Own: own.Addr(), At: []netip.AddrPort{own}}))
	if !strings.Contains(got, "m=audio 20000 ") || !strings.Contains(got, "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n") {
		t.Error(got)
	}
}

func TestRewriteTwiceIsRewriteOnce(t *testing.T) {
	once := rewritten(t, offer)
	if twice := rewritten(t, once); twice != once {
		t.Errorf("got\n%s\nthen\n%s", once, twice)
	}
}

func narrowed(t *testing.T, keep func(sdp.Codec) bool) string {
	t.Helper()
	s := parse(t, offer)
	c := everywhere(s)
	c.Keep = keep
	return string(s.Rewrite(c))
}

func TestNarrowingDropsACodecWithItsLines(t *testing.T) {
	got := narrowed(t, func(c sdp.Codec) bool { return c.Name != "G729" })
	if strings.Contains(got, ":18 ") || !strings.Contains(got, "m=audio 20000 RTP/AVP 8 0 101\r\n") {
		t.Error(got)
	}
}

func TestNarrowingNeverLeavesNoSpeech(t *testing.T) {
	got := narrowed(t, func(c sdp.Codec) bool { return c.Name == "TELEPHONE-EVENT" })
	if !strings.Contains(got, "m=audio 20000 RTP/AVP 18 8 0 101\r\n") {
		t.Error(got)
	}
}

func TestNarrowingTouchesTheAudioAlone(t *testing.T) {
	got := narrowed(t, func(c sdp.Codec) bool { return c.Name == "PCMU" })
	if !strings.Contains(got, "m=audio 20000 RTP/AVP 0\r\n") || !strings.Contains(got, "m=video 20002 RTP/AVP 96\r\na=rtpmap:96") {
		t.Error(got)
	}
}

func TestReadsWhatMediaNeeds(t *testing.T) {
	m := parse(t, offer).Audio()
	if m.Address() != netip.MustParseAddrPort("198.51.100.1:4000") || m.RTCP().Port() != 4007 ||
		m.Ptime() != 30*time.Millisecond || m.Direction() != sdp.SendRecv {
		t.Errorf("%v %v %v %v", m.Address(), m.RTCP(), m.Ptime(), m.Direction())
	}
	names := ""
	for _, c := range m.Codecs() {
		names += c.Name + " "
	}
	if names != "G729 PCMA PCMU TELEPHONE-EVENT " {
		t.Error(names)
	}
}

func TestHoldInEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		change    [2]string
		direction sdp.Direction
		address   bool
	}{
		"sendonly":        {[2]string{"a=sendrecv", "a=sendonly"}, sdp.SendOnly, true},
		"inactive":        {[2]string{"a=sendrecv", "a=inactive"}, sdp.Inactive, true},
		"recvonly":        {[2]string{"a=sendrecv", "a=recvonly"}, sdp.RecvOnly, true},
		"no attribute":    {[2]string{"a=sendrecv\r\n", ""}, sdp.SendRecv, true},
		"null address":    {[2]string{"c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"}, sdp.SendOnly, false},
		"session's level": {[2]string{"a=x-carrier:kept as it is", "a=inactive"}, sdp.Inactive, true},
		"both levels":     {[2]string{"a=x-carrier:kept as it is", "a=inactive"}, sdp.SendRecv, true},
	} {
		body := strings.Replace(offer, c.change[0], c.change[1], 1)
		if name == "session's level" {
			body = strings.Replace(body, "a=sendrecv\r\n", "", 1)
		}
		m := parse(t, body).Audio()
		if m.Direction() != c.direction || m.Address().IsValid() != c.address {
			t.Errorf("%s: %s, address %v", name, m.Direction(), m.Address())
		}
		if name == "null address" {
			if got := rewritten(t, body); !strings.Contains(got, "c=IN IP4 0.0.0.0") {
				t.Errorf("a hold must stay one:\n%s", got)
			}
		}
	}
}

func TestARejectedSectionStaysRejected(t *testing.T) {
	body := strings.Replace(offer, "m=audio 4000", "m=audio 0", 1)
	if parse(t, body).Audio().Address().IsValid() || !strings.Contains(rewritten(t, body), "m=audio 0 ") {
		t.Error("port 0 must stay")
	}
}

func TestWhatIsNotSDPIsRefused(t *testing.T) {
	for _, body := range []string{"", "hello", "v=1\r\n", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio x RTP/AVP 0\r\n",
		"v=0\r\nm=audio 70000 RTP/AVP 0\r\n"} {
		if _, err := sdp.Parse([]byte(body)); err == nil {
			t.Errorf("%q was read", body)
		}
	}
}

// FuzzRewrite: whatever comes from the network, nothing panics, a rewrite is
// stable, and no foreign address is left where media would go.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte(offer))
	f.Add([]byte(strings.ReplaceAll(offer, "\r\n", "\n")))
	f.Add([]byte("v=0\r\nm=audio 0 RTP/AVP\r\nc=IN IP4 0.0.0.0\r\n"))
	f.Add([]byte("v=0\r\nc=IN IP6 2001:db8::1\r\nm=audio 9/2 RTP/SAVP 0\r\na=rtcp:1 IN IP4 x\r\n"))
	f.Add([]byte("v=0\r\nc=IN IP4 192.0.2.1\r\na=group:BUNDLE 0 1\r\nm=image 9 udptl t38\r\nm=audio 7 RTP/AVP 0\r\na=mid:1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := sdp.Parse(body)
		if err != nil {
			return
		}
		s.Carried()
		for _, m := range s.Media {
			m.Address()
			m.RTCP()
			m.Direction()
			m.Codecs()
			m.Ptime()
			m.Carried()
		}
		once := s.Rewrite(everywhere(s))
		again, err := sdp.Parse(once)
		if err != nil {
			t.Fatalf("our own output isn't read: %v\n%q", err, once)
		}
		if len(again.Media) != len(s.Media) {
			t.Fatalf("%d sections became %d", len(s.Media), len(again.Media))
		}
		for i, m := range again.Media {
			if a := m.Address(); a.IsValid() && a != everywhere(s).At[i] {
				t.Fatalf("media would go to %v", a)
			}
		}
		if twice := again.Rewrite(everywhere(again)); string(twice) != string(once) {
			t.Fatalf("not stable:\n%q\n%q", once, twice)
		}
	})
}
