package scenario

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func newSocket(ip netip.Addr) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
}

// relayed compares each message that comes with the one that the other side
// sent: what the gate has no reason to change must be the same (docs/sip-behaviour.md).
// A message without such an origin is the gate's own, and must be one that it
// may make.
func (p *player) relayed(to *actor, out *message) error {
	from := p.actors[map[string]string{"carrier": "pbx", "pbx": "carrier"}[to.name]]
	if from == nil || out.method() == "CANCEL" || out.method() == "ACK" && out.body == "" {
		return nil // CANCEL and ACK are each hop's own
	}
	in := p.origin(from, to, out)
	if in == nil {
		return p.own(to, out)
	}
	err := errors.Join(sameStart(to, in, out), p.sameHeaders(from, to, in, out), p.sameBody(to, in, out), ownVia(to, out))
	if err != nil {
		return fmt.Errorf("%s was changed on its way: %w", out.kind(), err)
	}
	return nil
}

// own: by itself the gate ends calls and refuses requests; it calls nobody, and
// rings and answers for nobody. Who is told of recording gets re-INVITEs.
func (p *player) own(to *actor, out *message) error {
	indicates := p.tells[to.name] && out.method() == "INVITE" && out.request() && param(out.get("To"), "tag") != ""
	if indicates {
		p.ahead[to.name]++
	}
	calls := out.request() && out.method() != "BYE" && !indicates
	answers := out.method() == "INVITE" && out.status() > 100 && out.status() < 300 && !p.answers
	known := slices.ContainsFunc(slices.Concat(p.actors["carrier"].sent, p.actors["pbx"].sent),
		func(s sending) bool { return s.get("Call-ID") == out.get("Call-ID") })
	if calls || answers || !known {
		return fmt.Errorf("nobody sent this %s (Call-ID %s, CSeq %s)", out.kind(), out.get("Call-ID"), out.get("CSeq"))
	}
	return nil
}

// origin is the latest message that an actor sent and that another may be. The
// numbers of requests are ahead by those that the gate has sent itself.
func (p *player) origin(from, to *actor, out *message) *message {
	ahead := p.ahead[from.name]
	if out.request() {
		ahead = -p.ahead[to.name]
	}
	want := fmt.Sprintf("%d %s", cseq(out)+ahead, out.method())
	for _, s := range slices.Backward(from.sent) {
		if s.kind() == out.kind() && s.get("CSeq") == want && s.get("Call-ID") == out.get("Call-ID") {
			return s.message
		}
	}
	return nil
}

// cseq is a message's CSeq.
func cseq(m *message) int {
	n, err := strconv.Atoi(strings.Fields(m.get("CSeq"))[0])
	if err != nil {
		return 0
	}
	return n
}

// sameStart: a status with its phrase; a Request-URI outside a dialog; within
// one it is the receiver's own Contact.
func sameStart(to *actor, in, out *message) error {
	want := in.start
	if in.request() && param(in.get("To"), "tag") != "" {
		want = in.method() + " " + to.contact() + " SIP/2.0"
	}
	if out.start != want {
		return fmt.Errorf("it starts with %q, not %q", out.start, want)
	}
	return nil
}

// ownVia: a request has one Via, the gate's; a response those that its receiver
// sent, with what RFC 3581 adds.
func ownVia(to *actor, out *message) error {
	vias := out.all("Via")
	if out.request() {
		if len(vias) != 1 || !strings.HasPrefix(vias[0], "SIP/2.0/UDP "+to.gate.String()+";") {
			return fmt.Errorf("the Via of %s is %q", to.gate, vias)
		}
		return nil
	}
	req := to.asked(out)
	if req == nil {
		return fmt.Errorf("%s sent no such request", to.name)
	}
	if len(vias) != 1 || param(vias[0], "branch") != param(req.get("Via"), "branch") {
		return fmt.Errorf("it has the Vias %q", vias)
	}
	return nil
}

// asked is the request that a response answers.
func (a *actor) asked(res *message) *message {
	for _, s := range slices.Backward(a.sent) {
		if s.request() && s.method() == res.method() && s.get("CSeq") == res.get("CSeq") && s.get("Call-ID") == res.get("Call-ID") {
			return s.message
		}
	}
	return nil
}

// sameHeaders: all in their order, but for those of one hop; Contact has the
// gate's address instead of the sender's.
func (p *player) sameHeaders(from, to *actor, in, out *message) error {
	if want := hops(in); in.request() && out.get("Max-Forwards") != want {
		return fmt.Errorf("Max-Forwards is %q, not %q", out.get("Max-Forwards"), want)
	}
	var was, is []string
	for _, h := range in.headers {
		value := h.value
		if h.is("Contact") && in.status()/100 != 3 {
			value = strings.ReplaceAll(value, from.addr().String(), to.gate.String())
		}
		if !oneHop(h) && !p.ownDialog(h) {
			was = append(was, h.name+": "+value)
		}
	}
	for _, h := range out.headers {
		if !oneHop(h) && !p.ownDialog(h) {
			is = append(is, h.name+": "+h.value)
		}
	}
	if !slices.Equal(was, is) {
		return fmt.Errorf("its headers are\n  %s\ninstead of\n  %s", strings.Join(is, "\n  "), strings.Join(was, "\n  "))
	}
	return nil
}

// ownDialog: where the gate answers the caller there are two dialogs with tags
// of their own, and neither reliable provisional responses nor a session timer
// between them. Where it has sent requests of its own, CSeq differs.
func (p *player) ownDialog(h header) bool {
	if h.is("CSeq") && p.ahead["carrier"]+p.ahead["pbx"] > 0 {
		return true // origin has compared it
	}
	return p.answers && slices.ContainsFunc([]string{"From", "To", "Supported", "Session-Expires", "Min-SE"}, h.is)
}

func hops(in *message) string {
	n, err := strconv.Atoi(in.get("Max-Forwards"))
	if err != nil {
		return "70"
	}
	return strconv.Itoa(n - 1)
}

func oneHop(h header) bool {
	return slices.ContainsFunc([]string{"Via", "Route", "Record-Route", "Max-Forwards", "Content-Length"}, h.is)
}
