package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"consentgate/consent"
	"consentgate/media/srtp"
	"consentgate/proxy"
)

// TestOffersOfSRTP: what becomes of each kind of offer, by what the two sides
// are to do and whether somebody is to be asked.
func TestOffersOfSRTP(t *testing.T) {
	theirs := srtp.New(3, "AES_CM_128_HMAC_SHA1_80").Attribute()
	const foreign = "1 F8_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	offers := map[string]struct {
		proto string
		keys  []string
	}{"clear": {"RTP/AVP", nil}, "perhaps": {"RTP/AVP", []string{theirs}}, "certainly": {"RTP/SAVP", []string{theirs}},
		"feedback": {"RTP/SAVPF", []string{theirs}}, "foreign": {"RTP/SAVP", []string{foreign}}, "dtls": {"UDP/TLS/RTP/SAVP", nil}}
	for _, c := range []struct {
		carrier, pbx proxy.SRTP
		asked        bool
		offer        string
		proto, keys  string // "488"; keys: none, theirs, ours
	}{
		{off, off, false, "clear", "RTP/AVP", "none"}, {off, off, false, "perhaps", "RTP/AVP", "theirs"},
		{off, off, false, "certainly", "RTP/SAVP", "theirs"}, {off, off, false, "dtls", "UDP/TLS/RTP/SAVP", "none"},
		{off, off, true, "perhaps", "RTP/AVP", "none"}, {off, off, true, "certainly", "RTP/SAVP", "theirs"},
		{optional, optional, false, "clear", "RTP/AVP", "none"}, {optional, optional, false, "perhaps", "RTP/AVP", "theirs"},
		{optional, optional, false, "certainly", "RTP/SAVP", "theirs"}, {optional, optional, false, "foreign", "RTP/SAVP", "theirs"},
		{optional, optional, true, "clear", "RTP/AVP", "none"}, {optional, optional, true, "perhaps", "RTP/AVP", "ours"},
		{optional, optional, true, "certainly", "RTP/SAVP", "ours"}, {optional, optional, true, "feedback", "RTP/SAVPF", "ours"},
		{optional, optional, true, "foreign", "RTP/SAVP", "theirs"}, {optional, optional, true, "dtls", "UDP/TLS/RTP/SAVP", "none"},
		{required, required, false, "clear", "488", ""}, {required, required, false, "certainly", "RTP/SAVP", "theirs"},
		{required, required, false, "perhaps", "RTP/SAVP", "ours"}, {required, required, false, "dtls", "488", ""},
		{required, required, true, "certainly", "RTP/SAVP", "ours"}, {required, required, true, "clear", "488", ""},
		{off, required, true, "clear", "RTP/SAVP", "ours"}, {off, required, false, "clear", "RTP/SAVP", "ours"},
		{off, required, true, "perhaps", "RTP/SAVP", "ours"}, {off, required, true, "dtls", "488", ""},
		{off, required, true, "certainly", "RTP/SAVP", "theirs"},
		{off, optional, true, "clear", "RTP/AVP", "ours"}, {off, optional, false, "clear", "RTP/AVP", "ours"},
		{optional, off, true, "certainly", "RTP/AVP", "none"}, {optional, off, false, "certainly", "RTP/AVP", "none"},
		{optional, off, true, "feedback", "RTP/AVPF", "none"}, {optional, off, true, "perhaps", "RTP/AVP", "none"},
		{optional, required, true, "clear", "RTP/SAVP", "ours"}, {optional, required, true, "foreign", "RTP/SAVP", "theirs"},
		{required, off, true, "clear", "488", ""}, {required, off, true, "certainly", "RTP/AVP", "none"},
		{required, off, true, "perhaps", "RTP/AVP", "none"}, {required, optional, true, "certainly", "RTP/AVP", "ours"},
		{required, off, true, "foreign", "RTP/SAVP", "theirs"},
	} {
		t.Run(fmt.Sprintf("%d to %d, asked %t, %s", c.carrier, c.pbx, c.asked, c.offer), func(t *testing.T) {
			t.Parallel()
			policies := consent.Policies{}
			if c.asked {
				policies = asking()
			}
			w := newSealedWorld(t, c.carrier, c.pbx, policies)
			o := offers[c.offer]
			invite, refused := w.invite(w.described(0, o.proto, o.keys...))
			if c.proto == "488" {
				if refused != "SIP/2.0 488 Not Acceptable Here" || w.counted(t, "consentgate_sip_rejected_total", "no_srtp") != 1 {
					t.Errorf("%q", refused)
				}
				return
			}
			if invite == nil {
				t.Fatalf("refused with %q", refused)
			}
			invite.reply(answer(invite.text, "486 Busy Here", "t1"))
			proto, keys := keysIn(invite.text)
			is := "none"
			switch {
			case len(keys) == 1 && keys[0] == strings.Join(o.keys, ""):
				is = "theirs"
			case len(keys) > 0:
				is = "ours"
				for _, k := range keys {
					parsedKey(t, k)
				}
			}
			if proto != c.proto || is != c.keys || is == "ours" && strings.Contains(invite.text, theirs[10:]) {
				t.Errorf("%s with keys of %s:\n%s", proto, is, invite.text)
			}
		})
	}
}

// TestEmergencyCallsNeedNoKeys: a bypass policy's calls are taken and passed as
// they are; towards a side that must have keys there are some.
func TestEmergencyCallsNeedNoKeys(t *testing.T) {
	t.Parallel()
	w := newSealedWorld(t, required, required, bypassing())
	invite, refused := w.invite(w.described(0, "RTP/AVP"))
	if invite == nil {
		t.Fatal(refused)
	}
	if got := w.accept(invite, w.described(1, "RTP/AVP")); !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Error(got)
	}
	w = newSealedWorld(t, off, required, bypassing())
	if invite, refused = w.invite(w.described(0, "RTP/AVP")); invite == nil {
		t.Fatal(refused)
	}
	if proto, keys := keysIn(invite.text); proto != "RTP/SAVP" || len(keys) == 0 {
		t.Error(invite.text)
	}
}

// TestAnAnswerWithoutKeysEndsTheCall where the side must have them: the one who
// answered is hung up on, the caller gets a 488.
func TestAnAnswerWithoutKeysEndsTheCall(t *testing.T) {
	for name, answered := range map[string]func(w *sealedWorld, invite *got) string{
		"another profile": func(w *sealedWorld, _ *got) string { return w.described(1, "RTP/AVP") },
		"no key":          func(w *sealedWorld, _ *got) string { return w.described(1, "RTP/SAVP") },
		"another tag": func(w *sealedWorld, _ *got) string {
			return w.described(1, "RTP/SAVP", srtp.New(9, "AES_CM_128_HMAC_SHA1_80").Attribute())
		},
		"another suite": func(w *sealedWorld, _ *got) string {
			return w.described(1, "RTP/SAVP", srtp.New(1, "AES_CM_128_HMAC_SHA1_32").Attribute())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSealedWorld(t, off, required, asking())
			invite, refused := w.invite(w.described(0, "RTP/AVP"))
			if invite == nil {
				t.Fatal(refused)
			}
			if got := w.accept(invite, answered(w, invite)); !strings.HasPrefix(got, "SIP/2.0 488") {
				t.Error(got)
			}
			w.pbx.next("ACK")
			bye := w.pbx.next("BYE")
			bye.reply(answer(bye.text, "200 OK", ""))
			eventually(t, "the call is over", func() bool { return w.counted(t, "consentgate_calls_active") == 0 })
		})
	}
}

func TestAnEarlyAnswerWithoutKeysCancelsTheCall(t *testing.T) {
	t.Parallel()
	w := newSealedWorld(t, off, required, asking())
	invite, refused := w.invite(w.described(0, "RTP/AVP"))
	if invite == nil {
		t.Fatal(refused)
	}
	invite.reply(withBody(answer(invite.text, "183 Session Progress", "t1"), w.described(1, "RTP/AVP")))
	w.carrier.next("488")
	cancel := w.pbx.next("CANCEL")
	cancel.reply(answer(cancel.text, "200 OK", ""))
	invite.reply(answer(invite.text, "487 Request Terminated", "t1"))
	w.pbx.next("ACK")
}

// TestAnEarlyUPDATEAnsweredWithoutKeysCancelsTheCall: nothing is answered yet
// that could be hung up.
func TestAnEarlyUPDATEAnsweredWithoutKeysCancelsTheCall(t *testing.T) {
	t.Parallel()
	w := newSealedWorld(t, off, required, nil)
	invite, refused := w.invite(w.described(0, "RTP/AVP"))
	if invite == nil {
		t.Fatal(refused)
	}
	_, keys := keysIn(invite.text)
	ours := parsedKey(t, keys[0])
	theirs := srtp.New(ours.Tag, ours.Suite)
	invite.reply(withBody(answer(invite.text, "183 Session Progress", "t1", fmt.Sprintf("Contact: <sip:b@%s>", w.pbx.place.Addr)),
		w.described(1, "RTP/SAVP", theirs.Attribute())))
	w.carrier.next("183")
	w.cseq++
	w.carrier.sendTo(w.rawGate.carrier(), withBody(w.within(w.carrier, "UPDATE"), w.described(0, "RTP/AVP")))
	update := w.pbx.next("UPDATE")
	update.reply(withBody(answer(update.text, "200 OK", "t1"), w.described(1, "RTP/AVP")))
	refusal := w.carrier.next("")
	for strings.HasPrefix(refusal.text, "SIP/2.0 200") || strings.HasPrefix(refusal.text, "SIP/2.0 100") {
		refusal = w.carrier.next("")
	}
	if !strings.HasPrefix(refusal.text, "SIP/2.0 488") || head(refusal.text, "CSeq") != "1 INVITE" {
		t.Error(refusal.text)
	}
	cancel := w.pbx.next("CANCEL")
	cancel.reply(answer(cancel.text, "200 OK", ""))
	invite.reply(answer(invite.text, "487 Request Terminated", "t1"))
	w.pbx.next("ACK")
}

// TestNoDescriptionSlipsPastARequiredSide: in a multipart body, or one that
// can't be anchored.
func TestNoDescriptionSlipsPastARequiredSide(t *testing.T) {
	for name, c := range map[string]struct {
		carrier, pbx proxy.SRTP
		multipart    bool
		body         func(string) string
	}{
		"multipart":                   {required, off, true, func(s string) string { return s }},
		"to a host name":              {off, required, false, func(s string) string { return strings.Replace(s, "c=IN IP4 127.0.0.1", "c=IN IP4 host.example", 1) }},
		"multipart to a host name":    {off, required, true, func(s string) string { return strings.Replace(s, "c=IN IP4 127.0.0.1", "c=IN IP4 host.example", 1) }},
		"one that can't be read":      {off, required, false, func(s string) string { return strings.Replace(s, "m=audio ", "m=audio x", 1) }},
		"behind audio that's refused": {required, off, false, func(s string) string { return strings.Replace(s, "m=audio", "m=audio 0 RTP/SAVP 0\r\nm=audio", 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSealedWorld(t, c.carrier, c.pbx, nil)
			body := c.body(w.described(0, "RTP/AVP"))
			w.calls, w.cseq = 1, 1
			text := withBody(w.carrier.request("INVITE", "sip:100@example.test", "<sip:100@example.test>", w.callID(), 1), body)
			if c.multipart {
				whole := "--b\r\nContent-Type: application/sdp\r\n\r\n" + body + "\r\n--b--\r\n"
				text = strings.Replace(withBody(w.carrier.request("INVITE", "sip:100@example.test", "<sip:100@example.test>", w.callID(), 1), whole),
					"Content-Type: application/sdp\r\nContent-Length", "Content-Type: multipart/mixed;boundary=b\r\nContent-Length", 1)
			}
			w.carrier.sendTo(w.rawGate.carrier(), text)
			w.carrier.next("488")
		})
	}
}

// TestFurtherSectionsOfARequiredSideNeedKeys: those without are refused, those
// with pass with their own.
func TestFurtherSectionsOfARequiredSideNeedKeys(t *testing.T) {
	t.Parallel()
	w := newSealedWorld(t, required, off, nil)
	theirs, picture := srtp.New(1, "AEAD_AES_128_GCM").Attribute(), srtp.New(1, "AEAD_AES_128_GCM").Attribute()
	invite, refused := w.invite(w.described(0, "RTP/SAVP", theirs) + "m=video 4002 RTP/AVP 96\r\nm=video 4004 RTP/SAVP 97\r\na=crypto:" + picture + "\r\n")
	if invite == nil {
		t.Fatal(refused)
	}
	if !strings.Contains(invite.text, "m=video 0 RTP/AVP 96\r\n") || strings.Contains(invite.text, "m=video 0 RTP/SAVP") ||
		!strings.Contains(invite.text, "a=crypto:"+picture) || strings.Contains(invite.text, theirs) {
		t.Error(invite.text)
	}
	invite.reply(answer(invite.text, "486 Busy Here", "t1"))
}
