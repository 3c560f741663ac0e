package scenario_test

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"consentgate/internal/scenario"
)

// wire is the least that can stand between carrier and pbx: it passes SIP and
// RTP on as docs/sip-behaviour.md says, asks nobody and records nothing. It can
// be told to do wrong.
type wire struct {
	t     *testing.T
	sip   map[string]*net.UDPConn
	rtp   map[string]*net.UDPConn // each side's media port
	data  map[string]*net.UDPConn // and that of its second section
	peers map[string]netip.AddrPort
	wrongs
	ev   scenario.Evidence
	done sync.WaitGroup

	mu    sync.Mutex
	vias  map[string]string         // a request's Via by its branch
	media map[string]netip.AddrPort // where each side wants its RTP
	other map[string]netip.AddrPort // and its second section
}

// wrongs are what a wire does wrong.
type wrongs struct {
	spoil  func(to, text string) string // changes what goes out; "" is lost
	direct bool                         // descriptions keep their ports
	counts string                       // a metric that is 1
}

var other = map[string]string{"carrier": "pbx", "pbx": "carrier"}

// startWire returns the start function of a wire, with what it will say it left
// behind.
func startWire(t *testing.T, ev scenario.Evidence, does wrongs) scenario.Start {
	return func(s scenario.Settings) (scenario.Gate, error) {
		w := &wire{t: t, sip: map[string]*net.UDPConn{}, rtp: map[string]*net.UDPConn{}, data: map[string]*net.UDPConn{}, peers: s.Peers, wrongs: does, ev: ev,
			vias: map[string]string{}, media: map[string]netip.AddrPort{}, other: map[string]netip.AddrPort{}}
		for side := range other {
			for _, m := range []map[string]*net.UDPConn{w.sip, w.rtp, w.data} {
				c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					return nil, err
				}
				t.Cleanup(func() { _ = c.Close() })
				m[side] = c
			}
		}
		for side := range other {
			w.done.Go(func() {
				w.read(w.sip[side], func(from netip.AddrPort, raw []byte) { w.message(side, from, string(raw)) })
			})
			w.done.Go(func() {
				w.read(w.rtp[side], func(_ netip.AddrPort, raw []byte) { w.packet(w.rtp, w.media, side, raw) })
			})
			w.done.Go(func() {
				w.read(w.data[side], func(_ netip.AddrPort, raw []byte) { w.packet(w.data, w.other, side, raw) })
			})
		}
		return w, nil
	}
}

func (w *wire) read(c *net.UDPConn, f func(netip.AddrPort, []byte)) {
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		f(from, buf[:n])
	}
}

var (
	viaLine     = regexp.MustCompile(`Via: (.*branch=(\w+).*)\r\n`)
	contactHost = regexp.MustCompile(`(Contact: <sip:\w+@)[\d.:]+`)
	audioLine   = regexp.MustCompile(`m=audio (\d+) `)
	otherLine   = regexp.MustCompile(`m=(?:video|image) (\d+) `)
	toTag       = regexp.MustCompile(`To: [^\r]*;tag=`)
	inDialogURI = regexp.MustCompile(`^(\w+) \S+ SIP/2.0`)
)

// message passes one on from a side.
func (w *wire) message(side string, from netip.AddrPort, text string) {
	if from != w.peers[side] {
		return
	}
	to := other[side]
	branch := viaLine.FindStringSubmatch(text)
	if branch == nil {
		return
	}
	w.mu.Lock()
	if strings.HasPrefix(text, "SIP/2.0 ") {
		text = strings.Replace(text, branch[0], "Via: "+w.vias[branch[2]]+"\r\n", 1)
	} else {
		w.vias[branch[2]] = branch[1]
		text = strings.Replace(text, branch[0], fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=%s\r\n", w.sip[to].LocalAddr(), branch[2]), 1)
		text = strings.Replace(text, "Max-Forwards: 70", "Max-Forwards: 69", 1)
		if toTag.MatchString(text) {
			text = inDialogURI.ReplaceAllString(text, fmt.Sprintf("$1 sip:%s@%s SIP/2.0", to, w.peers[to]))
		}
	}
	text = contactHost.ReplaceAllString(text, "${1}"+w.sip[to].LocalAddr().String())
	if !w.direct {
		text = w.anchor(audioLine, w.media, side, text, w.rtp[to])
		text = w.anchor(otherLine, w.other, side, text, w.data[to])
	}
	w.mu.Unlock()
	if w.spoil != nil {
		text = w.spoil(to, text)
	}
	if text != "" {
		_, _ = w.sip[to].WriteToUDPAddrPort([]byte(text), w.peers[to]) // a lost datagram fails the test by itself
	}
}

// anchor puts a port of the wire into a section of a description, and notes the
// sender's.
func (w *wire) anchor(line *regexp.Regexp, of map[string]netip.AddrPort, side, text string, conn *net.UDPConn) string {
	m := line.FindStringSubmatch(text)
	if m == nil || m[1] == "0" {
		return text
	}
	of[side] = netip.MustParseAddrPort("127.0.0.1:" + m[1])
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	ours := strings.Replace(m[0], " "+m[1]+" ", fmt.Sprintf(" %d ", conn.LocalAddr().(*net.UDPAddr).Port), 1)
	body = strings.Replace(body, m[0], ours, 1)
	return regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(head, fmt.Sprintf("Content-Length: %d", len(body))) + "\r\n\r\n" + body
}

func (w *wire) packet(by map[string]*net.UDPConn, of map[string]netip.AddrPort, side string, raw []byte) {
	w.mu.Lock()
	to := of[other[side]]
	w.mu.Unlock()
	if to.IsValid() {
		_, _ = by[other[side]].WriteToUDPAddrPort(raw, to)
	}
}

func (w *wire) Addr(side string) netip.AddrPort {
	return w.sip[side].LocalAddr().(*net.UDPAddr).AddrPort()
}

func (w *wire) Metric(series string) float64 {
	return map[string]float64{"three": 3, w.counts: 1}[series]
}

func (w *wire) Disk(string) error { return fmt.Errorf("a wire has no disk") }

func (w *wire) Finish() (*scenario.Evidence, error) {
	for side := range other {
		_, _, _ = w.sip[side].Close(), w.rtp[side].Close(), w.data[side].Close()
	}
	w.done.Wait()
	return &w.ev, nil
}
