package sdp_test

import (
	"net/netip"
	"strings"
	"testing"

	"consentgate/proxy/sdp"
)

// described is a description of those lines behind the usual head.
func described(lines ...string) string {
	return "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nt=0 0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

// same reports what Rewrite made of a description other than was wanted.
func same(t *testing.T, in, want string) {
	t.Helper()
	if got := rewritten(t, in); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatIsNotAnAddressPassesInItsOrder(t *testing.T) {
	lines := []string{"b=AS:84", "a=x-session:1", "m=audio %d RTP/AVP 98 9 13 0 101", "i=speech", "c=IN IP4 %s", "b=TIAS:64000", "b=RR:0", "k=clear:x",
		"a=rtpmap:98 opus/48000/2", "a=fmtp:98 useinbandfec=1; stereo=1", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16",
		"a=ptime:30", "a=maxptime:60", "a=silenceSupp:off - - - -", "a=x-unknown:α", "a=label:1", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
		"a=mid:a", "a=group:LS a", "a=ssrc:1 cname:x", "a=sendonly"}
	fill := func(port, ip string) string {
		return strings.NewReplacer("%d", port, "%s", ip).Replace(described(lines...))
	}
	same(t, fill("4000", "198.51.100.7"), fill("20000", "192.0.2.9"))
}

func TestEachSectionHasAnAddressOfItsOwn(t *testing.T) {
	in := described("c=IN IP4 198.51.100.1", "m=audio 4000 RTP/AVP 0", "m=image 4002 udptl t38", "c=IN IP4 198.51.100.2", "a=T38FaxVersion:0",
		"m=audio 4004 RTP/AVP 8", "a=rtcp:9 IN IP4 10.0.0.1", "m=application 4006 UDP/BFCP *", "m=text 0 RTP/AVP 98", "c=IN IP4 10.0.0.9", "a=rtcp:8")
	want := described("c=IN IP4 192.0.2.9", "m=audio 20000 RTP/AVP 0", "m=image 20002 udptl t38", "c=IN IP4 192.0.2.9", "a=T38FaxVersion:0",
		"m=audio 20004 RTP/AVP 8", "a=rtcp:20005", "m=application 20006 UDP/BFCP *", "m=text 0 RTP/AVP 98", "c=IN IP4 192.0.2.9")
	same(t, in, want)
	s := parse(t, in)
	for i, at := range []string{"198.51.100.1:4000", "198.51.100.2:4002", "198.51.100.1:4004", "198.51.100.1:4006"} {
		if s.Media[i].Address() != netip.MustParseAddrPort(at) {
			t.Errorf("section %d is at %v", i, s.Media[i].Address())
		}
	}
	if fax := s.Media[1].RTCP(); fax.IsValid() {
		t.Errorf("a fax's RTCP goes to %v", fax)
	}
	if got := s.Media[2].RTCP(); got != netip.MustParseAddrPort("10.0.0.1:9") {
		t.Errorf("its RTCP goes to %v", got)
	}
}

func TestBundledSectionsArePartedAndKeepTheirNames(t *testing.T) {
	same(t, described("c=IN IP4 198.51.100.1", "a=group:LS 0 1", "a=group:BUNDLE 0 1", "m=audio 4000 RTP/AVP 0", "a=mid:0", "a=rtcp-mux",
		"m=video 4000 RTP/AVP 96", "a=mid:1", "a=rtcp-mux-only", "a=bundle-only"),
		described("c=IN IP4 192.0.2.9", "a=group:LS 0 1", "m=audio 20000 RTP/AVP 0", "a=mid:0", "m=video 20002 RTP/AVP 96", "a=mid:1"))
}

func TestWhatLeadsMediaRoundIsTakenOutOfEverySection(t *testing.T) {
	same(t, described("a=ice-lite", "a=ice-options:trickle", "m=audio 4000 RTP/AVP 0", "c=IN IP4 198.51.100.1", "a=altc:1 IP6 2001:db8::1 9",
		"m=video 4002 RTP/AVP 96", "c=IN IP4 198.51.100.1", "a=candidate:1 1 UDP 1 10.0.0.1 9 typ host", "a=remote-candidates:1 10.0.0.1 9",
		"a=end-of-candidates", "a=ice-ufrag:x", "a=ice-pwd:y"),
		described("m=audio 20000 RTP/AVP 0", "c=IN IP4 192.0.2.9", "m=video 20002 RTP/AVP 96", "c=IN IP4 192.0.2.9"))
}

func TestSeveralPortsAndMulticastTTLsBecomeOneOfOurs(t *testing.T) {
	same(t, described("m=video 4000/2 RTP/AVP 31", "c=IN IP4 224.2.1.1/127/2", "m=audio 0/2 RTP/AVP 0", "c=IN IP4 198.51.100.1/127"),
		described("m=video 20000 RTP/AVP 31", "c=IN IP4 192.0.2.9", "m=audio 0 RTP/AVP 0", "c=IN IP4 192.0.2.9"))
}

func TestBothFamiliesBecomeOurs(t *testing.T) {
	six := netip.MustParseAddrPort("[2001:db8::9]:20000")
	rewrite := func(lines ...string) string {
		return string(parse(t, described(lines...)).Rewrite(sdp.Change{Own: six.Addr(), At: []netip.AddrPort{six}}))
	}
	if got := rewrite("c=IN IP4 198.51.100.1", "m=audio 4000 RTP/AVP 0"); got != described("c=IN IP6 2001:db8::9", "m=audio 20000 RTP/AVP 0") {
		t.Error(got)
	}
	if got := rewrite("c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"); got != described("c=IN IP6 ::", "m=audio 20000 RTP/AVP 0") {
		t.Error("a hold must stay one:\n" + got)
	}
	same(t, described("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"), described("m=audio 20000 RTP/AVP 0", "c=IN IP4 192.0.2.9"))
}

func TestALastLineWithoutAnEndStaysSo(t *testing.T) {
	in := strings.TrimSuffix(described("c=IN IP4 198.51.100.1", "m=audio 4000 RTP/AVP 0"), "\r\n")
	same(t, in, strings.NewReplacer("c=IN IP4 198.51.100.1", "c=IN IP4 192.0.2.9", "4000", "20000").Replace(in))
}

func TestTheAudioIsTheFirstThatCanBeHeard(t *testing.T) {
	for want, lines := range map[int][]string{
		0:  {"m=audio 0 RTP/AVP 0", "m=image 4 udptl t38", "m=audio 0 RTP/AVP 0"},
		3:  {"m=audio 0 RTP/AVP 0", "m=audio 4 RTP/SAVP 0", "m=audio 0 RTP/AVP 0", "m=audio 4 RTP/AVP 0"},
		1:  {"m=audio 4 RTP/SAVP 0", "m=audio 4 RTP/AVPF 0", "m=audio 6 RTP/AVP 0"},
		2:  {"m=video 4 RTP/AVP 31", "m=audio 4 UDP/TLS/RTP/SAVPF 0", "m=AUDIO 4 rtp/avp 0"},
		-1: {"m=image 4 udptl t38", "m=audio 4 RTP/SAVP 0"},
	} {
		s := parse(t, described(lines...))
		if a := s.Audio(); want < 0 && a != nil || want >= 0 && a != s.Media[want] {
			t.Errorf("%q: %+v", lines, a)
		}
	}
}

func TestAnAnswersAudioAnswersTheOffers(t *testing.T) {
	offer := parse(t, described("m=audio 4 RTP/SAVP 0", "m=audio 6 RTP/AVP 0"))
	answer := parse(t, described("m=audio 0 RTP/AVP 0", "m=audio 8 RTP/AVP 0"))
	if answer.Follow(offer); answer.Audio() != answer.Media[1] {
		t.Errorf("it's %+v", answer.Audio())
	}
	for _, lines := range [][]string{{"m=audio 0 RTP/AVP 0"}, {"m=audio 0 RTP/AVP 0", "m=image 8 udptl t38"}} {
		answer := parse(t, described(lines...))
		if answer.Follow(offer); answer.Audio() != nil {
			t.Errorf("%q: it's %+v", lines, answer.Audio())
		}
	}
	answer.Follow(parse(t, described("m=image 4 udptl t38")))
	if answer.Audio() != nil {
		t.Error("an answer to no audio has some")
	}
}

func TestOnlyDatagramsBetweenTwoAddressesAreCarried(t *testing.T) {
	for section, want := range map[string]bool{
		"m=audio 4 RTP/AVP 0\r\nc=IN IP4 1.2.3.4":               true,
		"m=audio 4 RTP/AVP 0\r\nc=IN IP4 0.0.0.0":               true,
		"m=audio 4 UDP/TLS/RTP/SAVP 0\r\nc=IN IP6 2001:db8::1":  true,
		"m=image 4 udptl t38\r\nc=IN IP4 1.2.3.4":               true,
		"m=application 4 UDP/BFCP *\r\nc=IN IP4 1.2.3.4":        true,
		"m=application 4 udp x\r\nc=IN IP4 1.2.3.4":             true,
		"m=message 4 TCP/MSRP *\r\nc=IN IP4 1.2.3.4":            false,
		"m=application 4 TCP/BFCP *\r\nc=IN IP4 1.2.3.4":        false,
		"m=audio 4 TCP/RTP/AVP 0\r\nc=IN IP4 1.2.3.4":           false,
		"m=application 4 SCTP x\r\nc=IN IP4 1.2.3.4":            false,
		"m=audio 4 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127":         false,
		"m=audio 4 RTP/AVP 0\r\nc=IN IP6 ff15::101/3":           false,
		"m=audio 4 RTP/AVP 0\r\nc=IN IP4 phone.example.com":     false,
		"m=audio 4 RTP/AVP 0":                                   false,
		"m=audio 4 UDPLITE/RTP/AVP 0\r\nc=IN IP4 198.51.100.99": false,
	} {
		if got := parse(t, described(section)).Media[0].Carried(); got != want {
			t.Errorf("%q: %v", section, got)
		}
	}
}

func TestADescriptionIsCarriedByItsAudioOrElseByAnything(t *testing.T) {
	const ip, host = "\r\nc=IN IP4 1.2.3.4", "\r\nc=IN IP4 phone.example.com"
	for sections, want := range map[string]bool{
		"m=audio 4 RTP/AVP 0" + ip:                                            true,
		"m=audio 4 RTP/AVP 0" + ip + "\r\nm=message 4 TCP/MSRP *" + ip:        true,
		"m=audio 4 RTP/AVP 0" + host + "\r\nm=video 4 RTP/AVP 31" + ip:        false,
		"m=message 4 TCP/MSRP *" + ip:                                         false,
		"m=audio 0 RTP/AVP 0" + ip + "\r\nm=image 4 TCP t38" + ip:             false,
		"m=audio 0 RTP/AVP 0" + ip + "\r\nm=image 4 udptl t38" + ip:           true,
		"m=audio 0 RTP/AVP 0" + host:                                          true,
		"m=message 4 TCP/MSRP *" + ip + "\r\nm=application 4 UDP/BFCP *" + ip: true,
		"": false,
	} {
		if got := parse(t, described(sections)).Carried(); got != want {
			t.Errorf("%q: %v", sections, got)
		}
	}
}
