package proxy_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media/srtp"
)

// TestASecuredSideSpeaksToAPlainOne, and goes on when it, or the other, offers
// anew: our key stays as long as its suite does.
func TestASecuredSideSpeaksToAPlainOne(t *testing.T) {
	t.Parallel()
	w, ours, theirs, port := established(t, off, nil)
	open := srtp.NewReceiver(ours, nil)
	opened := func(b []byte) ([]byte, error) { return open.RTP(b, time.Now()) }
	seq := uint16(0)
	both := func(seal *srtp.Sender, carrier netip.AddrPort) {
		t.Helper()
		seq++
		sealed, err := seal.RTP(make([]byte, 0, 500), rtpPacket(seq, fmt.Sprintf("PBX says %d", seq)))
		if err != nil {
			t.Fatal(err)
		}
		w.says(1, port, sealed)
		w.hears(0, fmt.Sprintf("PBX says %d", seq), plainly)
		w.says(0, carrier, rtpPacket(seq, fmt.Sprintf("carrier says %d", seq)))
		w.hears(1, fmt.Sprintf("carrier says %d", seq), opened)
	}
	both(srtp.NewSender(theirs), w.carrierPort)

	// the carrier holds and the like: the PBX is offered the key that it has
	re, refused := w.reinvite(w.carrier, w.pbx, w.described(0, "RTP/AVP"))
	if re == nil {
		t.Fatal(refused)
	}
	if proto, keys := keysIn(re.text); proto != "RTP/SAVP" || len(keys) != 1 || keys[0] != ours.Attribute() {
		t.Errorf("offered again: %s %v, not %s", proto, keys, ours)
	}
	re.reply(withBody(answer(re.text, "200 OK", ""), w.described(1, "RTP/SAVP", theirs.Attribute())))
	w.okOf(w.carrier)
	w.ack("")
	w.pbx.next("ACK")

	// the PBX offers another key of that suite, then one of another
	for i, renewed := range []srtp.Crypto{srtp.New(4, ours.Suite), srtp.New(5, "AEAD_AES_128_GCM")} {
		if re, refused = w.reinvite(w.pbx, w.carrier, w.described(1, "RTP/SAVP", renewed.Attribute())); re == nil {
			t.Fatal(refused)
		}
		if proto, keys := keysIn(re.text); proto != "RTP/AVP" || len(keys) != 0 {
			t.Errorf("the carrier is offered %s %v", proto, keys)
		}
		re.reply(withBody(answer(re.text, "200 OK", "", fmt.Sprintf("Contact: <sip:p@%s>", w.carrier.place.Addr)), w.described(0, "RTP/AVP")))
		ok := w.okOf(w.pbx)
		w.pbx.sendTo(w.rawGate.pbx(), w.within(w.pbx, "ACK"))
		w.carrier.next("ACK")
		proto, keys := keysIn(ok)
		if proto != "RTP/SAVP" || len(keys) != 1 {
			t.Fatalf("the PBX gets\n%s", ok)
		}
		answered := parsedKey(t, keys[0])
		if answered.Tag != renewed.Tag || answered.Suite != renewed.Suite || answered.SameKey(ours) != (i == 0) {
			t.Errorf("answered with %s, tag %d", answered, answered.Tag)
		}
		if i > 0 {
			open = srtp.NewReceiver(answered, open)
		}
		both(srtp.NewSender(renewed), w.carrierPort)
	}
}

// TestALaterOfferWithoutKeysIsRefused: the call goes on with those that it has.
func TestALaterOfferWithoutKeysIsRefused(t *testing.T) {
	t.Parallel()
	w, _, theirs, port := established(t, off, nil)
	if re, refused := w.reinvite(w.pbx, w.carrier, w.described(1, "RTP/AVP")); re != nil || refused != "SIP/2.0 488 Not Acceptable Here" {
		t.Errorf("%v, %q", re, refused)
	}
	sealed, err := srtp.NewSender(theirs).RTP(make([]byte, 0, 500), rtpPacket(1, "still there"))
	if err != nil {
		t.Fatal(err)
	}
	w.says(1, port, rtpPacket(1, "in the clear"))
	w.says(1, port, sealed)
	w.hears(0, "still there", func(b []byte) ([]byte, error) {
		if bytes.Contains(b, []byte("in the clear")) {
			t.Error("what isn't sealed came through")
		}
		return b, nil
	})
}

// TestALaterAnswerWithoutKeysEndsTheCall: it can't be refused.
func TestALaterAnswerWithoutKeysEndsTheCall(t *testing.T) {
	t.Parallel()
	w, _, _, _ := established(t, off, nil)
	re, refused := w.reinvite(w.carrier, w.pbx, w.described(0, "RTP/AVP"))
	if re == nil {
		t.Fatal(refused)
	}
	re.reply(withBody(answer(re.text, "200 OK", ""), w.described(1, "RTP/AVP")))
	if ok := w.okOf(w.carrier); strings.Contains(ok, "m=audio") {
		t.Errorf("the answer went on:\n%s", ok)
	}
	for _, p := range []*peer{w.pbx, w.carrier} {
		for m := p.next(""); ; m = p.next("") {
			if strings.HasPrefix(m.text, "BYE") {
				if !strings.Contains(head(m.text, "Reason"), "cause=488") {
					t.Error(m.text)
				}
				m.reply(answer(m.text, "200 OK", ""))
				break
			}
		}
	}
}

// TestAnOfferInThe200IsAnsweredInTheACK, each with the keys of its side.
func TestAnOfferInThe200IsAnsweredInTheACK(t *testing.T) {
	t.Parallel()
	w := newSealedWorld(t, off, required, nil)
	invite, refused := w.invite("")
	if invite == nil {
		t.Fatal(refused)
	}
	theirs := srtp.New(2, "AES_256_CM_HMAC_SHA1_80")
	ok := w.accept(invite, w.described(1, "RTP/SAVP", theirs.Attribute()))
	if proto, keys := keysIn(ok); proto != "RTP/AVP" || len(keys) != 0 {
		t.Errorf("the carrier is offered\n%s", ok)
	}
	w.ack(w.described(0, "RTP/AVP"))
	ack := w.pbx.next("ACK")
	proto, keys := keysIn(ack.text)
	if proto != "RTP/SAVP" || len(keys) != 1 || parsedKey(t, keys[0]).Tag != 2 || parsedKey(t, keys[0]).Suite != theirs.Suite {
		t.Fatalf("the PBX is answered\n%s", ack.text)
	}
	open := srtp.NewReceiver(parsedKey(t, keys[0]), nil)
	w.says(0, mediaAt(t, ok), rtpPacket(1, "carrier speaks"))
	w.hears(1, "carrier speaks", func(b []byte) ([]byte, error) { return open.RTP(b, time.Now()) })
}

// TestWhoIsAskedHearsAPromptByItsKeys: both sides are sealed, and the caller is
// asked and says yes.
func TestWhoIsAskedHearsAPromptByItsKeys(t *testing.T) {
	t.Parallel()
	w := newSealedWorld(t, required, required, asking())
	carriers := srtp.New(1, "AEAD_AES_256_GCM")
	invite, refused := w.invite(w.described(0, "RTP/SAVP", carriers.Attribute()))
	if invite == nil {
		t.Fatal(refused)
	}
	_, keys := keysIn(invite.text)
	pbxs := srtp.New(4, parsedKey(t, keys[3]).Suite)
	ok := w.accept(invite, w.described(1, "RTP/SAVP", pbxs.Attribute()))
	_, answered := keysIn(ok)
	if len(answered) != 1 {
		t.Fatal(ok)
	}
	w.ack("")
	open, seal := srtp.NewReceiver(parsedKey(t, answered[0]), nil), srtp.NewSender(carriers)
	buf := make([]byte, 2000)
	if err := w.rtp[0].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 5 { // the prompt
		n, err := w.rtp[0].Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open.RTP(buf[:n], time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	recorded := func() int64 { return w.recorder.packets.Load() }
	for seq := uint16(1); recorded() == 0; seq++ { // pressed until it is past the prompt's end
		if seq == 200 {
			t.Fatalf("nothing is recorded\n%s", w.log)
		}
		key := []byte{0x80, 101, 0, byte(seq), 0, 0, byte(seq), 0, 0, 0, 0, 7, 1, 0x8a, 3, 0x20}
		speech := rtpPacket(seq, "speech")
		if seq%2 == 0 {
			speech = key
		}
		sealed, err := seal.RTP(make([]byte, 0, 500), speech)
		if err != nil {
			t.Fatal(err)
		}
		w.says(0, mediaAt(t, ok), sealed)
		time.Sleep(20 * time.Millisecond)
	}
	// Both telephones are told of the recording, with the key that they have, and
	// answer with theirs.
	w.pbx.next("ACK")
	for i, p := range []*peer{w.carrier, w.pbx} {
		told := p.next("INVITE")
		if proto, again := keysIn(told.text); proto != "RTP/SAVP" || len(again) != 1 || again[0] != []string{answered[0], keys[3]}[i] ||
			!strings.Contains(told.text, "a=record:on") {
			t.Errorf("it is told\n%s", told.text)
		}
		told.reply(withBody(answer(told.text, "200 OK", ""), w.described(i, "RTP/SAVP", []srtp.Crypto{carriers, pbxs}[i].Attribute())))
		p.next("ACK")
	}
	for _, k := range append(append(keys, answered...), carriers.Attribute(), pbxs.Attribute()) {
		if inline := k[strings.Index(k, "inline:")+7:]; strings.Contains(w.log.String(), inline[:16]) {
			t.Errorf("a key is in the log:\n%s", w.log)
		}
	}
}

// TestWhoIsAnsweredByTheGateGetsItsKeys: `when: ring`. The called party is then
// offered none, for its side has none.
func TestWhoIsAnsweredByTheGateGetsItsKeys(t *testing.T) {
	t.Parallel()
	policies := asking()
	policies[0].When = consent.Ring
	w := newSealedWorld(t, required, off, policies)
	w.calls, w.cseq = 1, 1
	carriers := srtp.New(7, "AES_CM_128_HMAC_SHA1_32")
	w.carrier.sendTo(w.rawGate.carrier(), withBody(w.carrier.request("INVITE", "sip:100@example.test", "<sip:100@example.test>", w.callID(), 1),
		w.described(0, "RTP/SAVP", carriers.Attribute())))
	ok := w.okOf(w.carrier)
	proto, keys := keysIn(ok)
	if proto != "RTP/SAVP" || len(keys) != 1 {
		t.Fatal(ok)
	}
	ours := parsedKey(t, keys[0])
	if ours.Tag != 7 || ours.Suite != carriers.Suite || ours.SameKey(carriers) {
		t.Errorf("answered with %s, tag %d", ours, ours.Tag)
	}
	to := head(ok, "To")
	w.carrier.sendTo(w.rawGate.carrier(), w.carrier.request("ACK", "sip:b@"+w.rawGate.carrier().String(), to, w.callID(), 1))
	open, buf := srtp.NewReceiver(ours, nil), make([]byte, 2000)
	if err := w.rtp[0].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := w.rtp[0].Read(buf)
	if err == nil {
		_, err = open.RTP(buf[:n], time.Now())
	}
	if err != nil {
		t.Errorf("the prompt: %v", err)
	}
	invite := w.pbx.next("INVITE") // when nothing was said
	if proto, keys := keysIn(invite.text); proto != "RTP/AVP" || len(keys) != 0 {
		t.Errorf("the PBX is offered\n%s", invite.text)
	}
	invite.reply(answer(invite.text, "486 Busy Here", "t1"))
}

// TestWithoutAudioKeysStay: a side that must have SRTP isn't heard in the clear
// because its audio is refused for a while, in its offer or its answer.
func TestWithoutAudioKeysStay(t *testing.T) {
	for _, offers := range []bool{true, false} {
		t.Run(fmt.Sprintf("it offers: %t", offers), func(t *testing.T) {
			t.Parallel()
			w, _, _, port := established(t, off, nil)
			without := func(who int, proto string) string {
				return strings.Replace(w.described(who, proto), fmt.Sprintf("m=audio %d ", w.rtp[who].LocalAddr().(*net.UDPAddr).Port), "m=audio 0 ", 1)
			}
			from, to, body, reply := w.pbx, w.carrier, without(1, "RTP/SAVP"), without(0, "RTP/AVP")
			if !offers {
				from, to, body, reply = w.carrier, w.pbx, without(0, "RTP/AVP"), without(1, "RTP/SAVP")
			}
			re, refused := w.reinvite(from, to, body)
			if re == nil {
				t.Fatal(refused)
			}
			re.reply(withBody(answer(re.text, "200 OK", "", fmt.Sprintf("Contact: <sip:p@%s>", to.place.Addr)), reply))
			if proto, _ := keysIn(w.okOf(from)); proto != map[bool]string{true: "RTP/SAVP", false: "RTP/AVP"}[offers] {
				t.Errorf("answered with %s", proto)
			}
			w.says(1, port, rtpPacket(1, "in the clear"))
			eventually(t, "it is dropped", func() bool { return w.counted(t, "consentgate_rtp_dropped_total", "srtp_auth") == 1 })
		})
	}
}
