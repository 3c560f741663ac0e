package scenario

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"consentgate/internal/phone"
)

// actor is one side of a scenario: a SIP socket that says exactly what the
// scenario tells it, and a telephone's media.
type actor struct {
	name  string
	conn  *net.UDPConn
	gate  netip.AddrPort
	media *phone.Media
	data  *dataSocket
	note  func(string)
	heard func(*actor, *message) error // looks at each new message that comes
	sent  []sending

	inbox   chan datagram
	done    sync.WaitGroup
	seen    map[string]bool // what came already, so that repetitions are told apart
	repeats map[string]int

	callID, local, remote string // of the latest dialog
	target                string
	cseq                  int
	invite                *message            // the latest INVITE, sent or received
	final                 *message            // the latest final response to one sent
	last                  map[string]*message // the latest request received, by method
	offered               string              // direction of the latest description received
	described             [2]string           // the latest two descriptions received
}

type datagram struct {
	raw string
	at  time.Time
}

type sending struct {
	*message
	at time.Time
}

func newActor(name, ip string, note func(string), heard func(*actor, *message) error) (*actor, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		return nil, err
	}
	media, err := phone.NewMedia(netip.MustParseAddr(ip))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	data, err := newDataSocket(ip)
	if err != nil {
		media.Close()
		return nil, errors.Join(err, conn.Close())
	}
	a := &actor{name: name, conn: conn, media: media, data: data, note: note, heard: heard, inbox: make(chan datagram, 256),
		seen: map[string]bool{}, repeats: map[string]int{}, last: map[string]*message{}}
	a.done.Go(a.read)
	return a, nil
}

func (a *actor) addr() netip.AddrPort { return a.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (a *actor) contact() string { return "sip:" + a.name + "@" + a.addr().String() }

func (a *actor) close() {
	_ = a.conn.Close() // a socket: what is lost is a scenario's end
	a.media.Close()
	a.data.close()
	a.done.Wait()
}

func (a *actor) read() {
	buf := make([]byte, 65536)
	for {
		n, _, err := a.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		a.note(a.name + " < " + string(buf[:n]))
		select {
		case a.inbox <- datagram{string(buf[:n]), time.Now()}:
		default:
			a.note(a.name + " has too many messages to read")
		}
	}
}

func token() string { return strings.ToLower(rand.Text()[:10]) }

// next is the next new message; repetitions and 100s are passed over.
func (a *actor) next(ctx context.Context) (*message, error) {
	for {
		select {
		case d := <-a.inbox:
			m, err := parse(d.raw)
			if err != nil {
				return nil, fmt.Errorf("what came isn't sound: %w", err)
			}
			key := m.kind() + param(m.get("Via"), "branch") + m.get("CSeq")
			if !m.request() {
				key += m.get("To")
			}
			switch {
			case m.status() == 100:
			case a.seen[key]:
				a.repeats[m.kind()]++
			default:
				a.seen[key] = true
				a.learn(m)
				return m, a.heard(a, m)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("nothing came: %w", ctx.Err())
		}
	}
}

// learn keeps what a user agent would of a message.
func (a *actor) learn(m *message) {
	if m.request() {
		a.last[m.method()] = m
		if m.method() == "INVITE" {
			a.invite = m
			if param(m.get("To"), "tag") == "" { // a new dialog
				a.callID, a.remote, a.local = m.get("Call-ID"), m.get("From"), m.get("To")+";tag="+token()
				a.cseq = 0
			}
		}
	} else if m.method() == "INVITE" {
		if m.status() >= 200 {
			a.final = m
		}
		if m.status() < 300 {
			a.remote = m.get("To")
		}
	}
	changes := m.method() == "INVITE" || m.method() == "UPDATE" || m.method() == "ACK" || m.method() == "PRACK"
	if !changes || m.status() >= 300 {
		return
	}
	if c := m.get("Contact"); c != "" {
		a.target = address(c)
	}
	if m.body == "" {
		return
	}
	a.described = [2]string{a.described[1], m.body}
	a.apply(m.body)
	a.offered = "sendrecv"
	for _, d := range []string{"sendonly", "recvonly", "inactive"} {
		if strings.Contains(m.body, "a="+d) {
			a.offered = d
		}
	}
}

func (a *actor) apply(description string) {
	a.media.Apply([]byte(description))
	a.data.apply(description)
}

func (a *actor) send(m *message) error {
	raw := m.String()
	a.note(a.name + " > " + raw)
	a.sent = append(a.sent, sending{m, time.Now()})
	_, err := a.conn.WriteToUDPAddrPort([]byte(raw), a.gate)
	return err
}

// repeat sends the latest message of a kind again, byte for byte.
func (a *actor) repeat(kind string) error {
	for _, s := range slices.Backward(a.sent) {
		if s.kind() == kind {
			a.note(a.name + " > again " + kind)
			_, err := a.conn.WriteToUDPAddrPort([]byte(s.String()), a.gate)
			return err
		}
	}
	return fmt.Errorf("%s hasn't sent %s", a.name, kind)
}

// begin starts a dialog with a number: a telephone number, a URN, or "gate" for
// the gate itself. A retry with credentials stays in the old one (RFC 3261
// section 22.2).
func (a *actor) begin(number string, retry bool) {
	switch {
	case strings.HasPrefix(number, "urn:"):
		a.target = number
	case number == "gate":
		a.target = "sip:" + a.gate.String()
	default:
		a.target = "sip:" + number + "@" + a.gate.String()
	}
	a.remote = "<" + a.target + ">"
	if !retry {
		a.callID, a.cseq = token()+"@"+a.name, 0
		a.local = `"` + a.name + `" <sip:+442079460123@` + a.addr().String() + ">;tag=" + token()
	}
}

// request says a request. number begins a dialog, "" stays in the latest one.
func (a *actor) request(method, number string, o options) error {
	if number != "" {
		a.begin(number, o.has("Authorization") || o.has("Proxy-Authorization"))
	}
	m := &message{start: method + " " + a.target + " SIP/2.0"}
	via, to, seq := "SIP/2.0/UDP "+a.addr().String()+";branch=z9hG4bK"+token(), a.remote, a.cseq+1
	hopByHop := method == "CANCEL" || method == "ACK" && a.final != nil && a.final.status() >= 300
	switch {
	case (hopByHop || method == "ACK") && a.invite == nil:
		return fmt.Errorf("%s has no INVITE to follow", a.name)
	case hopByHop: // RFC 3261 sections 9.1 and 17.1.1.3: the INVITE's transaction
		m.start, via, to = method+" "+a.invite.uri()+" SIP/2.0", a.invite.get("Via"), a.invite.get("To")
		if method == "ACK" {
			to = a.final.get("To")
		}
		fallthrough
	case method == "ACK":
		seq = cseq(a.invite)
	default:
		a.cseq = seq
	}
	m.add("Via", via)
	m.add("Max-Forwards", "70")
	m.add("From", a.local)
	m.add("To", to)
	m.add("Call-ID", a.callID)
	m.add("CSeq", strconv.Itoa(seq)+" "+method)
	if method != "CANCEL" {
		m.add("Contact", "<"+a.contact()+">")
	}
	if err := o.apply(a, m); err != nil {
		return err
	}
	if method == "INVITE" {
		a.invite, a.final = m, nil
	}
	return a.send(m)
}

// reasons are the phrases where a scenario gives none.
var reasons = map[int]string{100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 486: "Busy Here"}

// respond answers the latest request of a method.
func (a *actor) respond(status int, reason, method string, o options) error {
	req := a.last[method]
	if req == nil {
		return fmt.Errorf("%s has no %s to answer", a.name, method)
	}
	if reason == "" {
		reason = reasons[status]
	}
	m := &message{start: fmt.Sprintf("SIP/2.0 %d %s", status, reason)}
	for _, h := range req.headers {
		switch {
		case h.is("To") && param(h.value, "tag") == "" && status > 100:
			tagged := a.local
			if method != "INVITE" {
				tagged = h.value + ";tag=" + token()
			}
			m.add(h.name, tagged)
		case h.is("Via"), h.is("From"), h.is("To"), h.is("Call-ID"), h.is("CSeq"), h.is("Record-Route"):
			m.add(h.name, h.value)
		}
	}
	if status > 100 && status < 300 {
		m.add("Contact", "<"+a.contact()+">")
	}
	if err := o.apply(a, m); err != nil {
		return err
	}
	if status >= 300 && method == "INVITE" { // media stay as they were
		a.apply(a.described[0])
	}
	return a.send(m)
}
