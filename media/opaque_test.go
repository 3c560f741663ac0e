package media_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// fax is a relay with one opaque section, and its ends.
type fax struct {
	*rig
	section     *media.Opaque
	remote, pbx *end
}

func newFax(t testing.TB) *fax {
	t.Helper()
	f := &fax{rig: newRig(t)}
	f.section, f.remote, f.pbx = section(t, f.relay, 1)
	return f
}

// section takes ports for a section; both parties agree on it.
func section(t testing.TB, r *media.Relay, index int) (o *media.Opaque, remote, pbx *end) {
	t.Helper()
	o, err := r.TakeOpaque(index)
	if err != nil {
		t.Fatal(err)
	}
	remote, pbx = newEnd(t, o.Addr(consent.Remote)), newEnd(t, o.Addr(consent.Local))
	o.Agree([2]media.Peer{consent.Remote: remote.peer(), consent.Local: pbx.peer()})
	return o, remote, pbx
}

// udptl is no RTP at all, and as long as a frame of Ethernet takes.
func udptl(n byte) []byte { return append([]byte{0, n, 6}, bytes.Repeat([]byte{n}, 1497)...) }

func TestOpaqueDatagramsPassUntouchedBothWays(t *testing.T) {
	f := newFax(t)
	f.relay.Bridge()
	for i, way := range []struct{ from, to *end }{{f.remote, f.pbx}, {f.pbx, f.remote}} {
		way.from.send(udptl(byte(i)))
		if got := way.to.raw(way.to.rtp); !bytes.Equal(got, udptl(byte(i))) {
			t.Errorf("% x… came", got[:min(len(got), 16)])
		}
		way.from.sendRTCP([]byte("any control"))
		if got := way.to.raw(way.to.rtcp); string(got) != "any control" {
			t.Errorf("%q came", got)
		}
	}
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		f.ends[p].heardNothing() // the audio's
	}
}

func TestNothingOpaquePassesBeforeBridge(t *testing.T) {
	f := newFax(t)
	f.remote.send(udptl(1))
	f.pbx.sendRTCP(udptl(2))
	f.dropped(t, "gated", 2)
	f.relay.Bridge()
	f.remote.send(udptl(3))
	if got := f.pbx.raw(f.pbx.rtp); got[1] != 3 {
		t.Errorf("datagram %d came", got[1])
	}
	f.relay.Gate()
	f.remote.send(udptl(4))
	f.dropped(t, "gated", 3)
	f.pbx.heardNothing()
}

func TestAStrangersOpaqueDatagramsAreDropped(t *testing.T) {
	f := newFax(t)
	f.relay.Bridge()
	s := strange(t, f.remote.to)
	s.send(udptl(1))
	f.dropped(t, "stranger", 1)
	f.pbx.send(udptl(2))
	f.remote.recvRaw(t, 2)
	f.pbx.heardNothing()
	s.heardNothing()
}

// recvRaw waits for the datagram of that number.
func (e *end) recvRaw(t testing.TB, n byte) {
	t.Helper()
	if got := e.raw(e.rtp); got[1] != n {
		t.Errorf("datagram %d came, not %d", got[1], n)
	}
}

// TestAnotherPortOfAnOpaquePeersAddressIsLearntOnce, as of audio.
func TestAnotherPortOfAnOpaquePeersAddressIsLearntOnce(t *testing.T) {
	f := newFax(t)
	f.relay.Bridge()
	natted, third := newEnd(t, f.remote.to), newEnd(t, f.remote.to)
	natted.send(udptl(1))
	f.pbx.recvRaw(t, 1)
	f.pbx.send(udptl(2))
	natted.recvRaw(t, 2)
	third.send(udptl(3))
	f.dropped(t, "stranger", 1)
	f.pbx.heardNothing()
}

func TestARefusedSectionCarriesNothingUntilItIsAgreedAgain(t *testing.T) {
	f := newFax(t)
	f.relay.Bridge()
	f.section.Refuse()
	f.remote.send(udptl(1))
	f.pbx.send(udptl(2))
	f.dropped(t, "held", 2)
	f.section.Agree([2]media.Peer{consent.Remote: f.remote.peer(), consent.Local: f.pbx.peer()})
	f.remote.send(udptl(3))
	f.pbx.recvRaw(t, 3)
	f.remote.heardNothing()
}

func TestAnOpaquePeerWithoutAddressIsSentNothingAndHeard(t *testing.T) {
	f := newFax(t)
	f.relay.Bridge()
	hold := f.pbx.peer()
	hold.RTP, hold.RTCP = netip.AddrPort{}, netip.AddrPort{}
	f.section.Agree([2]media.Peer{consent.Remote: f.remote.peer(), consent.Local: hold})
	f.remote.send(udptl(1))
	f.dropped(t, "held", 1)
	f.pbx.send(udptl(2))
	f.remote.recvRaw(t, 2)
	f.pbx.heardNothing()
}

func TestASectionKeepsItsPortsAndHasThemOnce(t *testing.T) {
	f := newFax(t)
	again, err := f.relay.TakeOpaque(1)
	if err != nil || again != f.section {
		t.Errorf("asked for again it is another one (%v)", err)
	}
	other, err := f.relay.TakeOpaque(2)
	if err != nil || other.Addr(consent.Remote) == f.section.Addr(consent.Remote) {
		t.Errorf("another section has the same ports (%v)", err)
	}
	if n := f.pool.InUse(); n != 6 || len(f.relay.Opaques()) != 2 {
		t.Errorf("%d pairs of ports are in use by audio and two sections, and %d sections are known", n, len(f.relay.Opaques()))
	}
	f.relay.Close()
	if n := f.pool.InUse(); n != 0 {
		t.Errorf("%d pairs are in use after the call", n)
	}
	if _, err := f.relay.TakeOpaque(3); !errors.Is(err, media.ErrClosed) {
		t.Errorf("a call that is over says %v", err)
	}
}

// TestNoPortsForASectionLeaveTheCallAlone: nor is the port of one side kept.
func TestNoPortsForASectionLeaveTheCallAlone(t *testing.T) {
	_, pool, engine := newEngine(t, media.PoolConfig{Min: 12600, Max: 12605})
	relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	if _, err := relay.TakeOpaque(1); !errors.Is(err, media.ErrNoPorts) || pool.InUse() != 2 {
		t.Errorf("%v, %d pairs in use", err, pool.InUse())
	}
}

// TestALatePacketToAReusedPortReachesNobody: the section's port of one call
// becomes another call's, audio or not; its former source is never learnt.
func TestALatePacketToAReusedPortReachesNobody(t *testing.T) {
	now := time.Now()
	reg, _, engine := newEngine(t, media.PoolConfig{Min: 12620, Max: 12627, Now: func() time.Time { return now }})
	begin := func() (*media.Relay, *end, *end) {
		relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		relay.Bridge()
		_, remote, pbx := section(t, relay, 1)
		return relay, remote, pbx
	}
	old, oldRemote, oldPBX := begin()
	oldRemote.send(udptl(1))
	oldPBX.recvRaw(t, 1)
	oldPBX.send(udptl(1))
	oldRemote.recvRaw(t, 1)
	port := oldRemote.to
	old.Close()
	now = now.Add(time.Minute)
	relay, remote, pbx := begin()
	defer relay.Close()
	if remote.to != port {
		t.Fatalf("the port isn't used again: %v, then %v", port, remote.to)
	}
	for _, e := range []*end{oldRemote, oldPBX} {
		e.send(udptl(2)) // within the window, and before the true peer
	}
	until(t, "both were dropped", func() bool { return counter(t, reg, "rtp_dropped_total", "stranger") == 2 })
	remote.heardNothing()
	pbx.heardNothing()
	remote.send(udptl(3))
	pbx.recvRaw(t, 3)
}

// TestADatagramLongerThanAnyIsDroppedWhole: it may have been cut.
func TestADatagramLongerThanAnyIsDroppedWhole(t *testing.T) {
	f := newFax(t)
	f.relay.Bridge()
	f.remote.send(make([]byte, 2049))
	f.dropped(t, "malformed", 1)
	f.remote.send(make([]byte, 2048))
	if got := readLong(t, f.pbx.rtp); got != 2048 {
		t.Errorf("%d bytes came", got)
	}
}

func readLong(t testing.TB, c *net.UDPConn) int {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 65536))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPayloadTypesPassByTheNumberThatTheOtherPartyKnows where the two were given
// different ones, marker and all; the recorder gets them as they came.
func TestPayloadTypesPassByTheNumberThatTheOtherPartyKnows(t *testing.T) {
	c := newCall(t)
	from := c.remote.peer()
	from.Codecs = []media.Codec{{Name: "PCMU", PayloadType: 0, ClockRate: 8000}, {Name: "TELEPHONE-EVENT", PayloadType: 101, ClockRate: 8000}}
	from.Renumber = map[uint8]uint8{101: 96}
	c.relay.Leg(consent.Remote).SetPeer(from)
	c.relay.Bridge()
	key := event(1, 160, 5, true, 800)
	key[1] |= 0x80
	c.remote.send(key)
	want := bytes.Clone(key)
	want[1] = 0x80 | 96
	if got := c.pbx.raw(c.pbx.rtp); !bytes.Equal(got, want) {
		t.Errorf("% x became % x", key, got)
	}
	c.remote.send(spoken(1, 2, 320, 1)) // 0 is 0
	if p := c.pbx.recv(); p.PayloadType != 0 {
		t.Errorf("payload type 0 became %d", p.PayloadType)
	}
	c.pbx.send(event(3, 480, 5, true, 800)) // the other way nothing was said
	if p := c.remote.recv(); p.PayloadType != 101 {
		t.Errorf("the other way 101 became %d", p.PayloadType)
	}
	if len(c.events) != 2 {
		t.Errorf("%d keys were reported", len(c.events))
	}
}

// TestAnOpaqueSectionJoinsBothFamilies: IPv4 on one side, IPv6 on the other.
func TestAnOpaqueSectionJoinsBothFamilies(t *testing.T) {
	six := netip.MustParseAddr("::1")
	_, _, engine := newEngine(t, media.PoolConfig{Min: 12640, Max: 12699})
	relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: six}, func(media.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	o, err := relay.TakeOpaque(0)
	if err != nil {
		t.Fatal(err)
	}
	if o.Addr(consent.Remote).Addr() != loopback || o.Addr(consent.Local).Addr() != six {
		t.Fatalf("it's at %v and %v", o.Addr(consent.Remote), o.Addr(consent.Local))
	}
	remote, pbx := newEnd(t, o.Addr(consent.Remote)), newEnd(t, o.Addr(consent.Local))
	if pbx.rtp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(six, 0))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pbx.rtp.Close() })
	o.Agree([2]media.Peer{consent.Remote: remote.peer(), consent.Local: pbx.peer()})
	relay.Bridge()
	remote.send(udptl(1))
	pbx.recvRaw(t, 1)
	pbx.send(udptl(2))
	remote.recvRaw(t, 2)
}
