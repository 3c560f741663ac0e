package scenario

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// dataSocket is an actor's end of what isn't speech: video, a fax. It says and
// hears single datagrams of text.
type dataSocket struct {
	conn *net.UDPConn
	done sync.WaitGroup

	mu      sync.Mutex
	got     []string
	arrived chan struct{} // closed and remade at each datagram
	to      netip.AddrPort
}

func newDataSocket(ip string) (*dataSocket, error) {
	conn, err := newSocket(netip.MustParseAddr(ip))
	if err != nil {
		return nil, err
	}
	d := &dataSocket{conn: conn, arrived: make(chan struct{})}
	d.done.Go(d.read)
	return d, nil
}

func (d *dataSocket) close() {
	_ = d.conn.Close() // a socket: what is lost is a scenario's end
	d.done.Wait()
}

func (d *dataSocket) port() string {
	return strconv.Itoa(int(d.conn.LocalAddr().(*net.UDPAddr).Port))
}

func (d *dataSocket) read() {
	buf := make([]byte, 65536)
	for {
		n, _, err := d.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		d.mu.Lock()
		d.got = append(d.got, string(buf[:n]))
		close(d.arrived)
		d.arrived = make(chan struct{})
		d.mu.Unlock()
	}
}

func (d *dataSocket) has(text string) (bool, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.got, text), d.arrived
}

// apply takes the far end's description: the first section beside the first audio
// that has a port. One without leaves what was known: nobody is sent to there, but
// a scenario may try.
func (d *dataSocket) apply(body string) {
	host, audio := "", false
	for _, l := range strings.Split(body, "\r\n") {
		f := strings.Fields(l)
		switch {
		case strings.HasPrefix(l, "c=") && len(f) == 3:
			host = f[2]
		case strings.HasPrefix(l, "m=audio ") && strings.Contains(l, " RTP/AVP ") && !audio:
			audio = true
		case strings.HasPrefix(l, "m=") && len(f) > 2 && f[1] != "0":
			if at, err := netip.ParseAddrPort(host + ":" + f[1]); err == nil {
				d.mu.Lock()
				d.to = at
				d.mu.Unlock()
				return
			}
		}
	}
}

func (p *player) sendData(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	whose := a
	if to, ok := strings.CutPrefix(w[2], " to "); ok {
		whose = p.actors[to]
	}
	whose.data.mu.Lock()
	to := whose.data.to
	whose.data.mu.Unlock()
	if !to.IsValid() {
		return fmt.Errorf("the gate has no second port for %s yet", whose.name)
	}
	_, err = a.data.conn.WriteToUDPAddrPort([]byte(w[1]), to)
	return err
}

// getData waits for a datagram. One from a named actor is sent again and again
// until it comes: the gate may open a little later than it says so.
func (p *player) getData(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	ctx, cancel := within(stepTime)
	defer cancel()
	for {
		has, arrived := a.data.has(w[1])
		if has {
			return nil
		}
		if from, ok := strings.CutPrefix(w[2], " from "); ok {
			if err := p.sendData([]string{from, w[1], ""}); err != nil {
				return err
			}
		}
		select {
		case <-arrived:
		case <-time.After(50 * time.Millisecond): // to send it again
		case <-ctx.Done():
			return errors.New("it never came")
		}
	}
}

func (p *player) neverGotData(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	if has, _ := a.data.has(w[1]); has {
		return errors.New("it did")
	}
	return nil
}

const (
	faxLines   = " udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\n"
	videoLines = " RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 profile-level-id=42e01f\r\n"
	partsEnd   = "--parts"
)

// sections makes a description with more or other sections than one audio of a
// plain one; "" where there is no such kind.
func (a *actor) sections(kind string) string {
	plain := string(a.media.Describe("sendrecv"))
	head, _, _ := strings.Cut(plain, "m=audio")
	switch kind {
	case "video":
		return plain + "m=video " + a.data.port() + videoLines
	case "novideo":
		return plain + "m=video 0" + videoLines
	case "screen":
		return plain + "m=video " + a.data.port() + videoLines + "m=application 9 UDP/BFCP *\r\n"
	case "noscreen":
		return plain + "m=video " + a.data.port() + videoLines + "m=application 0 UDP/BFCP *\r\n"
	case "savp":
		return head + "m=audio " + a.data.port() + " RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
	case "hostname":
		return strings.Replace(plain, "c=IN IP4 127.0.0.1", "c=IN IP4 localhost", 1)
	case "onlymsrp":
		return head + "m=message 2855 TCP/MSRP *\r\na=path:msrp://127.0.0.1:2855/x;tcp\r\n"
	case "bundle":
		return strings.Replace(plain, "m=audio", "a=group:BUNDLE 0 1\r\nm=audio", 1) + "a=mid:0\r\nm=video " + a.data.port() + videoLines + "a=mid:1\r\na=rtcp-mux\r\n"
	case "msrp":
		return plain + "m=message 2855 TCP/MSRP *\r\na=path:msrp://127.0.0.1:2855/x;tcp\r\n"
	case "nomsrp":
		return plain + "m=message 0 TCP/MSRP *\r\n"
	case "t38":
		return head + "m=image " + a.data.port() + faxLines
	case "t38beside":
		return head + "m=audio 0 RTP/AVP 0\r\nm=image " + a.data.port() + faxLines
	case "not38":
		return plain + "m=image 0" + faxLines
	case "multipart":
		return partsEnd + "\r\nContent-Type: application/sdp\r\n\r\n" + plain + "\r\n" + partsEnd +
			"\r\nContent-Type: application/ISUP;version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\x11\x00\x02\r\n" + partsEnd + "--\r\n"
	}
	return ""
}

// typeOf is the Content-Type that goes with a description.
func typeOf(body string) string {
	if strings.HasPrefix(body, partsEnd) {
		return "multipart/mixed;boundary=parts"
	}
	return "application/sdp"
}
