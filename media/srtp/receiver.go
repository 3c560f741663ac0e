package srtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

const (
	// maxPacket is the largest packet opened, in bytes.
	maxPacket = 1500
	// maxSources bounds the SSRCs of one key: each costs memory for as long as
	// the call lasts. A telephone takes a new one at a hold or a transfer.
	maxSources = 1024
	// overlap is how long the key before is good for once there is a new one:
	// packets sealed with it are still under way, and the peer changes over when
	// it has our answer.
	overlap = 10 * time.Second
)

var (
	// ErrReplay is of a packet that came before, or lies behind the window.
	ErrReplay = errors.New("srtp: a packet that came before")
	// ErrAuth is of a packet that isn't sealed with the peer's key.
	ErrAuth = errors.New("srtp: a packet that the peer's key doesn't fit")
	// ErrSources is of a packet from one more source than a key is good for.
	ErrSources = errors.New("srtp: too many sources under one key")
)

// Receiver opens what one peer sends. RTP and RTCP may be called from a
// goroutine each.
type Receiver struct {
	crypto Crypto
	now    *keys
	before *keys     // of the key that this one replaces; nil: none
	until  time.Time // when before is good for nothing any more

	header      rtp.Header
	report      rtcp.Header
	rtp, rtcp   [maxPacket]byte // the latest packet, opened
	sources     sources
	reportsFrom sources
}

// keys are one key's contexts. They know how often each source's sequence
// numbers have wrapped (ROC), and what came from it.
type keys struct {
	rtp, rtcp        *pion.Context
	packets, reports window
}

// NewReceiver opens packets that are sealed with the peer's key. Former is the
// one that this one takes over from, nil if there is none: a key's change doesn't
// lose packets that are under way, nor the count of wraps (RFC 3711 section 3.3.1).
func NewReceiver(c Crypto, former *Receiver) *Receiver {
	r := &Receiver{crypto: c, now: newKeys(c), sources: sources{}, reportsFrom: sources{}}
	if former != nil {
		r.before, r.until = former.now, time.Now().Add(overlap)
	}
	return r
}

// newKeys makes a context for RTP and one for RTCP: they are used at the same time.
func newKeys(c Crypto) *keys {
	k := &keys{}
	k.rtp = newContext(c, pion.SRTPReplayDetectorFactory(k.packets.make))
	k.rtcp = newContext(c, pion.SRTCPReplayDetectorFactory(k.reports.make))
	return k
}

// newContext panics where a key has another length than its suite's, which none
// that New or Parse has made does.
func newContext(c Crypto, options ...pion.ContextOption) *pion.Context {
	s, _ := suiteOf(c.Suite)
	k := c.key()
	ctx, err := pion.CreateContext(k.key, k.salt, s.profile, append(options, pion.MasterKeyIndicator(k.mki))...)
	if err != nil {
		panic("srtp: making a context: " + err.Error())
	}
	return ctx
}

// Crypto is the peer's key.
func (r *Receiver) Crypto() Crypto { return r.crypto }

// Format has no key in it.
func (r *Receiver) Format(f fmt.State, verb rune) { r.crypto.Format(f, verb) }

// RTP opens a packet. What it returns is good until the next call.
func (r *Receiver) RTP(packet []byte, at time.Time) ([]byte, error) {
	if len(packet) < 12 || len(packet) > maxPacket {
		return nil, ErrAuth
	}
	out, err := r.openRTP(packet)
	if errors.Is(err, ErrAuth) && r.before != nil && at.Before(r.until) {
		return r.before.openRTP(r.rtp[:0], packet, &r.header)
	}
	return out, err
}

// openRTP opens a packet with the key of now. How often its sequence numbers
// have wrapped isn't said in it. At a change of key some peers go on counting, as
// RFC 3711 section 3.3.1 demands, and others begin anew.
func (r *Receiver) openRTP(packet []byte) ([]byte, error) {
	ssrc := binary.BigEndian.Uint32(packet[8:])
	if r.sources.has(ssrc) {
		return r.now.openRTP(r.rtp[:0], packet, &r.header)
	}
	if len(r.sources) >= maxSources {
		return nil, ErrSources
	}
	for _, n := range r.wraps(ssrc) {
		r.now.rtp.SetROC(ssrc, n)
		if out, err := r.now.openRTP(r.rtp[:0], packet, &r.header); err == nil {
			r.sources.add(ssrc)
			return out, nil
		}
		r.now.rtp.SetROC(ssrc, 0)
	}
	out, err := r.now.openRTP(r.rtp[:0], packet, &r.header)
	if err == nil {
		r.sources.add(ssrc)
	}
	return out, err
}

// wraps are the counts to try for a source that sent under the key before, but
// not under that of now.
func (r *Receiver) wraps(ssrc uint32) []uint32 {
	if r.before == nil {
		return nil
	}
	if n, ok := r.before.rtp.ROC(ssrc); ok && n > 0 {
		return []uint32{n, n + 1}
	}
	return nil
}

func (k *keys) openRTP(dst, packet []byte, h *rtp.Header) ([]byte, error) {
	k.packets.refused = false
	out, err := k.rtp.DecryptRTP(dst, packet, h)
	return out, k.packets.verdict(err)
}

// RTCP opens a compound packet. What it returns is good until the next call.
func (r *Receiver) RTCP(packet []byte, at time.Time) ([]byte, error) {
	if len(packet) < 8 || len(packet) > maxPacket {
		return nil, ErrAuth
	}
	ssrc := binary.BigEndian.Uint32(packet[4:])
	if !r.reportsFrom.has(ssrc) && len(r.reportsFrom) >= maxSources {
		return nil, ErrSources
	}
	out, err := r.now.openRTCP(r.rtcp[:0], packet, &r.report)
	if err == nil {
		r.reportsFrom.add(ssrc)
	} else if errors.Is(err, ErrAuth) && r.before != nil && at.Before(r.until) {
		return r.before.openRTCP(r.rtcp[:0], packet, &r.report)
	}
	return out, err
}

func (k *keys) openRTCP(dst, packet []byte, h *rtcp.Header) ([]byte, error) {
	k.reports.refused = false
	out, err := k.rtcp.DecryptRTCP(dst, packet, h)
	return out, k.reports.verdict(err)
}
