package proxy_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/media/srtp"
	"consentgate/proxy"
)

// logged is a log that a test can read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// sealedWorld is a gate with media between two raw peers; calls come from the
// carrier.
type sealedWorld struct {
	*rawGate
	t            testing.TB
	carrier, pbx *peer
	rtp          [2]*net.UDPConn // of carrier and PBX
	log          *logged
	recorder     *recorder
	carrierPort  netip.AddrPort // the gate's media towards the carrier
	calls, cseq  int            // the latest Call-ID's and CSeq's numbers
}

func newSealedWorld(t testing.TB, carrier, pbx proxy.SRTP, policies consent.Policies) *sealedWorld {
	t.Helper()
	w := &sealedWorld{t: t, carrier: newPeer(t, "udp", "127.0.0.1", nil), pbx: newPeer(t, "udp", "127.0.0.1", nil), log: &logged{}, recorder: &recorder{}}
	for i := range w.rtp {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		w.rtp[i] = c
	}
	cs, ps := sideOf(w.carrier), sideOf(w.pbx)
	cs.SRTP, ps.SRTP = carrier, pbx
	t.Cleanup(func() {
		if w.rawGate == nil {
			return
		}
		if n := w.counted(t, "consentgate_sip_unexpected_mutations_total"); n != 0 {
			t.Errorf("%v parts of messages were changed\n%s", n, w.log)
		}
	})
	w.rawGate = newRawGate(t, cs, ps, func(c *proxy.Config) {
		pool, err := media.NewPool(media.PoolConfig{Min: 45000, Max: 45999})
		if err != nil {
			t.Fatal(err)
		}
		c.Log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		engine, err := media.NewEngine(media.Config{Pool: pool, Metrics: media.NewMetrics(c.Registerer, pool), Log: c.Log})
		if err != nil {
			t.Fatal(err)
		}
		c.Media = engine
		c.Policies, c.Playable, c.Ledger, c.Recorder, c.Prompts = policies, true, &ledger{}, w.recorder, prompts{square(100 * time.Millisecond)}
	})
	return w
}

func bypassing() consent.Policies { return consent.Policies{{Name: "bypass", Action: consent.Bypass}} }

// described is a description of one of the two.
func (w *sealedWorld) described(who int, proto string, keys ...string) string {
	at := w.rtp[who].LocalAddr().(*net.UDPAddr).AddrPort()
	lines := []string{"v=0", fmt.Sprintf("o=- %d 1 IN IP4 127.0.0.1", who+1), "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
		fmt.Sprintf("m=audio %d %s 0 101", at.Port(), proto), "a=rtpmap:101 telephone-event/8000"}
	for _, k := range keys {
		lines = append(lines, "a=crypto:"+k)
	}
	return strings.Join(append(lines, "a=sendrecv", ""), "\r\n")
}

func withBody(message, body string) string {
	if body == "" {
		return message
	}
	return strings.Replace(message, "Content-Length: 0\r\n", fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n", len(body)), 1) + body
}

// invite sends an INVITE and returns what becomes of it: the INVITE at the PBX,
// or a refusal.
func (w *sealedWorld) invite(body string) (invite *got, refused string) {
	w.t.Helper()
	w.calls++
	w.cseq = 1
	w.carrier.sendTo(w.rawGate.carrier(), withBody(w.carrier.request("INVITE", "sip:100@example.test", "<sip:100@example.test>", w.callID(), 1, "Supported: record-aware"), body))
	for {
		select {
		case m := <-w.pbx.in:
			return &m, ""
		case m := <-w.carrier.in:
			if first, _, _ := strings.Cut(m.text, "\r\n"); !strings.HasPrefix(first, "SIP/2.0 100") {
				return nil, first
			}
		case <-time.After(10 * time.Second):
			w.t.Fatal("nothing becomes of the INVITE")
		}
	}
}

func (w *sealedWorld) callID() string { return fmt.Sprintf("sealed-%d", w.calls) }

// accept answers an INVITE at the PBX and returns what the carrier gets.
func (w *sealedWorld) accept(invite *got, body string) string {
	w.t.Helper()
	invite.reply(withBody(answer(invite.text, "200 OK", "t1", fmt.Sprintf("Contact: <sip:b@%s>", w.pbx.place.Addr), "Supported: record-aware"), body))
	for m := w.carrier.next(""); ; m = w.carrier.next("") {
		if !strings.HasPrefix(m.text, "SIP/2.0 100") {
			return m.text
		}
	}
}

// ack acknowledges the carrier's 200.
func (w *sealedWorld) ack(body string) {
	w.carrier.sendTo(w.rawGate.carrier(), withBody(w.carrier.request("ACK", "sip:b@"+w.rawGate.carrier().String(), "<sip:100@example.test>;tag=t1", w.callID(), w.cseq), body))
}

// keysIn are the a=crypto lines of a message, proto its profile.
func keysIn(text string) (proto string, keys []string) {
	for _, line := range strings.Split(text, "\r\n") {
		if m, ok := strings.CutPrefix(line, "m=audio "); ok {
			proto = strings.Fields(m)[1]
		}
		if k, ok := strings.CutPrefix(line, "a=crypto:"); ok {
			keys = append(keys, k)
		}
	}
	return proto, keys
}

func parsedKey(t testing.TB, attribute string) srtp.Crypto {
	t.Helper()
	k, err := srtp.Parse(attribute)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	off      = proxy.SRTPOff
	optional = proxy.SRTPOptional
	required = proxy.SRTPRequired
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

// established is a call between a PBX that must have keys and a carrier that has
// none; our key towards the PBX, and the PBX's.
func established(t *testing.T, carrier proxy.SRTP, policies consent.Policies) (w *sealedWorld, ours, theirs srtp.Crypto, at netip.AddrPort) {
	t.Helper()
	w = newSealedWorld(t, carrier, required, policies)
	invite, refused := w.invite(w.described(0, "RTP/AVP"))
	if invite == nil {
		t.Fatal(refused)
	}
	_, keys := keysIn(invite.text)
	ours = parsedKey(t, keys[len(keys)-1])
	theirs = srtp.New(ours.Tag, ours.Suite)
	ok := w.accept(invite, w.described(1, "RTP/SAVP", theirs.Attribute()))
	if proto, keys := keysIn(ok); proto != "RTP/AVP" || len(keys) != 0 {
		t.Fatalf("the carrier gets\n%s", ok)
	}
	w.ack("")
	w.pbx.next("ACK")
	w.carrierPort = mediaAt(t, ok)
	return w, ours, theirs, mediaAt(t, invite.text)
}

func mediaAt(t testing.TB, text string) netip.AddrPort {
	t.Helper()
	for _, line := range strings.Split(text, "\r\n") {
		if m, ok := strings.CutPrefix(line, "m=audio "); ok {
			return netip.MustParseAddrPort("127.0.0.1:" + strings.Fields(m)[0])
		}
	}
	t.Fatal("no audio")
	return netip.AddrPort{}
}

func rtpPacket(seq uint16, text string) []byte {
	return append([]byte{0x80, 0, byte(seq >> 8), byte(seq), 0, 0, 0, 1, 0, 0, 0, 7}, text...)
}

// hears waits for a packet that open makes a text of.
func (w *sealedWorld) hears(who int, text string, open func([]byte) ([]byte, error)) {
	w.t.Helper()
	buf := make([]byte, 2000)
	if err := w.rtp[who].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	for {
		n, err := w.rtp[who].Read(buf)
		if err != nil {
			w.t.Fatalf("%q never came: %v", text, err)
		}
		b, err := open(buf[:n])
		if err == nil && bytes.HasSuffix(b, []byte(text)) {
			return
		}
		if err != nil {
			w.t.Fatalf("a packet can't be opened: %v", err)
		}
	}
}

func plainly(b []byte) ([]byte, error) { return b, nil }

func (w *sealedWorld) says(who int, to netip.AddrPort, b []byte) {
	w.t.Helper()
	if _, err := w.rtp[who].WriteToUDPAddrPort(b, to); err != nil {
		w.t.Fatal(err)
	}
}

// reinvite sends a re-INVITE of the PBX, or of the carrier, and returns it as it
// comes to the other, or how it is refused. While an earlier one isn't settled
// it is put off (491).
func (w *sealedWorld) reinvite(from, to *peer, body string) (at *got, refused string) {
	w.t.Helper()
	gate := w.rawGate.carrier()
	if from == w.pbx {
		gate = w.rawGate.pbx()
	}
	send := func() {
		w.cseq++
		from.sendTo(gate, withBody(w.within(from, "INVITE"), body))
	}
	send()
	for {
		select {
		case m := <-to.in:
			if strings.HasPrefix(m.text, "INVITE") {
				return &m, ""
			}
		case m := <-from.in:
			first, _, _ := strings.Cut(m.text, "\r\n")
			if strings.HasPrefix(first, "SIP/2.0 491") {
				send()
			} else if strings.HasPrefix(first, "SIP/2.0 4") {
				return nil, first
			}
		case <-time.After(10 * time.Second):
			w.t.Fatal("nothing becomes of the re-INVITE")
		}
	}
}

// within is a request within the call's dialog.
func (w *sealedWorld) within(from *peer, method string) string {
	if from == w.carrier {
		return from.request(method, "sip:b@"+w.rawGate.carrier().String(), "<sip:100@example.test>;tag=t1", w.callID(), w.cseq)
	}
	text := from.request(method, "sip:p@"+w.rawGate.pbx().String(), "<sip:p@example.test>;tag=p1", w.callID(), w.cseq)
	return strings.Replace(text, "From: <sip:p@example.test>;tag=p1", "From: <sip:100@example.test>;tag=t1", 1)
}

// okOf waits for the 200 to the latest INVITE, which was a peer's.
func (w *sealedWorld) okOf(p *peer) string {
	for {
		if m := p.next(""); strings.HasPrefix(m.text, "SIP/2.0 200") && head(m.text, "CSeq") == fmt.Sprintf("%d INVITE", w.cseq) {
			return m.text
		}
	}
}

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
