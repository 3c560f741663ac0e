package sdp_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"consentgate/proxy/sdp"
)

// sealed is the offer with SRTP.
var sealed = strings.NewReplacer("m=audio 4000 RTP/AVP 18", "m=audio 4000 RTP/SAVP 18",
	"a=sendrecv\r\nm=video", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:one\r\na=crypto:2 X inline:two\r\na=sendrecv\r\nm=video").Replace(offer)

func TestProtectionIsReadOfTheLiveAudio(t *testing.T) {
	p, ok := parse(t, sealed).Protection()
	if !ok || p.Proto != "RTP/SAVP" || !p.Sealed() || p.Clear() || p.Refused ||
		!slices.Equal(p.Crypto, []string{"1 AES_CM_128_HMAC_SHA1_80 inline:one", "2 X inline:two"}) {
		t.Errorf("%+v", p)
	}
	refusedFirst := strings.Replace(sealed, "m=audio 4000", "m=audio 0 RTP/AVP 0\r\nm=audio 4000", 1)
	if p, ok = parse(t, refusedFirst).Protection(); !ok || !p.Sealed() || p.Refused {
		t.Errorf("%+v", p)
	}
	if p, ok = parse(t, strings.Replace(sealed, "m=audio 4000", "m=audio 0", 1)).Protection(); !ok || !p.Refused {
		t.Errorf("%+v", p)
	}
	if p, ok = parse(t, offer).Protection(); !ok || !p.Clear() || p.Sealed() || len(p.Crypto) != 0 {
		t.Errorf("%+v", p)
	}
	if _, ok = parse(t, "v=0\r\nm=image 4000 udptl t38\r\n").Protection(); ok {
		t.Error("a fax has audio")
	}
}

// TestUnsealingTakesOutKeysAndProfile, and nothing else; sealing puts them in.
func TestUnsealingTakesOutKeysAndProfile(t *testing.T) {
	dtls := strings.NewReplacer("t=0 0\r\n", "t=0 0\r\na=fingerprint:sha-256 AA\r\n", "a=sendrecv\r\nm=video", "a=setup:actpass\r\na=tls-id:1\r\na=sendrecv\r\nm=video").Replace(sealed)
	anchored := sdp.Change{Own: own.Addr(), At: []netip.AddrPort{own}}
	s := parse(t, dtls)
	s.Unseal()
	if got := string(sdp.WithKeys(s.Rewrite(anchored), nil, nil)); got != string(parse(t, offer).Rewrite(anchored)) {
		t.Errorf("got\n%s", got)
	}
	if s.Audio() != s.Media[0] {
		t.Error("its audio can't be played to")
	}
	for _, c := range []struct{ proto, want string }{{"RTP/AVP", "RTP/SAVP"}, {"RTP/AVPF", "RTP/SAVPF"}, {"UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVP"}} {
		body := strings.Replace(offer, "RTP/AVP 18", c.proto+" 18", 1)
		got := string(sdp.WithKeys([]byte(body), sdp.Seal, []string{"1 X inline:mine"}))
		want := strings.NewReplacer(c.proto+" 18", c.want+" 18", "a=sendrecv\r\nm=video", "a=sendrecv\r\na=crypto:1 X inline:mine\r\nm=video").Replace(body)
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.proto, got, want)
		}
	}
	if got := string(sdp.WithKeys([]byte("rubbish"), sdp.Seal, []string{"1"})); got != "rubbish" {
		t.Error(got)
	}
}
