package sdp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Change says what Rewrite puts in.
type Change struct {
	// Own is our address where the description has one for all its sections.
	Own netip.Addr
	// At are our addresses for each section. One that has none, a zero one, is
	// refused (port 0): what isn't anchored must not be offered.
	At []netip.AddrPort
	// Keep decides which codecs of the audio section stay; nil keeps all. If it
	// would keep none, all stay.
	Keep func(Codec) bool
}

// Rewrite returns the description with our addresses in it.
func (s *Session) Rewrite(c Change) []byte {
	var b strings.Builder
	put := func(line string) { b.WriteString(line); b.WriteString(s.eol) }
	for _, l := range s.lines {
		if keep, line := rewriteLine(l, netip.AddrPortFrom(c.Own, 0)); keep {
			put(line)
		}
	}
	for i, m := range s.Media {
		at := netip.AddrPortFrom(c.Own, 0)
		if i < len(c.At) && c.At[i].IsValid() && m.Port != 0 {
			at = c.At[i]
		}
		var keep func(Codec) bool
		if i == s.audio {
			keep = c.Keep
		}
		m.write(put, at, keep)
	}
	return s.ended(b.String())
}

// ended ends a description as its owner did.
func (s *Session) ended(text string) []byte {
	if s.open {
		text = strings.TrimSuffix(text, s.eol)
	}
	return []byte(text)
}

func (m *Media) write(put func(string), at netip.AddrPort, keepCodec func(Codec) bool) {
	formats, dropped := m.narrow(keepCodec)
	put(m.line(at.Port(), formats))
	for _, l := range m.lines[1:] {
		if belongsTo(l, dropped) {
			continue
		}
		if keep, line := rewriteLine(l, at); keep {
			put(line)
		}
	}
}

// line is the m= line with that port and those formats; untouched where both
// are as they were. Where there were more ports than one (layers, RFC 8866
// section 5.14) the first is left: we stand in for one.
func (m *Media) line(port uint16, formats []string) string {
	ports := strconv.Itoa(int(port))
	if ports == m.ports && len(formats) == len(m.Formats) {
		return m.lines[0]
	}
	f := strings.Fields(m.lines[0])
	return strings.Join(append([]string{f[0], ports, f[2]}, formats...), " ")
}

// rewriteLine changes one line, or drops it. own without a port is that of a
// section that is refused.
func rewriteLine(l string, own netip.AddrPort) (keep bool, line string) {
	switch {
	case strings.HasPrefix(l, "c="):
		if f := strings.Fields(l[2:]); len(f) == 3 && (f[2] == "0.0.0.0" || f[2] == "::") {
			if family(own.Addr()) == f[1] {
				return true, l // held the old way; must stay so
			}
			own = netip.AddrPortFrom(unspecified(own.Addr()), 0)
		}
		return true, fmt.Sprintf("c=IN %s %s", family(own.Addr()), own.Addr())
	case strings.HasPrefix(l, "a=rtcp:"):
		return own.Port() != 0, fmt.Sprintf("a=rtcp:%d", own.Port()+1)
	}
	return !leadsRound(l), l
}

// leadsRound reports whether a line would have media go where we don't relay it:
// round us (ICE, RFC 8839; alternative addresses, RFC 6947), RTCP to the port of
// RTP (RFC 5761), or several sections to one port (RFC 9143: without its group
// each section has a port of its own, which every implementation can do; mid
// stays, for other groups name sections by it).
func leadsRound(l string) bool {
	switch l {
	case "a=end-of-candidates", "a=rtcp-mux", "a=rtcp-mux-only", "a=bundle-only", "a=group:BUNDLE":
		return true
	}
	for _, prefix := range []string{"a=candidate:", "a=ice-", "a=remote-candidates:", "a=altc:", "a=group:BUNDLE "} {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IP4"
	}
	return "IP6"
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// narrow returns the formats that stay and those that go.
func (m *Media) narrow(keep func(Codec) bool) (kept, dropped []string) {
	if keep == nil {
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
