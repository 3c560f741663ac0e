package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/internal/phone"
)

// actor is one side of a scenario: a SIP socket that says exactly what the
// scenario tells it, and a telephone's media.
type actor struct {
	name  string
	conn  *net.UDPConn
	gate  netip.AddrPort
	media *phone.Media
	trace func(string)

	inbox   chan sip.Message
	done    sync.WaitGroup
	seen    map[string]bool // what came already, so that repetitions are told apart
	repeats map[string]int

	callID, local, remote string
	target                string
	routes                []string
	cseq                  uint32
	invite                *sip.Request // latest INVITE sent or received
	last                  map[string]*sip.Request
	offered               string // direction of the latest offer received
}

func newActor(name string, trace func(string)) (*actor, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	media, err := phone.NewMedia(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return nil, err
	}
	a := &actor{name: name, conn: conn, media: media, trace: trace, inbox: make(chan sip.Message, 256),
		seen: map[string]bool{}, repeats: map[string]int{}, last: map[string]*sip.Request{}, cseq: 1}
	a.done.Go(a.read)
	return a, nil
}

func (a *actor) addr() string { return a.conn.LocalAddr().String() }

func (a *actor) close() {
	_ = a.conn.Close()
	a.media.Close()
	a.done.Wait()
}

func (a *actor) read() {
	parser := sip.NewParser()
	buf := make([]byte, 65536)
	for {
		n, _, err := a.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		raw := string(buf[:n])
		msg, err := parser.ParseSIP([]byte(raw))
		if err != nil {
			a.trace(a.name + " < something that isn't SIP: " + raw)
			continue
		}
		a.trace(a.name + " < " + raw)
		select {
		case a.inbox <- msg:
		default:
		}
	}
}

func token() string { return strings.ToLower(rand.Text()[:10]) }

func what(m sip.Message) string {
	switch m := m.(type) {
	case *sip.Request:
		return string(m.Method)
	case *sip.Response:
		return strconv.Itoa(m.StatusCode) + " " + string(m.CSeq().MethodName)
	}
	return ""
}

// next is the next new message; repetitions and 100s are passed over. "" and nil
// at the deadline.
func (a *actor) next(ctx context.Context) (sip.Message, error) {
	for {
		select {
		case m := <-a.inbox:
			branch, _ := m.Via().Params.Get("branch")
			key := what(m) + branch + m.CSeq().Value()
			if res, ok := m.(*sip.Response); ok {
				key += res.To().Value()
				if res.StatusCode == 100 {
					continue
				}
			}
			if a.seen[key] {
				a.repeats[what(m)]++
				continue
			}
			a.seen[key] = true
			a.note(m)
			return m, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// note learns what a user agent would of a message.
func (a *actor) note(m sip.Message) {
	switch m := m.(type) {
	case *sip.Request:
		a.last[string(m.Method)] = m
		if m.Method == sip.INVITE {
			_, inDialog := m.To().Params.Get("tag")
			if !inDialog {
				a.callID, a.remote = m.CallID().Value(), m.From().Value()
				a.local = m.To().Value() + ";tag=" + token()
				a.routes = nil
				for _, h := range m.GetHeaders("Record-Route") {
					a.routes = append(a.routes, h.Value())
				}
			}
			a.invite = m
		}
		if h := m.Contact(); h != nil && (m.Method == sip.INVITE || m.Method == sip.UPDATE) {
			a.target = h.Address.String()
		}
		a.describe(m.Body())
	case *sip.Response:
		if m.CSeq().MethodName == sip.INVITE && m.StatusCode > 100 && m.StatusCode < 300 {
			a.remote = m.To().Value()
			if h := m.Contact(); h != nil {
				a.target = h.Address.String()
			}
			a.describe(m.Body())
		}
	}
}

func (a *actor) describe(body []byte) {
	if len(body) == 0 {
		return
	}
	a.media.Apply(body)
	a.offered = "sendrecv"
	for _, d := range []string{"sendonly", "recvonly", "inactive"} {
		if strings.Contains(string(body), "a="+d) {
			a.offered = d
		}
	}
}

func (a *actor) write(text string) error {
	a.trace(a.name + " > " + text)
	_, err := a.conn.WriteToUDPAddrPort([]byte(text), a.gate)
	return err
}

// message is a SIP message being put together.
type message struct {
	start   string
	headers []string
	body    []byte
}

func (m *message) add(format string, args ...any) {
	m.headers = append(m.headers, fmt.Sprintf(format, args...))
}

func (m *message) String() string {
	return m.start + "\r\n" + strings.Join(m.headers, "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(m.body), m.body)
}

// request says a request. number is for an INVITE that begins a call.
func (a *actor) request(method, number, sdp string, extra []string) error {
	uri := a.target
	switch {
	case method == "INVITE" && number != "":
		uri = "sip:" + number + "@" + a.gate.String()
		if strings.HasPrefix(number, "urn:") {
			uri = number
		}
		if a.callID == "" || !hasHeader(extra, "Authorization", "Proxy-Authorization") {
			a.callID = token() + "@" + a.name
			a.local = "\"" + a.name + "\" <sip:+442079460123@" + a.addr() + ">;tag=" + token()
		}
		a.remote = "<" + uri + ">"
	case uri == "" || number != "":
		uri = "sip:" + number + "@" + a.gate.String()
		if number == "gate" {
			uri = "sip:" + a.gate.String()
		}
		if a.callID == "" {
			a.callID, a.local, a.remote = token(), "<sip:"+a.name+"@"+a.addr()+">;tag="+token(), "<"+uri+">"
		}
	}
	m := &message{start: method + " " + uri + " SIP/2.0"}
	cseq, branch := a.cseq, "z9hG4bK"+token()
	if method == "ACK" || method == "CANCEL" {
		cseq = a.invite.CSeq().SeqNo
		if method == "CANCEL" {
			branch, _ = a.invite.Via().Params.Get("branch")
			m.start = method + " " + a.invite.Recipient.String() + " SIP/2.0"
		}
	} else {
		a.cseq++
	}
	to := a.remote
	if method == "CANCEL" {
		to = a.invite.To().Value()
	}
	m.add("Via: SIP/2.0/UDP %s;branch=%s", a.addr(), branch)
	m.add("Max-Forwards: 70")
	m.add("From: %s", a.local)
	m.add("To: %s", to)
	m.add("Call-ID: %s", a.callID)
	m.add("CSeq: %d %s", cseq, method)
	m.add("Contact: <sip:%s@%s>", a.name, a.addr())
	m.headers = append(m.headers, extra...)
	a.body(m, sdp)
	if method == "INVITE" {
		parsed, err := sip.NewParser().ParseSIP([]byte(m.String()))
		if err != nil {
			return err
		}
		a.invite = parsed.(*sip.Request)
	}
	return a.write(m.String())
}

func hasHeader(lines []string, names ...string) bool {
	for _, l := range lines {
		for _, n := range names {
			if strings.HasPrefix(l, n+":") {
				return true
			}
		}
	}
	return false
}

func (a *actor) body(m *message, sdp string) {
	switch sdp {
	case "":
		return
	case "sdp":
		sdp = "sendrecv"
	case "answer":
		sdp = map[string]string{"sendonly": "recvonly", "recvonly": "sendonly"}[a.offered]
		if sdp == "" {
			sdp = "sendrecv"
		}
		if a.offered == "inactive" {
			sdp = "inactive"
		}
	case "g729":
		m.body = []byte(strings.NewReplacer("RTP/AVP 0 8 101", "RTP/AVP 18", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n",
			"a=rtpmap:18 G729/8000\r\n").Replace(string(a.media.Describe("sendrecv"))))
		m.add("Content-Type: application/sdp")
		return
	}
	m.body = a.media.Describe(sdp)
	m.add("Content-Type: application/sdp")
}

// respond answers the latest request of a method.
func (a *actor) respond(status int, reason, method, sdp string, extra []string) error {
	req := a.last[method]
	if req == nil {
		return fmt.Errorf("%s has no %s to answer", a.name, method)
	}
	if reason == "" {
		reason = map[int]string{100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 486: "Busy Here"}[status]
	}
	m := &message{start: fmt.Sprintf("SIP/2.0 %d %s", status, reason)}
	for _, h := range req.GetHeaders("Via") {
		m.add("Via: %s", h.Value())
	}
	m.headers = append(m.headers, "From: "+req.From().Value())
	to := req.To().Value()
	if _, ok := req.To().Params.Get("tag"); !ok && status > 100 {
		if to = a.local; to == "" {
			to = req.To().Value() + ";tag=" + token()
		}
	}
	m.add("To: %s", to)
	m.add("Call-ID: %s", req.CallID().Value())
	m.add("CSeq: %s", req.CSeq().Value())
	if status > 100 && status < 300 {
		m.add("Contact: <sip:%s@%s>", a.name, a.addr())
	}
	m.headers = append(m.headers, extra...)
	a.body(m, sdp)
	return a.write(m.String())
}

// deadline bounds each step.
const deadline = 8 * time.Second
