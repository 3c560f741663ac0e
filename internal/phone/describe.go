package phone

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Describe is the session description of this end (RFC 8866); each has a higher
// version than the last. direction is sendrecv, sendonly, recvonly or inactive.
func (m *Media) Describe(direction string) []byte {
	m.mu.Lock()
	m.version++
	version := m.version
	m.mu.Unlock()
	at, family := m.Addr(), "IP4"
	if at.Addr().Is6() {
		family = "IP6"
	}
	return fmt.Appendf(nil, "v=0\r\no=- 1 %d IN %s %s\r\ns=-\r\nc=IN %[2]s %[3]s\r\nt=0 0\r\nm=audio %[4]d RTP/AVP 0 8 101\r\n"+
		"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=%[5]s\r\n",
		version, family, at.Addr(), at.Port(), direction)
}

// description is what a phone makes of the far end's: its first audio section.
type description struct {
	at        netip.AddrPort
	formats   []string // payload types, as they stand in the m= line
	events    uint8    // the payload type of telephone-event, 0 where there is none
	direction string
}

func describe(body []byte) (d description) {
	section := 0
	d.direction = "sendrecv"
	host, port := "", ""
	for _, line := range strings.Split(string(body), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.HasPrefix(line, "m=") {
			if section++; section > 1 {
				break
			}
		}
		kind, value, _ := strings.Cut(line, "=")
		f := strings.Fields(value)
		switch {
		case kind == "c" && len(f) == 3:
			host = f[2]
		case kind == "m" && len(f) > 3 && f[0] == "audio":
			port, d.formats = f[1], f[3:]
		case kind == "a" && len(f) == 2 && strings.HasPrefix(strings.ToLower(f[1]), "telephone-event/8000"):
			if n, err := strconv.ParseUint(strings.TrimPrefix(f[0], "rtpmap:"), 10, 7); err == nil {
				d.events = uint8(n)
			}
		case kind == "a" && slices.Contains([]string{"sendrecv", "sendonly", "recvonly", "inactive"}, value):
			d.direction = value
		}
	}
	a, err1 := netip.ParseAddr(host)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err1 == nil && err2 == nil {
		d.at = netip.AddrPortFrom(a, uint16(n))
	}
	return d
}

// Apply takes the far end's description: where it wants its media, in which of
// our codecs, and whether it wants any (RFC 3264). Without a body nothing changes.
func (m *Media) Apply(body []byte) {
	if len(body) == 0 {
		return
	}
	d := describe(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to, m.events, m.codec = d.at, d.events, silentCodec
	m.held = d.direction == "sendonly" || d.direction == "inactive"
	for _, f := range d.formats {
		if f == "0" || f == "8" {
			m.codec = f[0] - '0'
			break
		}
	}
}
