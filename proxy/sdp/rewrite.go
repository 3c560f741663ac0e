package sdp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Change says what Rewrite puts in.
type Change struct {
	// RTP is our address for the first audio section. Other sections are
	// refused (port 0): what isn't anchored must not be offered.
	RTP netip.AddrPort
	// Keep decides which codecs of that section stay; nil keeps all. If it
	// would keep none, all stay.
	Keep func(Codec) bool
}

// Rewrite returns the description with our addresses in it.
func (s *Session) Rewrite(c Change) []byte {
	var b strings.Builder
	put := func(line string) { b.WriteString(line); b.WriteString(s.eol) }
	for _, l := range s.lines {
		if keep, line := rewriteLine(l, c.RTP); keep {
			put(line)
		}
	}
	audio := s.Audio()
	for _, m := range s.Media {
		if m != audio {
			m.writeRefused(put)
			continue
		}
		m.writeAnchored(put, c)
	}
	return []byte(b.String())
}

func (m *Media) writeRefused(put func(string)) {
	put(m.line(0, m.Formats))
	for _, l := range m.lines[1:] {
		put(l)
	}
}

func (m *Media) writeAnchored(put func(string), c Change) {
	formats, dropped := m.narrow(c.Keep)
	port := c.RTP.Port()
	if m.Port == 0 {
		port = 0
	}
	put(m.line(port, formats))
	for _, l := range m.lines[1:] {
		if belongsTo(l, dropped) {
			continue
		}
		if keep, line := rewriteLine(l, c.RTP); keep {
			put(line)
		}
	}
}

// line is the m= line with that port and those formats; untouched where both
// are as they were.
func (m *Media) line(port uint16, formats []string) string {
	if port == m.Port && len(formats) == len(m.Formats) {
		return m.lines[0]
	}
	f := strings.Fields(m.lines[0])
	return strings.Join(append([]string{f[0], strconv.Itoa(int(port)), f[2]}, formats...), " ")
}

// rewriteLine changes one line, or drops it: ICE (RFC 8839) would lead media
// round us, rtcp-mux (RFC 5761) would put RTCP where we relay RTP.
func rewriteLine(l string, own netip.AddrPort) (keep bool, line string) {
	switch {
	case strings.HasPrefix(l, "c="):
		if f := strings.Fields(l[2:]); len(f) == 3 && (f[2] == "0.0.0.0" || f[2] == "::") {
			return true, l // held the old way; must stay so
		}
		return true, fmt.Sprintf("c=IN %s %s", family(own.Addr()), own.Addr())
	case strings.HasPrefix(l, "a=rtcp:"):
		return true, fmt.Sprintf("a=rtcp:%d", own.Port()+1)
	case strings.HasPrefix(l, "a=candidate:"), strings.HasPrefix(l, "a=ice-"), l == "a=end-of-candidates",
		strings.HasPrefix(l, "a=remote-candidates:"), l == "a=rtcp-mux", l == "a=rtcp-mux-only":
		return false, ""
	}
	return true, l
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IP4"
	}
	return "IP6"
}

// narrow returns the formats that stay and those that go.
func (m *Media) narrow(keep func(Codec) bool) (kept, dropped []string) {
	if keep == nil || !m.Plain() {
		return m.Formats, nil
	}
	known := map[string]Codec{}
	for _, c := range m.Codecs() {
		known[strconv.Itoa(int(c.PayloadType))] = c
	}
	speech := false
	for _, f := range m.Formats {
		if c, ok := known[f]; ok && keep(c) {
			kept = append(kept, f)
			speech = speech || c.Name != "TELEPHONE-EVENT" && c.Name != "CN"
		} else {
			dropped = append(dropped, f)
		}
	}
	if !speech {
		return m.Formats, nil
	}
	return kept, dropped
}

// belongsTo reports whether a line describes one of those payload types.
func belongsTo(l string, formats []string) bool {
	for _, prefix := range []string{"a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"} {
		if v, ok := strings.CutPrefix(l, prefix); ok {
			pt, _, _ := strings.Cut(v, " ")
			for _, f := range formats {
				if f == pt {
					return true
				}
			}
		}
	}
	return false
}
