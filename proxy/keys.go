package proxy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/proxy/sdp"
)

// redundantCoding is RFC 2198's payload in a description.
const redundantCoding = "RED"

// listen has the relay look for tones while keys mean something.
func (c *call) listen() {
	if c.media.relay == nil {
		return
	}
	s := c.law.session.State()
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		c.media.relay.Leg(p).Listen(s > consent.Idle && s < consent.Unrecorded)
	}
}

// keyFormats adds to what the relay knows of a leg's peer how its keys come, other
// than as events at 8 kHz: known are the numbers that it sends by.
func (l *leg) keyFormats(p *media.Peer, known map[uint8]bool) {
	for _, codec := range l.audio().Codecs() {
		isKey := codec.Name == telephoneEvent && codec.ClockRate != 8000 || codec.Name == redundantCoding
		if isKey && !known[codec.PayloadType] {
			p.Codecs = append(p.Codecs, mediaCodec(codec))
		}
	}
	p.InBand = !l.agreedOnEvents()
}

// agreedOnEvents: both descriptions have telephone-event; ours, where it is the
// other one, has it at the rate that we chose.
func (l *leg) agreedOnEvents() bool {
	has := func(m *sdp.Media) bool {
		return slices.ContainsFunc(m.Codecs(), func(c sdp.Codec) bool {
			return c.Name == telephoneEvent && (!l.answeredByUs() || c.ClockRate == l.call.ring.keys)
		})
	}
	far := l.other().audio()
	return has(l.audio()) && (l.answeredByUs() || far == nil || has(far))
}

// longestKey is the longest duration of a key in an INFO that is believed.
const longestKey = 10 * time.Second

// infoKey reads a key from SIP INFO: application/dtmf-relay or application/dtmf
// as PBXs send them (RFC 6086 knows no package for it).
func infoKey(req *sip.Request) (consent.Press, bool) {
	if req.Method != sip.INFO {
		return consent.Press{}, false
	}
	press := consent.Press{Via: "info", At: time.Now()}
	body := strings.TrimSpace(string(req.Body()))
	switch t := strings.ToLower(strings.TrimSpace(header(req, "content-type"))); t {
	case "application/dtmf":
	case "application/dtmf-relay":
		signal := ""
		for _, line := range strings.Split(body, "\n") {
			k, v, ok := strings.Cut(line, "=")
			if v = strings.TrimSpace(v); !ok {
				continue
			}
			switch strings.ToLower(strings.TrimSpace(k)) {
			case "signal":
				signal = v
			case "duration": // ms
				if ms, err := strconv.ParseUint(v, 10, 16); err == nil {
					press.Duration = min(time.Duration(ms)*time.Millisecond, longestKey)
				}
			}
		}
		body = signal
	default:
		return consent.Press{}, false
	}
	var err error
	press.Key, err = consent.ParseKey(strings.ToUpper(body))
	return press, err == nil
}
