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
