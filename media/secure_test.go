package media_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/media/srtp"
)

// secured is an end that speaks SRTP: it seals and opens by itself.
type secured struct {
	*end
	theirs, ours srtp.Crypto // the end's key, the relay's
	in           *srtp.Receiver
	out          *srtp.Sender
	seal         *srtp.Sender
	open         *pion.Context
}

const suite = "AES_CM_128_HMAC_SHA1_80"

// secure puts keys into force between an end and its leg.
func (c *call) secure(t testing.TB, p consent.Party) *secured {
	t.Helper()
	e := &secured{end: c.ends[p]}
	e.rekey()
	e.ours = srtp.New(1, suite)
	e.out = srtp.NewSender(e.ours)
	e.open = opener(t, e.ours)
	c.relay.Leg(p).SetPeer(e.secure())
	return e
}

// opener opens what the relay seals, and minds nothing but the key: whether the
// relay repeats itself is for the tests to see.
func opener(t testing.TB, c srtp.Crypto) *pion.Context {
	t.Helper()
	key, salt := inline(t, c)
	ctx, err := pion.CreateContext(key, salt, pion.ProtectionProfileAes128CmHmacSha1_80)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// inline is the key that an attribute carries.
func inline(t testing.TB, c srtp.Crypto) (key, salt []byte) {
	t.Helper()
	_, text, _ := strings.Cut(c.Attribute(), "inline:")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw[:16], raw[16:]
}

func (e *secured) rekey() {
	e.theirs = srtp.New(1, suite)
	e.in, e.seal = srtp.NewReceiver(e.theirs, e.in), srtp.NewSender(e.theirs)
}

func (e *secured) secure() media.Peer {
	p := e.peer()
	p.In, p.Out = e.in, e.out
	return p
}

func (e *secured) sealed(b []byte) []byte {
	e.t.Helper()
	out, err := e.seal.RTP(make([]byte, 0, 2000), b)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func (e *secured) say(b []byte) { e.t.Helper(); e.send(e.sealed(b)) }

// hear opens the next packet.
func (e *secured) hear() rtp.Packet {
	e.t.Helper()
	raw := e.raw(e.rtp)
	out, err := e.open.DecryptRTP(nil, raw, nil)
	if err != nil {
		e.t.Fatalf("% x: %v", raw[:12], err)
	}
	var p rtp.Packet
	if err := p.Unmarshal(out); err != nil {
		e.t.Fatal(err)
	}
	return p
}

// TestASecuredLegAndAPlainOneHearEachOther, and each other's reports.
func TestASecuredLegAndAPlainOneHearEachOther(t *testing.T) {
	c := newCall(t)
	remote := c.secure(t, consent.Remote)
	c.relay.Bridge()
	for i, b := range odd() {
		remote.say(b)
		if got := c.pbx.raw(c.pbx.rtp); !bytes.Equal(got, b) {
			t.Errorf("%d: sealed % x, came % x", i, b, got)
		}
		c.pbx.send(b)
		sealed := remote.raw(remote.rtp)
		if got, err := remote.open.DecryptRTP(nil, sealed, nil); err != nil || !bytes.Equal(got, b) || bytes.Equal(sealed, b) {
			t.Errorf("%d: sent % x, came sealed % x (%v)", i, b, got, err)
		}
	}
	report := reportOf(t, &rtcp.SenderReport{SSRC: 1, NTPTime: 2, RTPTime: 3})
	sealed, err := remote.seal.RTCP(make([]byte, 0, 200), report)
	if err != nil {
		t.Fatal(err)
	}
	remote.sendRTCP(sealed)
	if got := c.pbx.raw(c.pbx.rtcp); !bytes.Equal(got, report) {
		t.Errorf("sealed % x, came % x", report, got)
	}
	c.pbx.sendRTCP(report)
	if got, err := remote.open.DecryptRTCP(nil, remote.raw(remote.rtcp), nil); err != nil || !bytes.Equal(got, report) {
		t.Errorf("sent % x, came % x (%v)", report, got, err)
	}
}

// TestOnlyThePeersOwnPacketsAreOpened, each once.
func TestOnlyThePeersOwnPacketsAreOpened(t *testing.T) {
	c := newCall(t)
	remote, stranger := c.secure(t, consent.Remote), newCall(t).secure(t, consent.Remote)
	c.relay.Bridge()
	good := remote.sealed(voice(9))
	bad := bytes.Clone(good)
	bad[40] ^= 1
	for _, b := range [][]byte{bad, stranger.sealed(voice(9)), voice(9), good[:20], {0x80}} {
		remote.send(b)
	}
	c.dropped(t, "srtp_auth", 5)
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	remote.send(stun)
	remote.sendRTCP(stun)
	c.dropped(t, "malformed", 2)
	remote.send(good)
	remote.send(good)
	c.dropped(t, "srtp_replay", 1)
	if p := c.pbx.recv(); p.SequenceNumber != 9 {
		t.Errorf("%v came through", p.Header)
	}
	report := reportOf(t, &rtcp.ReceiverReport{SSRC: 1})
	sealed, err := remote.seal.RTCP(make([]byte, 0, 200), report)
	if err != nil {
		t.Fatal(err)
	}
	remote.sendRTCP(report)
	c.dropped(t, "srtp_auth", 6)
	remote.sendRTCP(sealed)
	remote.sendRTCP(sealed)
	c.dropped(t, "srtp_replay", 2)
	c.pbx.raw(c.pbx.rtcp)
	c.pbx.heardNothing()
}

// TestWrapsAreCountedThroughPromptsAndSilence: the numbers of both directions
// wrap while the parties are apart, and after a prompt.
func TestWrapsAreCountedThroughPromptsAndSilence(t *testing.T) {
	c := newCall(t)
	remote := c.secure(t, consent.Remote)
	c.relay.Bridge()
	remote.say(spoken(7, 65533, 160, 1))
	c.pbx.recv()
	c.pbx.send(spoken(8, 65533, 160, 1))
	remote.hear()
	c.relay.Gate()
	for _, seq := range []uint16{65534, 20000, 40000, 60000, 10000} { // two wraps, unheard
		remote.say(spoken(7, seq, 320, 1))
	}
	c.dropped(t, "gated", 5)
	play(t, c.relay.Leg(consent.Remote), speech(160*5)) // the stream to the caller wraps in it
	last := remote.hear()
	for range 4 {
		last = remote.hear()
	}
	if last.SSRC != 8 || last.SequenceNumber != 2 {
		t.Fatalf("the prompt ends with %v", last.Header)
	}
	c.relay.Bridge()
	remote.say(spoken(7, 10001, 1600, 1))
	if p := c.pbx.recv(); p.SequenceNumber != 10001 {
		t.Errorf("%v", p.Header)
	}
	c.pbx.send(spoken(8, 30, 1600, 1))
	if p := remote.hear(); p.SequenceNumber != 3 || p.SSRC != 8 {
		t.Errorf("%v", p.Header)
	}
	c.dropped(t, "srtp_auth", 0)
}

func TestANewKeyOfThePeersLosesNoPacket(t *testing.T) {
	c := newCall(t)
	remote := c.secure(t, consent.Remote)
	c.relay.Bridge()
	remote.say(voice(1))
	c.pbx.recv()
	underWay := remote.sealed(voice(2))
	remote.rekey()
	c.relay.Leg(consent.Remote).SetPeer(remote.secure())
	remote.send(underWay)
	remote.say(voice(3))
	for _, want := range []uint16{2, 3} {
		if p := c.pbx.recv(); p.SequenceNumber != want {
			t.Errorf("%d came for %d", p.SequenceNumber, want)
		}
	}
	c.pbx.send(voice(1))
	remote.hear() // our own key is the same
}

// TestAPeerElsewhereHearsANewSource: it can't know how often the numbers of the
// earlier one have wrapped. One who stays hears the same.
func TestAPeerElsewhereHearsANewSource(t *testing.T) {
	c := newCall(t)
	remote := c.secure(t, consent.Remote)
	c.relay.Bridge()
	for _, seq := range []uint16{40000, 65535, 20} {
		c.pbx.send(spoken(8, seq, uint32(seq), 1))
		remote.hear()
	}
	c.relay.Leg(consent.Remote).SetPeer(remote.secure())
	c.pbx.send(spoken(8, 21, 160, 1))
	if p := remote.hear(); p.SSRC != 8 || p.SequenceNumber != 21 {
		t.Errorf("described again, it hears %v", p.Header)
	}
	other := newEnd(t, remote.to)
	remote.end, remote.open = other, opener(t, remote.ours)
	c.relay.Leg(consent.Remote).SetPeer(remote.secure())
	c.pbx.send(spoken(8, 22, 320, 1))
	if p := remote.hear(); p.SSRC == 8 || p.SequenceNumber >= 1<<15+1 {
		t.Errorf("elsewhere, it hears %v", p.Header)
	}
}

// TestTheRecorderGetsSpeechInTheClear, and keys are read.
func TestTheRecorderGetsSpeechInTheClear(t *testing.T) {
	c := newCall(t)
	remote := c.secure(t, consent.Remote)
	c.relay.Bridge()
	_, g := session(t)
	s := &sink{}
	tap, err := c.relay.Open(g, s)
	if err != nil {
		t.Fatal(err)
	}
	remote.say(voice(1))
	c.pbx.recv()
	tap.Close("hang-up")
	<-tap.Done()
	if len(s.packets) != 1 || !bytes.Equal(s.packets[0], voice(1)) {
		t.Errorf("recorded: % x", s.packets)
	}
	remote.say(event(2, 320, 5, true, 800))
	if ev := <-c.events; ev.Kind != media.KeyPressed || ev.Press.Key != '5' || ev.Party != consent.Remote {
		t.Errorf("%+v", ev)
	}
}

// TestNoNumberIsSealedTwice: a packet that comes twice goes out once.
func TestNoNumberIsSealedTwice(t *testing.T) {
	c := newCall(t)
	remote := c.secure(t, consent.Remote)
	c.relay.Bridge()
	c.pbx.send(voice(1))
	c.pbx.send(voice(1))
	c.dropped(t, "srtp_send", 1)
	remote.hear()
	remote.heardNothing()
}

func TestRelayingSecuredPacketsAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	c := newCall(t)
	remote, local := c.secure(t, consent.Remote), c.secure(t, consent.Local)
	c.relay.Bridge()
	buf, seq := make([]byte, 2000), uint16(0)
	b, room := voice(0), make([]byte, 0, 2000)
	pass := func() {
		seq++
		b[2], b[3] = byte(seq>>8), byte(seq)
		sealed, err := remote.seal.RTP(room, b)
		if err != nil {
			t.Fatal(err)
		}
		remote.send(sealed)
		if _, _, err := local.rtp.ReadFromUDPAddrPort(buf); err != nil {
			t.Fatal(err)
		}
	}
	if err := local.rtp.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		pass()
	}
	if n := testing.AllocsPerRun(500, pass); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
