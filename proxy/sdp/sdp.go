// Package sdp reads session descriptions (RFC 8866) and changes in them only
// what an anchor of media must: addresses, ports, and what it cannot carry.
// Every other byte stays as it came. It keeps lines, not a model: a model would
// write out only what it knows.
package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds what is parsed, in bytes.
const maxBody = 64 << 10

// Direction is an m-section's, as its owner sees it (RFC 3264 section 5.1).
type Direction string

const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// Sends reports whether the description's owner will send.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives reports whether the description's owner will listen.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

// Codec is one payload type of an m-section.
type Codec struct {
	PayloadType uint8
	Name        string // upper case
	ClockRate   int    // Hz
	Channels    int    // 1 where it isn't said
}

// Media is one m-section.
type Media struct {
	Kind    string // audio, video, image, ...
	Proto   string // RTP/AVP, ...
	Port    uint16
	Formats []string
	ports   string   // the second field of its m= line, as it stands
	lines   []string // its m= line first
	session *Session
}

// Session is a parsed description.
type Session struct {
	lines []string // before the first m=
	Media []*Media
	audio int // index of the section that is ours to play to and record; -1: none
	eol   string
	open  bool // the last line has no end, as in a part of a multipart body
}

// Parse reads a description. It errs where media couldn't be anchored for
// certain; such a description is passed on as it is and nothing is recorded.
func Parse(body []byte) (*Session, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("sdp: %d bytes, at most %d are read", len(body), maxBody)
	}
	s := &Session{eol: "\r\n", audio: -1, open: len(body) > 0 && body[len(body)-1] != '\n'}
	// Line ends stay as they are, unless they are mixed: then all become CRLF.
	text := string(body)
	if !strings.Contains(text, "\r") {
		s.eol = "\n"
	}
	text = strings.ReplaceAll(text, "\r", "")
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i == 0 && line != "v=0" {
			return nil, errors.New("sdp: the first line isn't v=0")
		}
		if strings.HasPrefix(line, "m=") {
			m, err := parseMedia(line)
			if err != nil {
				return nil, err
			}
			m.session = s
			s.Media = append(s.Media, m)
			continue
		}
		if n := len(s.Media); n > 0 {
			s.Media[n-1].lines = append(s.Media[n-1].lines, line)
		} else {
			s.lines = append(s.lines, line)
		}
	}
	s.audio = slices.IndexFunc(s.Media, func(m *Media) bool { return m.audible() && m.Port != 0 })
	if s.audio < 0 {
		s.audio = slices.IndexFunc(s.Media, (*Media).audible)
	}
	return s, nil
}

func parseMedia(line string) (*Media, error) {
	f := strings.Fields(line[2:])
	if len(f) < 3 || len(strings.Fields(line)) != len(f) { // "m= 0 1 2": no kind
		return nil, fmt.Errorf("sdp: an m= line of %d fields", len(f))
	}
	portText, _, _ := strings.Cut(f[1], "/") // a number of ports: RFC 8866 section 5.14
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, errors.New("sdp: an m= line without a port")
	}
	return &Media{Kind: strings.ToLower(f[0]), Port: uint16(port), Proto: strings.ToUpper(f[2]),
		Formats: f[3:], ports: f[1], lines: []string{line}}, nil
}

// Audio returns the section that prompts are played to and that is recorded, or
// nil: the first that is audio by unencrypted RTP, or the first refused one where
// there is no other.
func (s *Session) Audio() *Media {
	if s.audio < 0 {
		return nil
	}
	return s.Media[s.audio]
}

// Follow makes an answer's Audio the section that answers the offer's: an answer
// has the offer's sections in the offer's order (RFC 3264 section 6).
func (s *Session) Follow(offer *Session) {
	s.audio = -1
	if i := offer.audio; i >= 0 && i < len(s.Media) && s.Media[i].audible() {
		s.audio = i
	}
}

// audible is audio by unencrypted RTP (RFC 3551).
func (m *Media) audible() bool {
	return m.Kind == "audio" && (m.Proto == "RTP/AVP" || m.Proto == "RTP/AVPF")
}

// Carried reports whether a relay of datagrams between two addresses can stand
// in for the section's owner: neither TCP (MSRP, BFCP over TCP) nor multicast,
// nor a host name for an address. An unknown protocol isn't taken for UDP.
func (m *Media) Carried() bool {
	datagrams := m.Proto == "UDP" || m.Proto == "UDPTL" || strings.HasPrefix(m.Proto, "UDP/") || strings.HasPrefix(m.Proto, "RTP/")
	a := m.ip()
	return datagrams && a.IsValid() && !a.IsMulticast()
}

// Carried reports whether the description's media can be relayed: its audio, or
// anything where it has none.
func (s *Session) Carried() bool {
	if a := s.Audio(); a != nil && a.Port != 0 {
		return a.Carried()
	}
	live := func(m *Media) bool { return m.Port != 0 }
	return slices.ContainsFunc(s.Media, func(m *Media) bool { return live(m) && m.Carried() }) ||
		len(s.Media) > 0 && !slices.ContainsFunc(s.Media, live)
}

// attribute returns the first a=name[:value] of the section, or of the session.
func (m *Media) attribute(name string) (string, bool) {
	for _, lines := range [][]string{m.lines, m.session.lines} {
		if v, ok := find(lines, "a="+name); ok {
			return v, true
		}
	}
	return "", false
}

func find(lines []string, prefix string) (string, bool) {
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, prefix); ok && (rest == "" || rest[0] == ':') {
			return strings.TrimPrefix(rest, ":"), true
		}
	}
	return "", false
}

// Direction is sendrecv where nothing is said (RFC 3264 section 5.1). What the
// section says counts, else what the session does (RFC 8866 section 6.7). An
// unspecified address is the old way to hold (RFC 2543): its owner won't listen.
func (m *Media) Direction() Direction {
	d, ok := direction(m.lines)
	if !ok {
		d, _ = direction(m.session.lines)
	}
	if a := m.ip(); a.IsValid() && a.IsUnspecified() {
		if d.Sends() {
			return SendOnly
		}
		return Inactive
	}
	return d
}

func direction(lines []string) (d Direction, ok bool) {
	for _, d := range []Direction{SendOnly, RecvOnly, Inactive, SendRecv} {
		if _, ok := find(lines, "a="+string(d)); ok {
			return d, true
		}
	}
	return SendRecv, false
}

// ip is the connection address (RFC 8866 section 5.7); invalid if it isn't one.
func (m *Media) ip() netip.Addr {
	for _, lines := range [][]string{m.lines, m.session.lines} {
		for _, l := range lines {
			if f := strings.Fields(strings.TrimPrefix(l, "c=")); strings.HasPrefix(l, "c=") && len(f) == 3 {
				host, _, _ := strings.Cut(f[2], "/")
				a, err := netip.ParseAddr(host)
				if err != nil {
					return netip.Addr{}
				}
				return a.Unmap()
			}
		}
	}
	return netip.Addr{}
}

// Address is where the owner listens for RTP; invalid while held by an
// unspecified address, when rejected (port 0), or where it isn't an IP address.
func (m *Media) Address() netip.AddrPort {
	a := m.ip()
	if !a.IsValid() || a.IsUnspecified() || m.Port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, m.Port)
}

// RTCP is where the owner listens for RTCP: a=rtcp (RFC 3605), or the next port;
// invalid where the section isn't RTP.
func (m *Media) RTCP() netip.AddrPort {
	rtp := m.Address()
	if !rtp.IsValid() || rtp.Port() == 65535 || !strings.Contains(m.Proto, "RTP/") {
		return netip.AddrPort{}
	}
	if v, ok := find(m.lines, "a=rtcp"); ok {
		f := strings.Fields(v)
		if len(f) > 0 {
			if port, err := strconv.ParseUint(f[0], 10, 16); err == nil {
				ip := rtp.Addr()
				if len(f) == 4 {
					if a, err := netip.ParseAddr(f[3]); err == nil {
						ip = a.Unmap()
					}
				}
				return netip.AddrPortFrom(ip, uint16(port))
			}
		}
	}
	return netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
}

// static are the payload types of RFC 3551 section 6 that may stand without an
// rtpmap and that telephones use.
var static = map[uint8]Codec{0: {0, "PCMU", 8000, 1}, 3: {3, "GSM", 8000, 1}, 4: {4, "G723", 8000, 1},
	8: {8, "PCMA", 8000, 1}, 9: {9, "G722", 8000, 1}, 13: {13, "CN", 8000, 1}, 18: {18, "G729", 8000, 1}}

// Codecs lists the section's payload types in order of preference.
func (m *Media) Codecs() []Codec {
	maps := map[uint8]Codec{}
	for _, l := range m.lines {
		v, ok := strings.CutPrefix(l, "a=rtpmap:")
		if !ok {
			continue
		}
		ptText, enc, _ := strings.Cut(v, " ")
		pt, err := strconv.ParseUint(ptText, 10, 7)
		parts := strings.Split(strings.TrimSpace(enc), "/")
		if err != nil || len(parts) < 2 {
			continue
		}
		rate, err := strconv.Atoi(parts[1])
		if err != nil {
			continue
		}
		channels := 1
		if len(parts) > 2 {
			if channels, err = strconv.Atoi(parts[2]); err != nil {
				continue
			}
		}
		maps[uint8(pt)] = Codec{uint8(pt), strings.ToUpper(parts[0]), rate, channels}
	}
	var out []Codec
	for _, f := range m.Formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		if c, ok := maps[uint8(pt)]; ok {
			out = append(out, c)
		} else if c, ok := static[uint8(pt)]; ok {
			out = append(out, c)
		}
	}
	return out
}

// Ptime is the packet length that the owner wants, 20 ms where it doesn't say
// or says something no telephone does.
func (m *Media) Ptime() time.Duration {
	if v, ok := m.attribute("ptime"); ok {
		if ms, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && ms >= 10 && ms <= 60 && ms%10 == 0 {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return 20 * time.Millisecond
}
