package srtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
	"github.com/pion/transport/v5/replaydetector"
)

// Overhead is by how much a sealed packet may be longer than a plain one, in
// bytes: a tag of 16, an index of 4 in RTCP.
const Overhead = 20

// ErrSentBefore is of a packet whose number was used before. To seal two packets
// with one number would give their contents away (RFC 3711 section 9.1), with
// GCM even the means to forge others (RFC 7714 section 10.1).
var ErrSentBefore = errors.New("srtp: a packet of that number was sent before")

// Sender seals what is sent to one peer. It is safe for concurrent use.
type Sender struct {
	crypto Crypto

	mu        sync.Mutex // for a packet's encryption; never held while sending
	rtp, rtcp *pion.Context
	sent      map[uint32]replaydetector.CheckAccepter // by SSRC
	reports   sources
	header    rtp.Header
	report    rtcp.Header
}

// NewSender seals packets with a key of ours.
func NewSender(c Crypto) *Sender {
	return &Sender{crypto: c, rtp: newContext(c), rtcp: newContext(c),
		sent: map[uint32]replaydetector.CheckAccepter{}, reports: sources{}}
}

// Crypto is our key.
func (s *Sender) Crypto() Crypto { return s.crypto }

// Format has no key in it.
func (s *Sender) Format(f fmt.State, verb rune) { s.crypto.Format(f, verb) }

// RTP seals a packet into dst's room, which should be Overhead larger than it.
func (s *Sender) RTP(dst, packet []byte) ([]byte, error) {
	if len(packet) < 12 {
		return nil, fmt.Errorf("srtp: %d bytes aren't RTP", len(packet))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, err := s.list(binary.BigEndian.Uint32(packet[8:]))
	if err != nil {
		return nil, err
	}
	number := sent.CheckSeq(uint64(binary.BigEndian.Uint16(packet[2:])))
	if !number.Passed() {
		return nil, ErrSentBefore
	}
	sent.Accept(number)
	out, err := s.rtp.EncryptRTP(dst[:0], packet, &s.header)
	if err != nil {
		return nil, fmt.Errorf("srtp: sealing a packet: %w", err)
	}
	return out, nil
}

// list is what was sent of a source lately.
func (s *Sender) list(ssrc uint32) (replaydetector.CheckAccepter, error) {
	if l := s.sent[ssrc]; l != nil {
		return l, nil
	}
	if len(s.sent) >= maxSources {
		return nil, ErrSources
	}
	l := replaydetector.WithWrap(replayWindow, 1<<16-1).(replaydetector.CheckAccepter)
	s.sent[ssrc] = l
	return l, nil
}

// RTCP seals a compound packet into dst's room.
func (s *Sender) RTCP(dst, packet []byte) ([]byte, error) {
	if len(packet) < 8 {
		return nil, fmt.Errorf("srtp: %d bytes aren't RTCP", len(packet))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ssrc := binary.BigEndian.Uint32(packet[4:])
	if !s.reports.has(ssrc) && len(s.reports) >= maxSources {
		return nil, ErrSources
	}
	s.reports.add(ssrc)
	out, err := s.rtcp.EncryptRTCP(dst[:0], packet, &s.report)
	if err != nil {
		return nil, fmt.Errorf("srtp: sealing a report: %w", err)
	}
	return out, nil
}

// Wrapped reports whether a source's sequence numbers have wrapped under this
// key. Who comes to know the key only then can't know how often, and couldn't
// open a packet of that source (RFC 4568 section 7.1.4).
func (s *Sender) Wrapped(ssrc uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.rtp.ROC(ssrc)
	return ok && n > 0
}
