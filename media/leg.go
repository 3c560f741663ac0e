package media

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
)

// maxPacket is the largest datagram taken, in bytes: an Ethernet frame's worth.
const maxPacket = 1500

// Leg is one side's RTP and RTCP sockets, and what its peer hears.
type Leg struct {
	relay *Relay
	party consent.Party
	ip    netip.Addr
	port  uint16
	rtp   *net.UDPConn
	rtcp  *net.UDPConn
	taken prometheus.Counter

	place atomic.Pointer[place] // nil until SetPeer: every packet is a stranger's
	out   stream                // towards this leg's peer
	keys  keypad                // of the RTP reader

	playing  sync.Mutex // serialises Play, Notice and Stop
	player   *player
	speaking atomic.Bool // a prompt plays, so the other party isn't heard
}

// Addr is our RTP address on this side; RTCP is the next port.
func (l *Leg) Addr() netip.AddrPort { return netip.AddrPortFrom(l.ip, l.port) }

// SetPeer puts a description into force. Where it names another address than
// the last one, what was learnt is forgotten and the learning window starts.
func (l *Leg) SetPeer(p Peer) {
	if p.Ptime == 0 {
		p.Ptime = 20 * time.Millisecond
	}
	n := &place{Peer: p, until: time.Now().Add(learning)}
	if old := l.place.Load(); old != nil && old.RTP == p.RTP {
		n.until = old.until
		n.rtp.Store(old.rtp.Load())
		n.rtcp.Store(old.rtcp.Load())
	}
	l.place.Store(n)
}

// close ends the leg's player and readers.
func (l *Leg) close() {
	l.Stop()
	for _, c := range []*net.UDPConn{l.rtp, l.rtcp} {
		if err := c.Close(); err != nil {
			l.relay.log.Warn("closing a media socket", "error", err)
		}
	}
}

// readRTP is the goroutine of the RTP socket.
func (l *Leg) readRTP() {
	buf := make([]byte, maxPacket)
	var header rtp.Header // reused: reading a plain header then costs no allocation
	for {
		n, from, err := l.rtp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			l.packet(&header, buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
		}
	}
}

// packet decides what becomes of one RTP packet.
func (l *Leg) packet(h *rtp.Header, data []byte, from netip.AddrPort, at time.Time) {
	p := l.place.Load()
	if p == nil || !admits(p.RTP, &p.rtp, p.until, from, at) {
		l.relay.drop(dropStranger)
		return
	}
	offset, err := h.Unmarshal(data)
	if err != nil || h.Version != 2 || h.PayloadType >= 64 && h.PayloadType <= 95 { // RTCP: RFC 5761 section 4
		l.relay.drop(dropMalformed)
		return
	}
	l.taken.Inc()
	bridged := l.relay.bridged.Load()
	if slices.Contains(p.Events, h.PayloadType) {
		press, counts, ours := l.keys.feed(h.SSRC, h.Timestamp, data[offset:], !bridged, at)
		if counts {
			press.SSRC = h.SSRC
			l.relay.onEvent(Event{Kind: KeyPressed, Party: l.party, Press: press})
		}
		if ours {
			l.relay.drop(dropKey)
			return
		}
	} else if t := l.relay.tap.Load(); t != nil && bridged {
		t.offer(l.party, data, at)
	}
	if !bridged {
		l.relay.drop(dropGated)
		return
	}
	l.relay.legs[l.party.Other()].forward(data, at)
}

// forward sends the other party's packet to this leg's peer.
func (l *Leg) forward(data []byte, at time.Time) {
	p := l.place.Load()
	if p == nil || !p.RTP.IsValid() {
		l.relay.drop(dropHeld)
		return
	}
	if l.speaking.Load() {
		l.relay.drop(dropGated)
		return
	}
	if !l.out.pass(data, at) {
		l.relay.drop(dropLate)
		return
	}
	l.send(data, p)
}

func (l *Leg) send(data []byte, p *place) {
	if _, err := l.rtp.WriteToUDPAddrPort(data, address(p.RTP, &p.rtp)); err != nil {
		l.relay.drop(dropSend)
	}
}

// readRTCP is the goroutine of the RTCP socket.
func (l *Leg) readRTCP() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := l.rtcp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			l.report(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

// report passes on an RTCP packet.
func (l *Leg) report(data []byte, from netip.AddrPort) {
	p := l.place.Load()
	if p == nil || !admits(p.RTCP, &p.rtcp, p.until, from, time.Now()) {
		l.relay.drop(dropStranger)
		return
	}
	if len(data) < 8 || data[0]>>6 != 2 || int(binary.BigEndian.Uint16(data[2:])+1)*4 > len(data) {
		l.relay.drop(dropMalformed)
		return
	}
	if !l.relay.bridged.Load() {
		l.relay.drop(dropGated)
		return
	}
	other := l.relay.legs[l.party.Other()]
	to := other.place.Load()
	if to == nil || !to.RTCP.IsValid() {
		l.relay.drop(dropHeld)
		return
	}
	out, err := translate(data, other.out.mapping(), l.out.mapping())
	if err != nil {
		l.relay.drop(dropMalformed)
		return
	}
	if _, err := other.rtcp.WriteToUDPAddrPort(out, address(to.RTCP, &to.rtcp)); err != nil {
		l.relay.drop(dropSend)
	}
}
