package sdp

import (
	"fmt"
	"net/netip"
	"strings"
)

// Answer makes an answer of our own to an offer (RFC 3264 section 6): that
// codec of its first audio section and, if it has them, the telephone events that
// Keys finds; every other section is refused. version is of its o=
// line: id names us in it for the whole of the dialog.
func (s *Session) Answer(at netip.AddrPort, codec Codec, id, version uint64) ([]byte, error) {
	audio := s.Audio()
	if audio == nil {
		return nil, fmt.Errorf("sdp: an offer without plain audio can't be answered by us")
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0")
	line("%s", Origin(at.Addr(), id, version))
	line("s=-")
	line("c=IN %s %s", family(at.Addr()), at.Addr())
	line("t=0 0")
	for _, m := range s.Media {
		if m != audio {
			f := strings.Fields(m.lines[0])
			line("%s 0 %s", f[0], strings.Join(f[2:], " "))
			continue
		}
		formats := []string{fmt.Sprint(codec.PayloadType)}
		events, have := m.Keys(codec.ClockRate)
		if have {
			formats = append(formats, fmt.Sprint(events.PayloadType))
		}
		port := at.Port()
		if m.Port == 0 {
			port = 0
		}
		line("m=audio %d %s %s", port, m.Proto, strings.Join(formats, " "))
		line("a=rtpmap:%d %s/%d", codec.PayloadType, codec.Name, codec.ClockRate)
		if have {
			line("a=rtpmap:%d telephone-event/%d", events.PayloadType, events.ClockRate)
			line("a=fmtp:%d 0-15", events.PayloadType)
		}
		line("a=ptime:%d", m.Ptime().Milliseconds())
		line("a=%s", m.Direction().mirrored())
	}
	return []byte(b.String()), nil
}

// Origin is an o= line of ours (RFC 8866 section 5.2).
func Origin(at netip.Addr, id, version uint64) string {
	return fmt.Sprintf("o=- %d %d IN %s %s", id, version, family(at), at)
}

// WithOrigin puts another o= line into a description.
func WithOrigin(body []byte, origin string) []byte {
	start, end, ok := originLine(body)
	if !ok {
		return body
	}
	return []byte(string(body[:start]) + origin + string(body[end:]))
}

// Keys are the telephone events that go with a codec: those of its clock rate (RFC
// 4733 section 2.1), else those of 8 kHz, which some telephones have with all.
func (m *Media) Keys(clock int) (found Codec, ok bool) {
	for _, c := range m.Codecs() {
		if c.Name != "TELEPHONE-EVENT" {
			continue
		}
		if c.ClockRate == clock {
			return c, true
		}
		if c.ClockRate == 8000 && !ok {
			found, ok = c, true
		}
	}
	return found, ok
}

// mirrored is the answer to a direction (RFC 3264 section 6.1).
func (d Direction) mirrored() Direction {
	switch d {
	case SendOnly:
		return RecvOnly
	case RecvOnly:
		return SendOnly
	}
	return d
}
